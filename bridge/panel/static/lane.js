// One voice among the others: its loop with the playhead, the bars that are coming, mute.

import { make } from "./dom.js";
import { drawLoop, drawSounding, rowsOf, soundingKey } from "./roll.js";

export class Lane {
  constructor(voice, index, { choose, mute }) {
    this.voice = voice;
    this.roll = make("canvas");
    this.glow = make("canvas", { class: "glow" });
    this.head = make("i", { class: "head" });
    this.coming = make("canvas");
    this.when = make("span", { class: "when" });
    this.hint = make("span", { class: "hint" });
    this.turn = make("span", { class: "turn" });
    this.detail = make("small");
    this.muteButton = make("button", {
      class: "mute", text: "M", "aria-label": `Mute ${voice.name}`, "aria-pressed": "false", click: () => mute(voice),
    });
    this.chooser = make("button", {
      class: "choose", "aria-pressed": "false", "aria-keyshortcuts": String(index + 1), click: () => choose(voice.name),
    }, make("b", { text: voice.name }), this.detail);
    this.element = make("article", { class: "lane", "data-voice": voice.name, "aria-label": voice.name },
      make("div", { class: "label" }, this.chooser, this.muteButton),
      make("div", { class: "roll", click: () => choose(voice.name) }, this.roll, this.glow, this.head, this.hint, this.turn),
      make("div", { class: "coming", click: () => choose(voice.name) }, this.coming, this.when));
    this.element.style.setProperty("--tint", voice.color);
    new ResizeObserver(() => this.draw()).observe(this.roll);
    this.key = "";
    this.words = "";
    this.turnWords = "";
  }

  choose(is) {
    this.element.classList.toggle("chosen", is);
    this.chooser.setAttribute("aria-pressed", String(is));
  }

  /** Draw the notes again: they, the corners of the screen or the metre have changed. */
  draw() {
    const { voice } = this;
    const now = voice.loop();
    const next = voice.pending();
    this.rows = rowsOf([now, next].filter(Boolean), voice.drums);
    const look = { colors: voice.colors, drums: voice.drums, barBeats: voice.clock.barBeats };
    drawLoop(this.roll, now, this.rows, look);
    drawLoop(this.coming, next, this.rows, { ...look, hollow: true, plain: !next });
    this.width = this.roll.clientWidth;
    this.shown = now;
    this.key = "";
    drawSounding(this.glow, now || { notes: [], length: 1 }, this.rows, "", look);
    this.element.classList.toggle("hascoming", Boolean(next));
    this.element.classList.toggle("hasloop", Boolean(now));
  }

  /** The state has changed: words and switches. */
  update() {
    const { state } = this.voice;
    this.muteButton.setAttribute("aria-pressed", String(Boolean(state.muted)));
    this.element.classList.toggle("silent", Boolean(state.muted) || !state.playing);
    const model = state.ready ? state.model : `${state.model}: not ready`;
    this.detail.textContent = state.playing ? model : `${model}, stopped`;
    this.hint.textContent = this.voice.loop() ? "" : state.ready ? "no bars yet" : "its model is not ready";
  }

  /** Once a frame. */
  frame(beat, running) {
    const { voice, shown } = this;
    const next = voice.pending();
    let words = "";
    if (next) {
      const ahead = next.start - beat;
      if (!running) words = "when the clock runs";
      else if (next.start >= 0 && ahead > 0) words = `in ${Math.ceil(ahead)}`;
      else words = `next ${voice.state.launch || "bar"}`;
    }
    if (words !== this.words) this.when.textContent = this.words = words;
    const turn = voice.turn(beat, running);
    if (turn !== this.turnWords) this.turn.textContent = this.turnWords = turn;
    if (!shown) return;
    const start = Math.max(0, voice.state.start); // -1: it has not begun
    const position = (((beat - start) % shown.length) + shown.length) % shown.length;
    this.head.style.transform = `translateX(${((position / shown.length) * this.width).toFixed(1)}px)`;
    const sounds = running && voice.sounds(beat);
    this.element.classList.toggle("over", voice.over);
    const key = sounds ? soundingKey(shown, position) : "";
    if (key !== this.key) {
      this.key = key;
      drawSounding(this.glow, shown, this.rows, key, { colors: voice.colors, drums: voice.drums });
    }
  }
}
