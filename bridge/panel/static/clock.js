// Where the song is, at any moment of performance.now(), from what the bridge says now and then.

const JUMP_BEATS = 0.2; // further from what was expected than this is a jump, not a late message
const REMEMBERED = 8;
const PULL = 0.25;

/** Messages come late, never early: the least late of the last few is the best word about the offset. */
export class SongClock {
  constructor() {
    this.beat = 0;
    this.atMs = 0;
    this.tempo = 120;
    this.playing = false;
    this.numerator = 4;
    this.denominator = 4;
    this.slips = [];
  }

  beatAt(nowMs) {
    return this.playing ? this.beat + ((nowMs - this.atMs) * this.tempo) / 60000 : this.beat;
  }

  told(beat, tempo, playing, atMs) {
    const slip = beat - this.beatAt(atMs);
    const steady = playing && this.playing && tempo === this.tempo && Math.abs(slip) < JUMP_BEATS;
    if (!steady) {
      this.beat = beat;
      this.atMs = atMs;
      this.tempo = tempo;
      this.playing = playing;
      this.slips = [];
      return;
    }
    this.slips = [...this.slips, slip].slice(-REMEMBERED);
    const shift = PULL * Math.max(...this.slips);
    this.beat = this.beatAt(atMs) + shift;
    this.atMs = atMs;
    this.slips = this.slips.map((old) => old - shift);
  }

  get barBeats() {
    return (this.numerator * 4) / this.denominator;
  }
}
