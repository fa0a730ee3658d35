// Everything by keyboard, and the page that says so.

import { byId, make } from "./dom.js";

const TYPING = "input:not([type=range]), select, textarea";

/** `bindings`: [key as event.key, words for the key, what it does, action]. Shift+letter is written as the capital. */
export class Keys {
  constructor(bindings) {
    this.actions = new Map(bindings.map(([key, , , action]) => [key, action]));
    const dialog = byId("help");
    const rows = [...bindings.filter(([, words]) => words),
      [0, "Tab", "go from control to control"], [0, "← ↑ → ↓", "move the pad, a knob or the morph; Shift: finely"],
      [0, "Home End Del", "a knob to its least, its most, or back to rest"]];
    dialog.replaceChildren(make("h2", { text: "Keys" }),
      make("dl", {}, ...rows.flatMap(([, words, what]) => [make("dt", {}, ...words.split(" ").map((word) => make("kbd", { text: word }))), make("dd", { text: what })])),
      make("p", { text: "Drag knobs up and down. Double-click one to put it back to rest. Drag bars from the history into your set." }),
      make("button", { text: "Close", click: () => dialog.close() }));
    document.addEventListener("keydown", (event) => this.down(event));
  }

  down(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches(TYPING) || byId("help").open) return;
    const action = this.actions.get(event.key);
    if (!action || (event.key === " " && event.target.matches("button, a, summary"))) return; // there, space presses it
    event.preventDefault();
    if (!event.repeat) action();
  }
}
