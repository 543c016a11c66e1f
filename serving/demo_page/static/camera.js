// Pictures from the camera, one after the other: the next is taken when the last has its answer, and not too soon.

const LEAST_MILLISECONDS = 200; // between two pictures
const LONGEST_SIDE = 960; // pixels
const JPEG_QUALITY = 0.85;

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the camera. Its settings for this page can change that.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera does not answer; another program may be using it.",
};

export class Camera {
  #stream = null;
  #wake = () => {};
  #video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });

  get isOn() {
    return this.#stream !== null;
  }

  /** Asks for the camera. Rejects with an Error for the person before the page. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia)
      throw new Error("A browser gives its camera only to pages on localhost or over https.");
    try {
      const video = { facingMode: { ideal: "environment" }, width: { ideal: 1280 } };
      this.#stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      this.#video.srcObject = this.#stream;
      await this.#video.play();
    } catch (error) {
      this.stop();
      throw new Error(REASONS[error.name] ?? `The camera cannot be used: ${error.message}`);
    }
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
    this.#stream = null;
    this.#wake();
  }

  /** Hands JPEG files to `use` until the camera is stopped, by `stop` or because it was unplugged. */
  async run(use) {
    const stream = this.#stream;
    const isOn = () => this.#stream === stream && stream.active;
    while (isOn()) {
      const earliest = performance.now() + LEAST_MILLISECONDS;
      if (!document.hidden) await use(await this.#frame());
      if (!isOn()) break;
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, Math.max(0, earliest - performance.now()));
      });
    }
    if (this.#stream === stream) this.stop();
  }

  #frame() {
    const { videoWidth, videoHeight } = this.#video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(videoWidth, videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(videoWidth * scale);
    canvas.height = Math.round(videoHeight * scale);
    canvas.getContext("2d").drawImage(this.#video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  }
}
