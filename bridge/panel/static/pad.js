// The latent pad: four stored loops in its corners, everything between them under one finger or the arrow keys.

import { clamp, make } from "./dom.js";

const SNAP = 0.025; // so near to an edge is on it: at the corners the stored notes sound exactly
const STEP = 0.02;
const snap = (value) => (value < SNAP ? 0 : value > 1 - SNAP ? 1 : value);

/** `onMove(x, y)`: x to the right, y upwards, 0-1 each; a is the lower left corner, as in the contract. */
export class Pad {
  constructor(element, route, onMove) {
    this.element = element;
    this.onMove = onMove;
    this.x = 0;
    this.y = 0;
    this.held = false;
    this.thumb = make("div", { class: "thumb" });
    this.note = make("p", { class: "note" });
    element.append(this.thumb, this.note);
    element.title = route.text;
    for (const [name, action] of [
      ["pointerdown", this.grab], ["pointermove", this.drag], ["pointerup", this.letGo], ["pointercancel", this.letGo],
      ["lostpointercapture", this.letGo], ["keydown", this.key],
    ]) element.addEventListener(name, action.bind(this));
    new ResizeObserver(() => this.place()).observe(element);
  }

  /** Which corners are empty: until none is, the pad says what is missing and does nothing. */
  corners(missing) {
    this.ready = !missing.length;
    this.element.setAttribute("aria-disabled", String(!this.ready));
    this.note.textContent = this.ready ? "" : `store ${missing.map((slot) => slot.toUpperCase()).join(" ")} first`;
  }

  grab(event) {
    if (!this.ready || event.button) return;
    this.element.setPointerCapture(event.pointerId);
    this.held = true;
    this.drag(event);
  }

  drag(event) {
    if (!this.held) return;
    const box = this.element.getBoundingClientRect();
    this.move((event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height);
  }

  letGo() {
    this.held = false;
  }

  key(event) {
    const step = event.shiftKey ? STEP / 4 : STEP;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    const to = { Home: [0, 0], End: [1, 1] }[event.key];
    if ((!by && !to) || !this.ready) return;
    event.preventDefault();
    event.stopPropagation();
    if (to) this.move(...to);
    else this.go(clamp(this.x + by[0], 0, 1), clamp(this.y + by[1], 0, 1));
  }

  move(x, y) {
    this.go(snap(clamp(x, 0, 1)), snap(clamp(y, 0, 1)));
  }

  go(x, y) {
    if (x === this.x && y === this.y) return;
    this.show(x, y);
    this.onMove(x, y);
  }

  show(x, y) {
    this.x = x;
    this.y = y;
    this.place();
    this.element.setAttribute("aria-valuenow", x.toFixed(2));
    this.element.setAttribute("aria-valuetext", `x ${x.toFixed(2)}, y ${y.toFixed(2)}`);
  }

  place() {
    const { clientWidth, clientHeight } = this.element;
    this.thumb.style.transform = `translate(${this.x * clientWidth}px, ${(1 - this.y) * clientHeight}px)`;
  }
}
