// Knobs of the attributes that the chosen voice's model has, and of the latent directions that matter most.

import { byId } from "./dom.js";
import { ECHO_MS, Knob } from "./knob.js";

const DIRECTIONS = 4;

/** Words and numbers in turn, as `/VOICE/state` tells them, by word. */
function pairs(text) {
  const words = String(text || "").split(" ");
  return new Map(words.flatMap((word, at) => (at % 2 ? [[words[at - 1], Number(word)]] : [])));
}

export class Shape {
  /** `attributes` gives the names by model; `table` finds a route by scope and verb; `send` speaks for the chosen voice. */
  constructor(attributes, table, send) {
    this.attributes = attributes;
    this.table = table;
    this.send = send;
    this.model = null;
    this.state = {};
    this.knobs = [];
    this.turned = new Map();
  }

  /** The knobs of the model, as the voice's state says they stand. */
  sync(state) {
    this.state = state;
    if (state.model !== this.model) this.build(state.model);
    const told = { attribute: pairs(state.attributes), latent: pairs(state.latents) };
    for (const { knob, verb, what } of this.knobs) {
      const echo = performance.now() - (knob.touched || -ECHO_MS) < ECHO_MS;
      if (!knob.held && !echo) knob.show(told[verb].get(String(what)) || 0);
      if (echo && !this.later) this.later = setTimeout(() => { this.later = 0; this.sync(this.state); }, ECHO_MS); // of the voice that is chosen by then
    }
  }

  build(model) {
    this.model = model;
    for (const { knob } of this.knobs) knob.element.remove();
    const names = this.attributes[model] || [];
    this.knobs = [
      ...names.map((name) => this.knob("attribute", name, name)),
      ...(model ? Array.from({ length: DIRECTIONS }, (_, index) => this.knob("latent", index, `way ${index + 1}`)) : []),
    ];
    byId("knobs").append(...this.knobs.map(({ knob }) => knob.element));
  }

  knob(verb, what, words) {
    const route = this.table("VOICE", verb);
    const knob = new Knob({ ...route, verb: words, arguments: [{ ...route.arguments[1], default: 0 }] }, (value) => {
      knob.touched = performance.now();
      this.soon(verb, what, value);
    });
    Object.assign(knob.element.dataset, { verb, name: what });
    return { knob, verb, what };
  }

  /** Only the newest value of each knob, once a frame. */
  soon(verb, what, value) {
    if (!this.turned.size) requestAnimationFrame(() => this.flush());
    this.turned.set(`${verb} ${what}`, [verb, what, value]);
  }

  flush() {
    for (const turn of this.turned.values()) this.send(...turn);
    this.turned.clear();
  }
}
