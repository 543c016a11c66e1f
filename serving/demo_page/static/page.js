// What happens on the page: files and frames in, answers shown, failures said and waited out.

import { draw, paint, percent, place } from "./boxes.js";
import { Camera } from "./camera.js";
import * as picture from "./picture.js";
import * as server from "./server.js";
import { Thresholds } from "./thresholds.js";

const THUMBNAILS = 12;
const RETRY_MILLISECONDS = 3000;

const at = (id) => document.getElementById(id);
const camera = new Camera();
const thresholds = new Thresholds(at("thresholds"), showDetections);
const waiting = []; // files that have not been asked about
let isWorking = false;
let isStarting = false; // the camera, for which a person may be asked
let maxImageMib = Infinity;
let shown = null; // {file, name, answer} that is on the stage
let drawn = new Map();
let outage = null; // a promise that the model server answers again
let retryNow = () => {};

// ---- what is shown

function showAnswer(item, bitmap) {
  shown = item;
  at("empty").hidden = true;
  at("stage").hidden = false;
  picture.show(at("picture"), bitmap, item.name);
  thresholds.update(item.answer.detections, item.answer.colours);
  showDetections();
  sayShown();
}

function showDetections() {
  if (!shown) return;
  const { detections, colours } = shown.answer;
  const visible = detections.filter((found) => thresholds.shows(found));
  drawn = draw(at("boxes"), visible, colours);
  thresholds.count(detections);
  markThumbnails();
  at("count").textContent = `${visible.length} of ${detections.length}`;
  at("detections").replaceChildren(...visible.map((found) => listed(found, colours[found.class])));
  point(null);
  tellCrowded();
}

function tellCrowded() {
  const crowded = at("boxes").querySelectorAll(".crowded").length;
  at("crowded").textContent = crowded ? `No room for the labels of ${crowded}; point at one in the list.` : "";
}

function listed(found, colour) {
  const row = at("detection").content.firstElementChild.cloneNode(true);
  paint(row, colour);
  row.querySelector(".name").textContent = found.class;
  row.querySelector(".score").textContent = percent(found.score);
  const button = row.querySelector("button");
  for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => point(found));
  for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => point(null));
  return row;
}

/** Shows one detection alone, or all. */
function point(found) {
  at("stage").classList.toggle("pointing", found !== null);
  for (const [other, elements] of drawn)
    for (const element of elements) element.classList.toggle("pointed", other === found);
}

function showModel({ model, server: address, version }) {
  at("model").textContent = model;
  at("server").textContent = address;
  showVersion(version);
  document.title = `${model}: detections`;
}

function showVersion(version) {
  at("version").textContent = version ?? "not told";
}

const milliseconds = (value) => `${Math.round(value)} ms`;

// ---- asking

async function ask(item) {
  const started = performance.now();
  at("stage").setAttribute("aria-busy", "true");
  try {
    const bitmap = await picture.decode(item.file, item.name);
    item.answer = await server.detect(item.file, item.name);
    showVersion(item.answer.model_version);
    return { bitmap, started };
  } finally {
    at("stage").setAttribute("aria-busy", "false");
  }
}

function showAsked(item, { bitmap, started }) {
  showAnswer(item, bitmap);
  at("model-latency").textContent = milliseconds(1000 * item.answer.model_seconds);
  at("latency").textContent = milliseconds(performance.now() - started);
}

function addFiles(files) {
  const images = [...files];
  if (!images.length) return;
  camera.stop();
  closeFailed();
  waiting.push(...images.map((file) => ({ file, name: file.name, caption: file.name })));
  work();
}

async function work() {
  if (isWorking) return;
  isWorking = true;
  while (waiting.length) {
    const item = waiting.shift();
    say(waiting.length ? `${item.name}, and ${waiting.length} more …` : `${item.name} …`);
    try {
      checkSize(item);
      const asked = await ask(item);
      showAsked(item, asked);
      addThumbnail(item, asked.bitmap);
    } catch (error) {
      if (error.kind === "server") {
        await untilItAnswers(error.message);
        if (!camera.isOn) waiting.unshift(item);
      } else {
        addFailed(error.message);
        sayShown();
      }
    }
  }
  isWorking = false;
}

