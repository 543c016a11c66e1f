// The picture as it is shown: scaled to a size a screen has, small ones made larger so that labels have room.

const LONGEST_SIDE = 2048; // pixels that are kept of a large picture
const LEAST_WIDTH = 960; // a small picture is drawn larger than it is

/** Decodes an image file, upright. Rejects with an Error for the person before the page. */
export async function decode(file, name) {
  try {
    return await createImageBitmap(file);
  } catch (error) {
    throw new Error(`${name} is not an image that this browser can show.`);
  }
}

/** Draws a decoded image into a canvas, whose size it sets. */
export function show(canvas, bitmap, name) {
  const longest = Math.max(bitmap.width, bitmap.height);
  const scale = Math.min(LONGEST_SIDE / longest, Math.max(1, LEAST_WIDTH / bitmap.width));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.setAttribute("aria-label", name);
  fill(canvas, bitmap, canvas.width / bitmap.width, canvas.height / bitmap.height);
}

/** A small picture that is filled to its border. */
export function thumbnail(bitmap) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 192, height: 144 });
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  fill(canvas, bitmap, scale, scale);
  return canvas;
}

function fill(canvas, bitmap, scaleX, scaleY) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const [width, height] = [bitmap.width * scaleX, bitmap.height * scaleY];
  context.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}
