// The panel: joins the line to the bridge, the voices, and what shows them.

import { SongClock } from "./clock.js";
import { Desk } from "./desk.js";
import { byId, make, shown } from "./dom.js";
import { buildForms } from "./forms.js";
import { History } from "./history.js";
import { Keys } from "./keys.js";
import { Lane } from "./lane.js";
import { Link } from "./link.js";
import { surface } from "./roll.js";
import { Voice } from "./voice.js";

const TOAST_MS = 3500;
const LATENCIES = 24;

const clock = new SongClock();
const voices = new Map();
const lanes = new Map();
const latencies = [];
let chosen = null;
let desk = null;
let history = null;
let told = ""; // the interface as last told: the same again builds nothing anew
let ready = false;
let toastTimer = 0;

const link = new Link({ onMessage, onText, onUp: () => health(), onDown: () => health() });
const ask = (verb, ...args) => chosen && link.send(`/${chosen.name}/${verb}`, ...args);
const askSoon = (verb, ...args) => chosen && link.sendSoon(`/${chosen.name}/${verb}`, ...args);

// -- words ------------------------------------------------------------------------------------------------------------

function health() {
  document.body.classList.toggle("away", !link.up);
  document.body.classList.toggle("ready", link.up && ready);
  const deaf = [...voices.values()].filter((voice) => !voice.state.ready).map((voice) => voice.name);
  let words = "ready";
  if (!link.up) words = "bridge away, looking for it …";
  else if (!ready) words = "getting ready …";
  else if (deaf.length) words = `no model for ${deaf.join(", ")}`;
  if (byId("health").textContent !== words) byId("health").textContent = words;
}

function toast(words) {
  const box = byId("toast");
  box.textContent = words;
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (box.hidden = true), TOAST_MS);
}

// -- what the bridge says -----------------------------------------------------------------------------------------------

function onText(news) {
  if (news.kind === "interface") {
    const same = JSON.stringify(news);
    if (same !== told) build(news);
    told = same;
  } else if (news.kind === "memory") {
    const voice = voices.get(news.voice);
    voice.memory = news;
    if (voice === chosen) {
      desk.memory();
      history.update();
    }
  }
}

function onMessage(address, args, atMs) {
  const [, scope, ...rest] = address.split("/");
  const verb = rest.join("/");
  if (scope === "error") refused(...args);
  else if (scope === "clock") onClock(verb, args, atMs);
  else if (scope === "bridge") onBridge(verb, args);
  else if (voices.has(scope)) onVoice(voices.get(scope), verb, args);
}

function refused(code, address, words) {
  toast(`${address}: ${words}`);
  if (desk && chosen && address.startsWith(`/${chosen.name}/`)) desk.letGo();
}

function onBridge(verb, args) {
  if (verb === "ready") ready = Boolean(args[0]);
  if (verb === "pong") ready = Boolean(args[3]);
  if (verb === "panicked") toast(`panic: ${args[0]} notes closed, voices stopped`);
  health();
}

function onClock(verb, args, atMs) {
  if (verb === "beat") clock.told(args[0], args[1], Boolean(args[2]), atMs);
  if (verb !== "state") return;
  const [source, playing, tempo, beat, numerator, denominator, errorMs] = args;
  const metre = clock.numerator !== numerator || clock.denominator !== denominator;
  Object.assign(clock, { numerator, denominator });
  clock.told(beat, tempo, Boolean(playing), atMs);
  document.body.classList.toggle("running", Boolean(playing));
  byId("run").textContent = playing ? "■" : "▶";
  byId("run").setAttribute("aria-label", playing ? "Stop the clock" : "Play the clock");
  if (document.activeElement !== byId("tempo")) byId("tempo").value = String(Math.round(tempo * 100) / 100);
  byId("phase").textContent = `${errorMs >= 0 ? "+" : "−"}${Math.abs(errorMs).toFixed(1)} ms`;
  byId("source").title = `the song follows: ${source}`;
  byId("source").dataset.now = source;
  byId("source").querySelector("option").textContent = source;
  if (metre) for (const lane of lanes.values()) lane.draw();
}

function onVoice(voice, verb, args) {
  const lane = lanes.get(voice.name);
  if (verb === "state") {
    const changed = voice.take(args);
    const id = voice.state.sounding_id;
    if (id && !voice.loops.has(id) && voice.memory.bars.includes(id)) {
      voice.fetch(id).then((loop) => loop && lane.draw()).catch(() => null);
    }
    if (["sounding_id", "pending_id", "length", "model"].some((key) => changed.has(key))) {
      lane.draw();
      if (voice === chosen) history.mark();
    }
    lane.update();
    if (voice === chosen) desk.sync();
    if (changed.has("ready")) health();
  } else if (verb === "jam/phase") voice.jam = { phase: args[0], start: args[1], length: args[2] };
  else if (verb === "bars/begin") voice.begin(args[0], args[2], args[3]);
  else if (verb === "bars/notes") voice.notes(args[0], args.slice(1));
  else if (verb === "bars/end") {
    const loop = voice.end(args[0]);
    if (loop && args[1] > 0) latency(args[1]);
    if (loop && [voice.state.sounding_id, voice.state.pending_id].includes(loop.id)) lane.draw();
  } else if (verb === "late") toast(`${voice.name}: late by ${args[1].toFixed(0)} ms, the loop goes round once more`);
}

