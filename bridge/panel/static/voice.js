// What the page knows of one voice, from the events of the bridge.

const REMEMBERED = 160; // sets of bars whose notes are kept for the history's pictures
export const COLORS = ["#ffb454", "#5ad4c0", "#c49bff", "#7fb4ff", "#ff8f9c", "#b7d667"];

export class Voice {
  constructor({ name, parts, rest }, index, clock) {
    this.name = name;
    this.parts = parts;
    this.rest = rest;
    this.clock = clock;
    this.colors = COLORS.map((_, part) => COLORS[(index + part) % COLORS.length]); // by part: a trio has three
    this.color = this.colors[0];
    this.state = {};
    this.until = Infinity; // the beat where bars that sound once have done so
    this.over = false;
    this.jam = { phase: "off", start: -1, length: 0 }; // where its jam is, as the bridge last said
    this.loops = new Map();
    this.memory = { bars: [], corners: {} };
  }

  get drums() {
    return String(this.state.model || "").startsWith("drums");
  }

  /** Keys and values in turn; what has changed is returned. */
  take(args) {
    const changed = new Set();
    for (let at = 0; at + 1 < args.length; at += 2) {
      if (this.state[args[at]] !== args[at + 1]) changed.add(args[at]);
      this.state[args[at]] = args[at + 1];
    }
    const present = this.loops.get(this.state.sounding_id || this.state.pending_id);
    if (present && this.state.length && present.length !== this.state.length) {
      present.length = this.state.length;
      changed.add("length");
    }
    if (["loop", "jam", "sounding_id", "start", "length"].some((key) => changed.has(key))) this.once();
    return changed;
  }

  /** Answers of a jam sound once, and bars with the loop off to the end of the round that they are in. */
  once() {
    const { start, length, loop, jam } = this.state;
    const round = Math.max(0, Math.floor((this.clock.beatAt(performance.now()) - start) / length));
    this.over = false;
    this.until = Infinity;
    if (start >= 0 && length > 0 && jam === "respond") this.until = start + length;
    else if (start >= 0 && length > 0 && loop === 0) this.until = start + (round + 1) * length;
  }

  /** Whether its bars are heard at a beat of the song, which runs. */
  sounds(beat) {
    this.over = this.over || beat >= this.until;
    const early = this.state.jam === "respond" && beat < this.state.start - 0.1; // the song has gone back
    return Boolean(this.state.playing) && !this.state.muted && !this.over && !early;
  }

  /** Whose turn it is in a jam at a beat of the song; nothing where it does not jam. */
  turn(beat, running) {
    const { phase, start, length } = this.jam;
    const left = Math.min(length, Math.ceil(start + length - beat)); // it may be told a moment before its line
    const counted = running && left > 0 ? `, ${left} to go` : "";
    if (phase === "count_in") return counted ? `counts you in${counted}` : "your turn";
    return { ready: "your turn", listen: `listens${counted}`, answer: `answers${counted}`, follow: "follows you" }[phase] || "";
  }

  begin(id, start, bars) {
    this.telling = { id, start, length: bars * this.clock.barBeats, notes: [] };
  }

  notes(id, flat) {
    if (!this.telling || this.telling.id !== id) return;
    for (let at = 0; at + 4 < flat.length; at += 5) this.telling.notes.push(flat.slice(at, at + 5));
  }

  end(id) {
    const loop = this.telling;
    if (!loop || loop.id !== id) return null;
    this.telling = null;
    const known = this.loops.get(id);
    if (known && loop.start < 0) loop.start = known.start;
    if (id === this.state.sounding_id && this.state.length) loop.length = this.state.length;
    this.keep(loop);
    return loop;
  }

  keep(loop) {
    this.loops.delete(loop.id);
    this.loops.set(loop.id, loop);
    if (this.loops.size > REMEMBERED) {
      for (const id of this.loops.keys()) {
        if (id !== this.state.sounding_id && id !== this.state.pending_id) {
          this.loops.delete(id);
          break;
        }
      }
    }
  }

  loop() {
    return this.loops.get(this.state.sounding_id) || null;
  }

  pending() {
    return (this.state.pending_id && this.loops.get(this.state.pending_id)) || null;
  }

  /** Notes of bars from the archive, for those that were made before this page was opened; null when they are gone. */
  async fetch(id) {
    const answer = await fetch(`/bars/${encodeURIComponent(this.name)}/${id}.json`);
    if (!answer.ok) return null;
    const { length, notes } = await answer.json();
    const loop = { id, start: -1, length, notes };
    if (!this.loops.has(id)) this.keep(loop);
    return loop;
  }

  get missingCorners() {
    return ["a", "b", "c", "d"].filter((slot) => !this.memory.corners[slot]);
  }
}
