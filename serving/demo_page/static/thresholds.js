// One slider for all classes and one for each class that a picture has shown so far, in whole per cent.

import { paint } from "./boxes.js";

export class Thresholds {
  /** @param {HTMLElement} place where the sliders go @param {() => void} onChange called when one was moved */
  constructor(place, onChange) {
    this.place = place;
    this.onChange = onChange;
    this.rows = new Map();
    this.all = this.#row("all classes", (value) => {
      for (const row of this.rows.values()) set(row, value);
    });
    place.append(this.all);
    set(this.all, 50);
  }

  /** Moves them all. */
  setAll(percent) {
    for (const row of [this.all, ...this.rows.values()]) set(row, percent);
  }

  /** Whether a detection scores enough for its class. Compared as it is written, in per cent. */
  shows(found) {
    return Math.round(100 * found.score) >= this.rows.get(found.class).querySelector("input").valueAsNumber;
  }

  /** Adds what is missing for these detections, in the order of the names, and counts them. */
  update(detections, colours) {
    for (const name of Object.keys(colours)) {
      if (this.rows.has(name)) continue;
      const row = this.#row(name, () => {});
      paint(row, colours[name]);
      set(row, this.all.querySelector("input").valueAsNumber);
      this.rows.set(name, row);
    }
    const sorted = [...this.rows].sort(([one], [other]) => one.localeCompare(other));
    const there = [...this.place.querySelectorAll(".threshold")].slice(1);
    // Moving a row takes the focus from its slider.
    if (sorted.some(([, row], at) => row !== there[at])) this.place.append(...sorted.map(([, row]) => row));
    this.count(detections);
  }

  /** Writes beside each class how many of its detections are shown. */
  count(detections) {
    for (const [name, row] of this.rows) {
      const found = detections.filter((detection) => detection.class === name);
      const shown = found.filter((detection) => this.shows(detection));
      row.querySelector("small").textContent = found.length ? `${shown.length} of ${found.length}` : "";
    }
  }

  #row(name, onMove) {
    const row = document.getElementById("threshold").content.firstElementChild.cloneNode(true);
    row.querySelector("b").textContent = name;
    const slider = row.querySelector("input");
    slider.setAttribute("aria-label", `least score of ${name}, in per cent`);
    slider.addEventListener("input", () => {
      set(row, slider.valueAsNumber);
      onMove(slider.valueAsNumber);
      this.onChange();
    });
    return row;
  }
}

function set(row, value) {
  row.querySelector("input").value = value;
  row.querySelector("output").textContent = `${value} %`;
}