function latency(ms) {
  latencies.push(ms);
  if (latencies.length > LATENCIES) latencies.shift();
  byId("latency").textContent = `${ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  const { pen, width, height } = surface(byId("latencies"));
  const most = Math.max(...latencies, 20);
  pen.fillStyle = "rgba(255,255,255,.5)";
  latencies.forEach((one, index) => {
    const tall = Math.max(1, (one / most) * height);
    pen.fillRect((index * width) / LATENCIES, height - tall, width / LATENCIES - 1, tall);
  });
}

// -- the page -----------------------------------------------------------------------------------------------------------

function build({ routes, attributes, voices: names }) {
  const table = (scope, verb) => (verb ? routes.find((route) => route.scope === scope && route.verb === verb)
    : routes.filter((route) => route.scope === scope));
  const before = chosen && chosen.name;
  voices.clear();
  lanes.clear();
  names.forEach((described, index) => {
    const voice = new Voice(described, index, clock);
    voices.set(voice.name, voice);
    lanes.set(voice.name, new Lane(voice, index, {
      choose, mute: (one) => link.send(`/${one.name}/mute`, one.state.muted ? 0 : 1),
    }));
  });
  byId("lanes").replaceChildren(...[...lanes.values()].map((lane) => lane.element));
  const source = table("clock", "source").arguments[0];
  byId("source").replaceChildren(make("option", { value: "", text: "clock" }), ...source.choices.map((word) => make("option", {
    value: word, text: word,
  })));
  byId("source").firstChild.hidden = true;
  const tempo = table("clock", "tempo").arguments[0];
  byId("tempo").title = `${table("clock", "tempo").text} ${tempo.allowed}`;
  byId("tempo").onkeydown = (event) => nudgeTempo(event, tempo);
  byId("panic").title = table("bridge", "panic").text;
  byId("tap").title = table("clock", "tap").text;
  desk = new Desk(table, ask, askSoon, attributes);
  history = new History((id) => ask("recall", id));
  buildForms(routes, desk.placed, (scope, verb, ...args) => (scope === "VOICE" ? ask(verb, ...args) : link.send(`/${scope}/${verb}`, ...args)));
  choose(voices.has(before) ? before : names[0].name);
}

function choose(name) {
  const voice = voices.get(name);
  if (!voice) return;
  chosen = voice;
  for (const [other, lane] of lanes) lane.choose(other === name);
  desk.choose(voice);
  history.choose(voice);
}

const run = () => link.send(clock.playing ? "/clock/stop" : "/clock/play");
const panic = () => link.send("/bridge/panic");

function setTempo(value) {
  if (Number.isFinite(value)) link.send("/clock/tempo", value);
}

function nudgeTempo(event, spec) {
  const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (event.key === "Enter") byId("tempo").blur();
  if (!by) return;
  event.preventDefault();
  const value = Math.min(spec.high, Math.max(spec.low, Number(byId("tempo").value) + by * (event.shiftKey ? 0.1 : 1)));
  byId("tempo").value = shown(value, { kind: "float", low: 0, high: 1 }).replace(/\.?0+$/, "");
  setTempo(value);
}

const lowWindow = matchMedia("(max-height: 260px)"); // there the page is one row: a wheel goes along it
document.querySelector("main").addEventListener("wheel", (event) => {
  if (lowWindow.matches && !event.target.closest("#history, .knob:focus")) event.currentTarget.scrollLeft += event.deltaY;
}, { passive: true });
byId("run").onclick = run;
byId("panic").onclick = panic;
byId("tap").onclick = () => link.send("/clock/tap");
byId("ask").onclick = () => byId("help").showModal();
byId("tempo").onchange = (event) => setTempo(Number(event.target.value));
byId("source").onchange = (event) => {
  link.send("/clock/source", event.target.value);
  event.target.value = "";
};

const offer = (verb, words, what, action) => [verb, words, what, () => desk && action()];
new Keys([
  [" ", "Space P", "play and stop the clock; on a button, space presses it", run],
  ["p", "", "", run],
  ...Array.from({ length: 9 }, (_, index) => [String(index + 1), index ? "" : "1 … 9", "choose a voice", () => choose([...voices.keys()][index])]),
  offer("n", "N", "next bars", () => ask("next", desk.bars)),
  offer("s", "S", "sample", () => ask("sample", desk.bars)),
  offer("v", "V", "vary", () => desk.vary()),
  offer("[", "[ ]", "fewer, more bars", () => desk.stepBars(-1)),
  offer("]", "", "", () => desk.stepBars(1)),
  offer("z", "Z", "undo", () => ask("undo")),
  offer("y", "Y", "redo", () => ask("redo")),
  offer("t", "T", "tap the tempo", () => link.send("/clock/tap")),
  offer("k", "K", "play and stop the voice", () => ask(chosen.state.playing ? "stop" : "play")),
  offer("m", "M", "mute the voice", () => ask("mute", chosen.state.muted ? 0 : 1)),
  ...["A", "B", "C", "D"].map((slot, index) => offer(slot, index ? "" : "Shift A … D", "store the loop in a corner", () => ask("store", slot.toLowerCase()))),
  offer("x", "X", "go to the pad", () => desk.pad.element.focus()),
  offer("h", "H", "go to the history", () => { const first = byId("history").querySelector("button"); if (first) first.focus(); }),
  ["!", "!", "panic: everything silent", panic],
  ["?", "?", "this page", () => byId("help").showModal()],
]);

let whereShown = "";

function frame(nowMs) {
  const beat = clock.beatAt(nowMs);
  const bar = clock.barBeats;
  const where = `${Math.floor(beat / bar) + 1}.${Math.floor((((beat % bar) + bar) % bar) * (clock.denominator / 4)) + 1}`;
  if (where !== whereShown) byId("where").textContent = whereShown = where;
  for (const lane of lanes.values()) lane.frame(beat, clock.playing);
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
