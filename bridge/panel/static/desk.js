// The controls of the chosen voice, made from the bridge's own table of requests: ranges, choices and words are its.

import { byId, label, make } from "./dom.js";
import { ECHO_MS, Knob } from "./knob.js";
import { Pad } from "./pad.js";
import { drawLoop, rowsOf } from "./roll.js";
import { Shape } from "./shape.js";

const LENGTHS = [1, 2, 4, 8, 16];
const SLOTS = ["c", "d", "a", "b"]; // as they lie on the pad: upper row, lower row

export class Desk {
  /** `table` finds a route by scope and verb; `send`, `sendSoon` speak for the chosen voice; `attributes` by model. */
  constructor(table, send, sendSoon, attributes) {
    this.table = table;
    this.send = send;
    this.sendSoon = sendSoon;
    this.voice = null;
    this.bars = 2;
    this.touched = new Map();
    this.shows = new Map(); // key of /VOICE/state -> function that shows its value
    this.holds = new Map(); // key -> whether a hand is on it
    this.placed = new Set(["next", "sample", "vary", "undo", "redo", "play", "stop", "mute", "clear", "fill", "store", "xy", "morph", "recall", "attribute", "latent"]);
    this.buildActions();
    this.buildSpace();
    this.buildKnobs();
    this.shape = new Shape(attributes, table, send);
    this.buildChoices();
  }

  route(verb) {
    return this.table("VOICE", verb);
  }

  /** A button for a route of the table, with its words. */
  button(verb, text, action, attributes = {}) {
    return make("button", { text, title: this.route(verb).text, "data-verb": verb, click: action, ...attributes });
  }

