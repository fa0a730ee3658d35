// The line to the bridge: one WebSocket, opened again whenever it is gone.

import { decode, encode } from "./osc.js";

const PING_MS = 1000;
const SILENCE_MS = 3500; // so long without a word, and the bridge is taken for gone
const RETRY_MS = [150, 300, 600, 1000, 1500];

/** Calls back with every message. `sendSoon` keeps only the newest value of each address until the next frame. */
export class Link {
  constructor({ onMessage, onText, onUp, onDown }) {
    this.onMessage = onMessage;
    this.onText = onText;
    this.onUp = onUp;
    this.onDown = onDown;
    this.up = false;
    this.tries = 0;
    this.heard = 0;
    this.soon = new Map();
    this.frameAsked = false;
    setInterval(() => this.watch(), PING_MS);
    this.open();
  }

  open() {
    const socket = new WebSocket(`ws://${location.host}/osc`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    socket.onmessage = (event) => {
      this.heard = performance.now();
      if (!this.up) {
        this.up = true;
        this.tries = 0;
        this.onUp();
      }
      if (typeof event.data === "string") this.onText(JSON.parse(event.data));
      else {
        const { address, args } = decode(event.data);
        this.onMessage(address, args, this.heard);
      }
    };
    socket.onclose = () => this.lost(socket);
  }

  lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.soon.clear();
    if (this.up) {
      this.up = false;
      this.onDown();
    }
    const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
    this.tries += 1;
    setTimeout(() => this.open(), wait);
  }

  watch() {
    if (!this.socket) return;
    if (performance.now() - this.heard > SILENCE_MS) {
      const silent = this.socket;
      silent.onclose = null;
      silent.close();
      this.lost(silent);
    } else this.send("/bridge/ping", 0);
  }

  send(address, ...args) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(encode(address, args));
    return true;
  }

  sendSoon(address, ...args) {
    this.soon.set(address, args);
    if (this.frameAsked) return;
    this.frameAsked = true;
    if (document.hidden) this.flush();
    else requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frameAsked = false;
    for (const [address, args] of this.soon) this.send(address, ...args);
    this.soon.clear();
  }
}
