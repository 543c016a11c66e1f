// Asks a server by grpc-js and proto-loader, and prints what came as JSON:
//
//   node ask.js DESCRIPTORS HOST:PORT IMAGE
//
// DESCRIPTORS is a serialised FileDescriptorSet of TF Serving's protocol, as `protoc --descriptor_set_out` writes it. What
// proto-loader reads from one shows a map as a list of entries.
"use strict";

const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [descriptors, address, image] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, enums: String, defaults: true };
const definition = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(descriptors), options);
const { PredictionService, ModelService } = grpc.loadPackageDefinition(definition).tensorflow.serving;

const spec = { name: "detector" };

function toObject(entries) {
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

function call(client, method, request) {
  const deadline = new Date(Date.now() + 60000);
  return new Promise((resolve, reject) => {
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function predict(client, images) {
  const tensor = { dtype: "DT_STRING", tensor_shape: { dim: [{ size: images.length }] }, string_val: images };
  const inputs = [{ key: "image_bytes", value: tensor }];
  return call(client, "Predict", { model_spec: { ...spec, signature_name: "serving_default" }, inputs });
}

async function main() {
  const credentials = grpc.credentials.createInsecure();
  const prediction = new PredictionService(address, credentials);
  const model = new ModelService(address, credentials);

  const answer = await predict(prediction, [fs.readFileSync(image)]);
  const outputs = toObject(answer.outputs);
  const refused = await predict(prediction, [Buffer.from("no image")]).catch((error) => error);
  const status = await call(model, "GetModelStatus", { model_spec: spec });
  const metadata = await call(prediction, "GetModelMetadata", { model_spec: spec, metadata_field: ["signature_def"] });
  const packed = toObject(metadata.metadata).signature_def;
  const signatures = definition["tensorflow.serving.SignatureDefMap"].deserialize(packed.value).signature_def;
  const signature = toObject(signatures).serving_default;

  console.log(
    JSON.stringify({
      version: answer.model_spec.version.value,
      shape: outputs.detection_boxes.tensor_shape.dim.map((dim) => dim.size),
      boxes: outputs.detection_boxes.float_val,
      scores: outputs.detection_scores.float_val,
      classes: outputs.detection_classes.int64_val,
      names: outputs.detection_class_names.string_val.map((name) => name.toString("utf8")),
      counts: outputs.num_detections.int64_val,
      refused: { code: grpc.status[refused.code], details: refused.details },
      status: status.model_version_status.map(({ version, state }) => [version, state]),
      inputs: toObject(signature.inputs).image_bytes.dtype,
      outputs: Object.keys(toObject(signature.outputs)).sort(),
    })
  );
  prediction.close();
  model.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
