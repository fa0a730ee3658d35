// Every request that has no control of its own, as a small form: so the page can ask all that the table offers.

import { byId, label, make } from "./dom.js";

const UNFIT = ["bridge/ping", "bridge/subscribe", "bridge/unsubscribe", "bridge/state", "bridge/panic", "clock/live",
  "clock/play", "clock/stop", "clock/continue", "clock/tempo", "clock/source", "clock/tap"]; // the page's own business, or up in the bar

function field(spec) {
  const common = { "aria-label": spec.name, title: spec.allowed, "data-name": spec.name };
  if (spec.kind === "choice") {
    return make("select", common, ...spec.choices.map((word) => make("option", { text: word, value: word })));
  }
  if (spec.kind === "bool") return make("select", common, make("option", { text: "off", value: "0" }), make("option", { text: "on", value: "1" }));
  if (spec.kind === "name") return make("input", { ...common, placeholder: spec.name, maxlength: 64, size: 10 });
  return make("input", { ...common, type: "number", min: spec.low, max: spec.high, step: spec.kind === "int" ? 1 : "any", placeholder: spec.name, value: spec.default });
}

const numeric = (spec) => ["int", "float", "bool"].includes(spec.kind);

/** `send(scope, verb, ...args)`; VOICE stands for the chosen voice. */
export function buildForms(routes, placed, send) {
  const fit = routes.filter((route) => !UNFIT.includes(`${route.scope}/${route.verb}`)
    && !(route.scope === "VOICE" && placed.has(route.verb)) && !route.verb.startsWith("seed")
    && !route.arguments.some((spec) => spec.kind === "notes" || spec.kind === "chords"));
  byId("forms").replaceChildren(...fit.map((route) => {
    const fields = route.arguments.map(field);
    const form = make("form", { title: route.text, "data-verb": route.verb },
      make("span", { class: "name", text: route.scope === "VOICE" ? label(route.verb) : `${route.scope} ${label(route.verb)}` }),
      make("fieldset", {}, ...fields, make("button", { text: "Send" })),
      make("small", { text: route.text }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = fields.map((input) => input.value);
      const count = given.indexOf("") < 0 ? given.length : given.indexOf("");
      const values = given.slice(0, count).map((value, index) => (numeric(route.arguments[index]) ? Number(value) : value));
      send(route.scope, route.verb, ...values);
    });
    return form;
  }));
}
