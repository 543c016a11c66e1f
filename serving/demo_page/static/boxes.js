// Boxes and their labels over a picture. Labels stay inside of it and off each other: what would be half covered is left
// out until somebody points at it.

const MOST_COVERED = 0.1; // of a label's area, by those that were placed before

/** Sets the colours of a class, with letters in black or white, whichever contrasts more (WCAG 2). */
export function paint(element, colour) {
  const linear = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  element.style.setProperty("--class", colour);
  // Equal contrast with black and with white: (x + .05)² = 1.05 · .05
  element.style.setProperty("--on-class", luminance > 0.179 ? "#000" : "#fff");
}

/**
 * Draws detections, best score first, into a layer that lies over the picture.
 * @returns {Map<object, HTMLElement[]>} box and label of each
 */
export function draw(layer, detections, colours) {
  layer.replaceChildren();
  const drawn = new Map();
  // The best last, on top.
  for (const found of [...detections].reverse()) {
    const [ymin, xmin, ymax, xmax] = found.box_yxyx_normalized.map((value) => Math.min(1, Math.max(0, value)));
    const box = layer.appendChild(document.createElement("div"));
    box.className = "box";
    box.style.left = `${100 * xmin}%`;
    box.style.top = `${100 * ymin}%`;
    box.style.width = `${100 * Math.max(0, xmax - xmin)}%`;
    box.style.height = `${100 * Math.max(0, ymax - ymin)}%`;
    drawn.set(found, [box]);
  }
  for (const found of [...detections].reverse()) {
    const label = layer.appendChild(document.createElement("span"));
    label.className = "label";
    label.textContent = `${found.class} ${percent(found.score)}`;
    drawn.get(found).push(label);
  }
  for (const [found, elements] of drawn) elements.forEach((element) => paint(element, colours[found.class]));
  place(layer, detections, drawn);
  return drawn;
}

/** Finds a place for each label, the best detection's first; one that finds no room gets the class `crowded`. */
export function place(layer, detections, drawn) {
  const { clientWidth: width, clientHeight: height } = layer;
  const taken = [];
  // Read all before any is moved: the browser lays out once.
  const sizes = new Map(
    detections.map((found) => {
      const label = drawn.get(found)[1];
      label.style.left = label.style.top = "0";
      return [found, label];
    }),
  );
  for (const [found, label] of sizes) {
    const { width: w, height: h } = label.getBoundingClientRect();
    sizes.set(found, [Math.ceil(w), Math.ceil(h)]);
  }
  for (const found of detections) {
    const [w, h] = sizes.get(found);
    const [ymin, xmin, ymax, xmax] = found.box_yxyx_normalized;
    const [top, left, bottom, right] = [ymin * height, xmin * width, ymax * height, xmax * width];
    const places = [
      [left, top - h], [right - w, top - h], [left, bottom], [right - w, bottom],
      [left, top], [right - w, top], [left, bottom - h], [right - w, bottom - h], [right, top], [left - w, top],
    ].map(([x, y]) => {
      const [inX, inY] = [clamp(x, width - w), clamp(y, height - h)];
      const moved = Math.abs(inX - x) + Math.abs(inY - y);
      const covered = taken.reduce((sum, other) => sum + overlap([inX, inY, w, h], other), 0);
      return { x: inX, y: inY, covered, cost: covered * 10 + moved };
    });
    const best = places.reduce((one, other) => (other.cost < one.cost ? other : one));
    const label = drawn.get(found)[1];
    label.style.left = `${best.x}px`;
    label.style.top = `${best.y}px`;
    const isCrowded = best.covered > MOST_COVERED * w * h;
    label.classList.toggle("crowded", isCrowded);
    if (!isCrowded) taken.push([best.x, best.y, w, h]);
  }
}

export const percent = (score) => `${Math.round(100 * score)} %`;

const clamp = (value, most) => Math.max(0, Math.min(value, most));

function overlap([x, y, w, h], [otherX, otherY, otherW, otherH]) {
  const across = Math.min(x + w, otherX + otherW) - Math.max(x, otherX);
  const down = Math.min(y + h, otherY + otherH) - Math.max(y, otherY);
  return across > 0 && down > 0 ? across * down : 0;
}
