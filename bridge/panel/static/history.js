// The bars a voice has made, newest first: one click brings them back, and each can be dragged out as a MIDI file.

import { byId, make } from "./dom.js";
import { drawLoop, rowsOf } from "./roll.js";

export class History {
  constructor(recall) {
    this.recall = recall;
    this.list = byId("history");
    this.items = new Map();
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) this.picture(entry.target.item);
    });
    this.list.onkeydown = (event) => this.key(event);
  }

  choose(voice) {
    this.voice = voice;
    this.items.clear();
    this.list.replaceChildren();
    this.list.style.setProperty("--tint", voice.color);
    this.update();
  }

  update() {
    const wanted = [...this.voice.memory.bars].reverse();
    for (const [id, item] of this.items) {
      if (wanted.includes(id)) continue;
      item.element.remove();
      this.items.delete(id);
    }
    wanted.forEach((id, place) => {
      const item = this.items.get(id) || this.add(id);
      if (this.list.children[place] !== item.element) this.list.insertBefore(item.element, this.list.children[place] || null);
    });
    this.mark();
  }

  mark() {
    const { sounding_id: sounding, pending_id: pending } = this.voice.state;
    for (const [id, { element, button }] of this.items) {
      element.classList.toggle("sounding", id === sounding);
      element.classList.toggle("pending", id === pending);
      button.setAttribute("aria-current", String(id === sounding));
    }
  }

  add(id) {
    const { voice } = this;
    const address = `/bars/${encodeURIComponent(voice.name)}/${id}.mid`;
    const file = `${voice.name}-${id}.mid`;
    const picture = make("canvas", { "aria-hidden": "true" });
    const button = make("button", { class: "recall", "aria-label": `Recall bars ${id}`, "data-id": id, click: () => this.recall(id) }, picture, make("b", { text: `#${id}` }));
    const link = make("a", { href: address, download: file, text: ".mid", "aria-label": `Download bars ${id} as a MIDI file`, title: "click to save, or drag into your set" });
    const element = make("li", { draggable: "true" }, button, link);
    element.addEventListener("dragstart", (event) => {
      event.dataTransfer.effectAllowed = "copy";
      event.dataTransfer.setData("DownloadURL", `audio/midi:${file}:${location.origin}${address}`);
      event.dataTransfer.setData("text/uri-list", location.origin + address);
    });
    const item = { id, element, button, picture, voice };
    element.item = item;
    this.items.set(id, item);
    this.seen.observe(element);
    return item;
  }

  async picture(item) {
    if (item.drawn) return;
    item.drawn = true;
    const loop = item.voice.loops.get(item.id) || (await item.voice.fetch(item.id).catch(() => null));
    if (loop) drawLoop(item.picture, loop, rowsOf([loop], item.voice.drums), { colors: item.voice.colors, drums: item.voice.drums, plain: true });
    else item.drawn = false;
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const here = event.target.closest("li");
    if (!step || !here) return;
    const next = step > 0 ? here.nextElementSibling : here.previousElementSibling;
    if (next) next.querySelector("button").focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