  buildActions() {
    const { low, high } = this.route("next").arguments[0];
    this.lengths = make("div", { class: "choice bars", role: "radiogroup", "aria-label": "Bars" });
    for (const bars of LENGTHS.filter((count) => count >= low && count <= high)) {
      this.lengths.append(make("button", { role: "radio", text: String(bars), "data-bars": bars, click: () => this.setBars(bars) }));
    }
    this.amount = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: this.route("vary").arguments[0].default, "aria-label": "How far to vary" });
    this.playing = this.button("stop", "Stop", () => this.send(this.voice.state.playing ? "stop" : "play"), { "aria-keyshortcuts": "K" });
    this.muted = this.button("mute", "Mute", () => this.send("mute", this.voice.state.muted ? 0 : 1), { "aria-keyshortcuts": "M" });
    this.back = this.button("undo", "Undo", () => this.send("undo"), { "aria-keyshortcuts": "Z" });
    this.forth = this.button("redo", "Redo", () => this.send("redo"), { "aria-keyshortcuts": "Y" });
    byId("actions").replaceChildren(
      this.button("next", "Next", () => this.send("next", this.bars), { class: "big", "aria-keyshortcuts": "N" }),
      this.lengths,
      this.button("sample", "Sample", () => this.send("sample", this.bars), { "aria-keyshortcuts": "S" }),
      this.button("fill", "Fill", () => this.send("fill"), { class: "quiet" }),
      make("div", { class: "vary" }, this.button("vary", "Vary", () => this.vary(), { "aria-keyshortcuts": "V" }), this.amount),
      this.back, this.forth, this.playing, this.muted,
      this.button("clear", "Clear", () => this.send("clear"), { class: "quiet" }),
    );
    this.setBars(this.bars);
  }

  vary() {
    this.send("vary", Number(this.amount.value));
  }

  setBars(bars) {
    this.bars = bars;
    for (const button of this.lengths.children) button.setAttribute("aria-checked", String(Number(button.dataset.bars) === bars));
  }

  stepBars(by) {
    const offered = [...this.lengths.children].map((button) => Number(button.dataset.bars));
    this.setBars(offered[Math.min(offered.length - 1, Math.max(0, offered.indexOf(this.bars) + by))]);
  }

  buildSpace() {
    const frame = byId("padframe");
    const element = byId("pad").cloneNode(false);
    this.corners = new Map(SLOTS.map((slot) => {
      const picture = make("canvas", { "aria-hidden": "true" });
      const button = make("button", {
        class: `store ${slot}`, "aria-label": `Store the loop in corner ${slot}`, "aria-keyshortcuts": `Shift+${slot.toUpperCase()}`,
        title: this.route("store").text, click: () => this.send("store", slot),
      }, make("b", { text: slot.toUpperCase() }), picture);
      return [slot, { button, picture }];
    }));
    frame.replaceChildren(...SLOTS.slice(0, 2).map((slot) => this.corners.get(slot).button), element,
      ...SLOTS.slice(2).map((slot) => this.corners.get(slot).button));
    this.pad = new Pad(element, this.route("xy"), (x, y) => {
      this.touch("x");
      this.touch("y");
      this.sendSoon("xy", x, y);
    });
    const morph = byId("morph").cloneNode(false);
    byId("morph").replaceWith(morph);
    morph.title = this.route("morph").text;
    morph.addEventListener("input", () => {
      this.touch("morph");
      this.sendSoon("morph", Number(morph.value));
    });
    this.morph = morph;
    this.shows.set("x", (x) => this.pad.show(x, this.voice.state.y || 0));
    this.shows.set("y", (y) => this.pad.show(this.voice.state.x || 0, y));
    this.shows.set("morph", (value) => (morph.value = value));
    this.holds.set("x", () => this.pad.held);
    this.holds.set("y", () => this.pad.held);
  }

  /** Every request of a voice that is one sticky number becomes a knob. */
  buildKnobs() {
    const rows = this.table("VOICE").filter(({ verb, arguments: specs }) => !this.placed.has(verb) && specs.length === 1
      && ["int", "float"].includes(specs[0].kind) && !specs[0].optional && !["random_seed", "seed/begin"].includes(verb));
    const rank = (route) => Number(route.arguments[0].name === "bars"); // shapes first, counts of bars after
    rows.sort((one, other) => rank(one) - rank(other));
    this.knobs = new Map(rows.map((route) => {
      this.placed.add(route.verb);
      const knob = new Knob(route, (value) => {
        this.touch(route.verb);
        this.sendSoon(route.verb, value);
      });
      this.shows.set(route.verb, (value) => knob.show(value));
      this.holds.set(route.verb, () => knob.held);
      return [route.verb, knob];
    }));
    byId("knobs").replaceChildren(...[...this.knobs.values()].map((knob) => knob.element));
  }

  /** Every request that is one word of a list, or one switch, becomes a row of choices; `bars` after it are those chosen. */
  buildChoices() {
    const kinds = { choice: (spec) => spec.choices.map((word) => [word, word]), bool: () => [["off", 0], ["on", 1]] };
    const chosen = (specs) => specs.length && specs[0].kind in kinds && specs.slice(1).every(({ name }) => name === "bars");
    const rows = this.table("VOICE").filter(({ verb, arguments: specs }) => !this.placed.has(verb) && chosen(specs));
    byId("choices").replaceChildren(...rows.map((route) => {
      this.placed.add(route.verb);
      const spec = route.arguments[0];
      const buttons = kinds[spec.kind](spec).map(([word, value]) => make("button", {
        role: "radio", text: word, "data-value": value, "aria-checked": "false", click: () => {
          this.touch(route.verb);
          show(value);
          this.send(route.verb, value, ...route.arguments.slice(1).map(() => this.bars));
        },
      }));
      const show = (value) => buttons.forEach((button) => button.setAttribute("aria-checked", String(button.dataset.value === String(value))));
      this.shows.set(route.verb, show);
      return make("div", { class: "choicerow", title: route.text, "data-verb": route.verb },
        make("span", { class: "name", text: label(route.verb) }),
        make("div", { class: "choice", role: "radiogroup", "aria-label": label(route.verb) }, ...buttons));
    }));
  }

  touch(key) {
    this.touched.set(key, performance.now());
  }

  choose(voice) {
    this.voice = voice;
    this.touched.clear();
    byId("desk").style.setProperty("--tint", voice.color);
    for (const [verb, knob] of this.knobs) if (verb in voice.rest) knob.rest = voice.rest[verb];
    this.sync();
    this.memory();
  }

  /** Show what the bridge says, but for what a hand has just moved. */
  sync() {
    const { state } = this.voice;
    const now = performance.now();
    let again = false;
    for (const [key, show] of this.shows) {
      if (!(key in state)) continue;
      const hold = this.holds.get(key);
      if ((hold && hold()) || now - (this.touched.get(key) || -ECHO_MS) < ECHO_MS) again = true;
      else show(state[key]);
    }
    this.shape.sync(state);
    if (again && !this.later) this.later = setTimeout(() => { this.later = 0; this.sync(); }, ECHO_MS / 2);
    this.playing.textContent = state.playing ? "Stop" : "Play";
    this.muted.setAttribute("aria-pressed", String(Boolean(state.muted)));
    this.back.disabled = !state.undo && !(state.pending_id && state.sounding_id);
    this.forth.disabled = !state.redo;
  }

  /** A request was refused: what stands is what the bridge says. */
  letGo() {
    this.touched.clear();
    this.sync();
  }

  memory() {
    const { corners } = this.voice.memory;
    for (const [slot, { button, picture }] of this.corners) {
      const stored = corners[slot];
      button.classList.toggle("filled", Boolean(stored));
      const loop = stored ? { length: stored[0], notes: stored[1] } : null;
      drawLoop(picture, loop, loop ? rowsOf([loop], this.voice.drums) : [], { colors: this.voice.colors, drums: this.voice.drums, plain: true });
    }
    const missing = this.voice.missingCorners;
    this.pad.corners(missing);
    this.morph.disabled = missing.includes("a") || missing.includes("b");
  }
}
