// Small helpers to build the page.

/** An element with attributes (functions become listeners, `text` the content) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A number as a hand wants to read it. */
export function shown(value, spec) {
  if (spec.kind === "int") return String(Math.round(value));
  const span = spec.high - spec.low;
  return value.toFixed(span > 20 ? 0 : 2).replace(/^-0(\.0*)?$/, (zero) => zero.slice(1));
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A word of the table as a label. */
export const label = (verb) => verb.replace(/[_/]/g, " ");
