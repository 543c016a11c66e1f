// The page's own server. It has one request of this page at a time, whoever asks.

export class Failure extends Error {
  /** @param {string} message @param {"server" | "image" | "request"} kind whether it may pass, or is this image's */
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

let last = Promise.resolve();

function inTurn(work) {
  const mine = last.then(work);
  last = mine.catch(() => {});
  return mine;
}

async function ask(path, options) {
  let response, answer;
  try {
    response = await fetch(path, options);
    answer = await response.json();
  } catch (error) {
    throw new Failure("The program behind this page does not answer. Is python -m serving.demo still running?", "server");
  }
  if (!response.ok) throw new Failure(answer.error, answer.kind);
  return answer;
}

/** Who answers: {model, server, version, error, score_threshold, max_image_mib}. */
export const model = () => inTurn(() => ask("model"));

/** What is in an image file: {model_version, model_seconds, width, height, colours, detections}. */
export const detect = (file, name) =>
  inTurn(() => ask(`detect?name=${encodeURIComponent(name)}`, { method: "POST", body: file }));