function checkSize({ file, name }) {
  const mib = file.size / 2 ** 20;
  if (mib > maxImageMib)
    throw new Error(`${name} is too large: it has ${mib.toFixed(1)} MiB, at most ${maxImageMib} MiB are taken.`);
}

function addThumbnail(item, bitmap) {
  const button = Object.assign(document.createElement("button"), { type: "button", item });
  button.setAttribute("aria-label", `show ${item.name} again`);
  button.title = item.name;
  button.append(picture.thumbnail(bitmap), document.createElement("span"));
  button.addEventListener("click", async () => {
    camera.stop();
    try {
      showAnswer(item, await picture.decode(item.file, item.name));
    } catch (error) {
      addFailed(error.message);
    }
  });
  const entry = document.createElement("li");
  entry.append(button);
  at("thumbnails").prepend(entry);
  while (at("thumbnails").children.length > THUMBNAILS) at("thumbnails").lastElementChild.remove();
  markThumbnails();
}

function markThumbnails() {
  for (const button of at("thumbnails").querySelectorAll("button")) {
    const count = button.item.answer.detections.filter((found) => thresholds.shows(found)).length;
    button.lastElementChild.textContent = count;
    button.setAttribute("aria-current", String(button.item === shown));
  }
}

async function useCamera() {
  if (camera.isOn) camera.stop();
  else if (!isStarting) await startCamera();
}

async function startCamera() {
  closeFailed();
  waiting.length = 0;
  const button = at("camera");
  try {
    isStarting = true;
    await camera.start().finally(() => (isStarting = false));
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Stop the camera";
    let last = null;
    await camera.run(async (file) => {
      if (outage) return;
      const item = { file, name: `camera ${new Date().toLocaleTimeString()}`, caption: "camera" };
      try {
        const asked = await ask(item);
        if (!camera.isOn) return;
        showAsked(item, asked);
        last = { item, bitmap: asked.bitmap };
      } catch (error) {
        if (error.kind !== "server") throw error;
        untilItAnswers(error.message);
      }
    });
    if (last) addThumbnail(last.item, last.bitmap);
  } catch (error) {
    camera.stop();
    addFailed(error.message);
  }
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Use the camera";
}

// ---- what went wrong

/** Shows why there is no answer, and asks again and again until there is one. */
function untilItAnswers(message) {
  outage ??= waitOut(message).finally(() => (outage = null));
  return outage;
}

async function waitOut(message) {
  for (let error = message; error; error = await lookAtModel()) {
    at("down").hidden = false;
    at("down").firstElementChild.textContent = error;
    await new Promise((resolve) => {
      retryNow = resolve;
      setTimeout(resolve, RETRY_MILLISECONDS);
    });
  }
  at("down").hidden = true;
}

/** Shows who answers; returns why nobody does. */
async function lookAtModel() {
  try {
    const model = await server.model();
    showModel(model);
    if (maxImageMib === Infinity) thresholds.setAll(Math.round(100 * model.score_threshold));
    maxImageMib = model.max_image_mib;
    return model.error;
  } catch (error) {
    return error.message;
  }
}

function addFailed(message) {
  at("failed").hidden = false;
  const line = document.createElement("p");
  line.textContent = message;
  at("failed").firstElementChild.append(line);
}

function closeFailed() {
  at("failed").hidden = true;
  at("failed").firstElementChild.replaceChildren();
}

function say(text) {
  // What is said again is read out again.
  if (at("status").textContent !== text) at("status").textContent = text;
}

function sayShown() {
  say(shown ? `${shown.caption}, ${shown.answer.width} × ${shown.answer.height} pixels` : "");
}

// ---- what a person does

at("files").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = ""; // the same file again is a change, too
});
at("camera").addEventListener("click", useCamera);
at("labels").addEventListener("change", (event) => at("stage").classList.toggle("no-labels", !event.target.checked));
at("down").querySelector("button").addEventListener("click", () => retryNow());
at("failed").querySelector("button").addEventListener("click", closeFailed);
document.addEventListener("paste", (event) => addFiles(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) at("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files.length) addFiles(event.dataTransfer.files);
  else addFailed("What was dropped is no file. Save the picture first, and drop the file.");
});
new ResizeObserver(() => {
  place(at("boxes"), [...drawn.keys()].reverse(), drawn);
  tellCrowded();
}).observe(at("stage"));

lookAtModel().then((error) => error && untilItAnswers(error));
