// A knob for one number: drag up and down, turn the wheel, arrow keys; double-click or Delete puts it back to rest.

import { clamp, label, make, shown } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
export const ECHO_MS = 400; // so long after a hand's move the bridge's echo of an older value is not shown
const DRAG_PX = 160; // of pointer travel for the whole range
const FINE = 0.2;
const ARC = 270;

function arc(name) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M 11.5 36.5 A 18 18 0 1 1 36.5 36.5"); // 270 degrees, open at the bottom
  path.setAttribute("pathLength", "100");
  path.setAttribute("class", name);
  return path;
}

/** `route` is the row of the table that it turns; `onTurn(value)` is called for each new value. */
export class Knob {
  constructor(route, onTurn) {
    this.spec = route.arguments[0];
    this.onTurn = onTurn;
    this.value = this.spec.low;
    this.rest = this.spec.default === null ? this.spec.low : this.spec.default;
    this.held = false;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 48 48");
    svg.setAttribute("aria-hidden", "true");
    this.fill = arc("fill");
    this.hand = document.createElementNS(SVG, "line");
    for (const [key, value] of [["x1", 24], ["y1", 24], ["x2", 24], ["y2", 10], ["class", "hand"]]) {
      this.hand.setAttribute(key, value);
    }
    svg.append(arc("track"), this.fill, this.hand);
    this.number = make("output", { class: "value" });
    this.element = make(
      "div",
      {
        class: "knob", role: "slider", tabindex: 0, "aria-label": label(route.verb),
        "aria-valuemin": this.spec.low, "aria-valuemax": this.spec.high,
        "data-verb": route.verb, title: `${route.text} ${this.spec.allowed}`,
        pointerdown: (event) => this.grab(event), pointermove: (event) => this.drag(event),
        pointerup: () => this.letGo(), pointercancel: () => this.letGo(), lostpointercapture: () => this.letGo(),
        dblclick: () => this.turn(this.rest), keydown: (event) => this.key(event),
      },
      svg, this.number, make("span", { class: "name", text: label(route.verb) }),
    );
    this.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.show(this.rest);
  }

  get step() {
    return this.spec.kind === "int" ? 1 : (this.spec.high - this.spec.low) / 100;
  }

  grab(event) {
    if (event.button) return;
    this.element.setPointerCapture(event.pointerId);
    this.held = true;
    this.from = [event.clientY, this.value];
  }

  drag(event) {
    if (!this.held) return;
    const fine = event.shiftKey ? FINE : 1;
    const travel = ((this.from[0] - event.clientY) / DRAG_PX) * fine;
    this.turn(this.from[1] + travel * (this.spec.high - this.spec.low));
  }

  letGo() {
    this.held = false;
  }

  wheel(event) {
    if (document.activeElement !== this.element) return; // else it would trap the page's scrolling
    event.preventDefault();
    this.turn(this.value - Math.sign(event.deltaY) * this.step * (event.shiftKey ? FINE : 2));
  }

  key(event) {
    const step = this.step * (event.shiftKey && this.spec.kind !== "int" ? FINE : 1);
    const to = {
      ArrowUp: this.value + step, ArrowRight: this.value + step, ArrowDown: this.value - step,
      ArrowLeft: this.value - step, PageUp: this.value + 10 * step, PageDown: this.value - 10 * step,
      Home: this.spec.low, End: this.spec.high, Delete: this.rest, Backspace: this.rest,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.turn(to);
  }

  turn(to) {
    let value = clamp(to, this.spec.low, this.spec.high);
    if (this.spec.kind === "int") value = Math.round(value);
    if (value === this.value) return;
    this.show(value);
    this.onTurn(value);
  }

  show(value) {
    this.value = value;
    const share = (value - this.spec.low) / (this.spec.high - this.spec.low);
    this.fill.style.strokeDasharray = `${share * 100} 200`;
    this.hand.style.transform = `rotate(${(share - 0.5) * ARC}deg)`;
    const words = shown(value, this.spec);
    this.number.textContent = words;
    this.element.setAttribute("aria-valuenow", words);
  }
}
