// Max, as far as the patch needs it: reads the device file, makes its objects, runs its cords. An object, message or
// inlet that it does not know is an error, where Max would stay silent.
'use strict';

const dgram = require('node:dgram');
const vm = require('node:vm');
const {encode, decode} = require('./osc');
const {liveApiFor} = require('./live');
const time = require('./time');

function members(file) {
    let at = 0;
    let patch = null;
    while (at < file.length) {
        const size = file.readUInt32LE(at + 4);
        if (file.toString('latin1', at, at + 4) === 'ptch') {
            patch = file.subarray(at + 8, at + 8 + size);
        }
        at += 8 + size;
    }
    const found = {};
    let entry = Number(patch.readBigUInt64BE(8)) + 8;
    while (entry < patch.length) {
        const end = entry + patch.readUInt32BE(entry + 4);
        const fields = {};
        for (let field = entry + 8; field < end; field += patch.readUInt32BE(field + 4)) {
            fields[patch.toString('latin1', field, field + 4)] = patch.subarray(field + 8, field + patch.readUInt32BE(field + 4));
        }
        const name = fields.fnam.toString('latin1').replace(/\0+$/, '');
        const start = fields.of32.readUInt32BE(0);
        found[name] = patch.subarray(start, start + fields.sz32.readUInt32BE(0));
        entry = end;
    }
    return found;
}

class Device {
    constructor(file, live, track, values) {
        this.live = live;
        this.track = track;
        this.errors = [];
        this.sent = [];
        this.midi = [];
        this.queue = [];
        this.sockets = [];
        this.timers = new Set();
        this.console = [];
        const files = members(file);
        const [name] = Object.keys(files);
        const text = files[name].toString('utf8');
        this.files = files;
        this.patcher = JSON.parse(text.slice(0, text.lastIndexOf('}') + 1)).patcher;
        this.boxes = new Map();
        this.cords = new Map();
        for (const {box} of this.patcher.boxes) {
            this.boxes.set(box.id, this.make(box, values));
        }
        for (const {patchline} of this.patcher.lines) {
            const [id, outlet] = patchline.source;
            const key = `${id}:${outlet}`;
            if (!this.cords.has(key)) {
                this.cords.set(key, []);
            }
            this.cords.get(key).push(patchline.destination);
        }
    }

    make(box, values) {
        const words = (box.text || '').split(' ');
        const kind = box.maxclass === 'newobj' ? words[0] : box.maxclass;
        const args = words.slice(1).map((word) => (Number.isNaN(Number(word)) ? word : Number(word)));
        const maker = objects[kind];
        if (!maker) {
            throw new Error(`no such object: ${kind}`);
        }
        const self = {id: box.id, box, kind, device: this};
        self.out = (outlet, ...message) => this.send(box.id, outlet, message);
        self.receive = maker(self, args, values);
        return self;
    }

    send(id, outlet, message) {
        if (outlet >= this.boxes.get(id).box.numoutlets) {
            throw new Error(`${id} has no outlet ${outlet}`);
        }
        for (const [target, inlet] of this.cords.get(`${id}:${outlet}`) || []) {
            this.boxes.get(target).receive(inlet, message);
        }
    }

    // Errors inside Max end up in its console and stop nothing; here they are kept for the test to see.
    guarded(action) {
        try {
            action();
        } catch (fault) {
            this.errors.push(String(fault.stack || fault));
        }
    }

    later(ms, action) {
        const timer = time.after(ms, () => {
            this.timers.delete(timer);
            this.guarded(action);
        });
        this.timers.add(timer);
        return timer;
    }

    start() {
        for (const box of this.boxes.values()) {
            if (box.start) {
                this.guarded(box.start);
            }
        }
        this.later(30, () => {
            this.script.ready = true;
            for (const box of this.boxes.values()) {
                if (box.kind === 'live.thisdevice') {
                    box.out(0, 'bang');
                }
            }
        });
    }

    close() {
        if (this.leaves) {
            return;
        }
        this.leaves = true;
        this.guarded(() => this.script.context.notifydeleted());
        time.after(30, () => {
            this.closed = true;
            this.timers.forEach((timer) => time.cancel(timer));
            this.boxes.forEach((box) => time.cancel(box.interval));
            this.sockets.forEach((socket) => socket.close());
        });
    }

    control(longname) {
        for (const box of this.boxes.values()) {
            const valueof = (box.box.saved_attribute_attributes || {}).valueof;
            if (valueof && valueof.parameter_longname === longname) {
                return box;
            }
        }
        throw new Error(`no parameter ${longname}`);
    }
}

// -- objects ----------------------------------------------------------------------------------------------------------

const isNumber = (value) => typeof value === 'number';

function parameter(self, values) {
    const valueof = self.box.saved_attribute_attributes.valueof;
    self.valueof = valueof;
    const given = values[valueof.parameter_longname];
    self.value = given === undefined ? valueof.parameter_initial[0] : given;
    self.store = (value) => {
        const low = valueof.parameter_mmin;
        const high = valueof.parameter_mmax;
        const clipped = Math.min(high, Math.max(low, value));
        self.value = valueof.parameter_type === 0 ? Math.fround(clipped) : Math.round(clipped);
    };
    const say = () => self.out(0, self.value);
    self.turn = (value) => {
        self.store(value);
        say();
    };
    return (inlet, [word, value]) => {
        if (word === 'set' && isNumber(value)) {
            self.store(value);
        } else if (word === 'outputvalue') {
            say();
        } else if (word === 'text' && self.kind === 'live.text') {
            self.text = value;
        } else if (isNumber(word)) {
            self.turn(word);
        } else {
            throw new Error(`${self.kind}: no message ${word}`);
        }
    };
}

const withArguments = (text) => text.filter((word) => !String(word).startsWith('@'));

const objects = {
    'live.dial': (self, args, values) => parameter(self, values),
    'live.numbox': (self, args, values) => parameter(self, values),
    'live.menu': (self, args, values) => parameter(self, values),
    'live.tab': (self, args, values) => parameter(self, values),
    'live.text': (self, args, values) => parameter(self, values),
    'live.comment': (self) => {
        self.text = self.box.text;
        return (inlet, [word, text]) => {
            if (word !== 'set' || typeof text !== 'string') {
                throw new Error(`live.comment: no message ${word} ${text}`);
            }
            self.text = text;
            self.device.texts = (self.device.texts || []).concat(text);
        };
    },
    'live.thisdevice': () => () => {
        throw new Error('nothing is sent to live.thisdevice');
    },
    'midiin': () => () => undefined,
    'midiout': (self) => (inlet, [byte]) => {
        self.device.midi.push([time.now(), byte]);
    },
    'message': (self) => {
        const words = self.box.text.split(' ');
        return () => self.out(0, ...words);
    },
    't': (self, args) => (inlet, message) => {
        for (let outlet = args.length - 1; outlet >= 0; outlet -= 1) {
            self.out(outlet, ...(args[outlet] === 'b' ? ['bang'] : message));
        }
    },
    'route': (self, args) => (inlet, message) => {
        const at = args.indexOf(message[0]);
        if (at < 0) {
            self.out(args.length, ...message);
        } else {
            self.out(at, ...(message.length > 1 ? message.slice(1) : ['bang']));
        }
    },
    'prepend': (self, args) => {
        let words = args;
        return (inlet, message) => {
            if (message[0] === 'set') {
                words = message.slice(1);
            } else {
                self.out(0, ...words, ...message);
            }
        };
    },
    'pack': (self, args) => {
        const held = args.slice();
        return (inlet, message) => {
            if (message[0] !== 'bang') {
                message.forEach((value, at) => {
                    if (!isNumber(value)) {
                        throw new Error(`pack: ${value} is no number`);
                    }
                    if (inlet + at < held.length) {
                        held[inlet + at] = value;
                    }
                });
            }
            if (inlet === 0) {
                self.out(0, ...held);
            }
        };
    },
    'unpack': (self, args) => (inlet, message) => {
        for (let at = Math.min(args.length, message.length) - 1; at >= 0; at -= 1) {
            self.out(at, message[at]);
        }
    },
    'metro': (self, args) => {
        self.start = () => {
            self.interval = time.every(args[0], () => self.device.guarded(() => self.out(0, 'bang')));
        };
        return () => {
            throw new Error('metro takes no messages here');
        };
    },
    'cpuclock': (self) => (inlet, [word]) => {
        if (word !== 'bang') {
            throw new Error(`cpuclock: no message ${word}`);
        }
        self.out(0, time.now() % 1e7);
    },
    'transport': (self) => () => {
        const live = self.device.live;
        const song = live.song.props;
        const ticks = live.beats() * 480;
        const beatTicks = 480 * 4 / song.signature_denominator;
        const barTicks = beatTicks * song.signature_numerator;
        const inBar = ticks % barTicks;
        const lag = self.device.transportLag || 0;
        const outputs = [
            Math.floor(ticks / barTicks) + 1, Math.floor(inBar / beatTicks) + 1, inBar % beatTicks, 480, song.tempo,
            null, song.is_playing, ticks + lag * 480,
        ];
        for (let outlet = 7; outlet >= 0; outlet -= 1) {
            if (outlet === 5) {
                self.out(5, song.signature_numerator, song.signature_denominator);
            } else {
                self.out(outlet, outputs[outlet]);
            }
        }
    },
    // The main thread gets round to it within some milliseconds, in order.
    'deferlow': (self) => (inlet, message) => {
        self.device.queue.push(() => self.out(0, ...message));
        self.device.later(Math.random() * 8, () => self.device.queue.shift()());
    },
    'delay': (self, args) => {
        let [ms] = args;
        let timer = null;
        return (inlet, [word]) => {
            if (inlet === 1 && isNumber(word)) {
                ms = word;
            } else if (inlet === 0 && (word === 'bang' || word === 'stop')) {
                time.cancel(timer); // a bang that waits is replaced
                timer = word === 'bang' ? self.device.later(ms, () => self.out(0, 'bang')) : null;
            } else {
                throw new Error(`delay: ${word} in inlet ${inlet}`);
            }
        };
    },
    'pipe': (self, args) => {
        let waiting = new Set();
        return (inlet, message) => {
            if (message[0] === 'clear') {
                waiting.forEach((timer) => time.cancel(timer));
                waiting = new Set();
                return;
            }
            if (inlet !== 0 || message.length !== args.length || !message.every(isNumber)) {
                throw new Error(`pipe: ${message}`);
            }
            const timer = self.device.later(message[message.length - 1], () => {
                waiting.delete(timer);
                for (let at = args.length - 2; at >= 0; at -= 1) {
                    self.out(at, Math.trunc(message[at]));
                }
            });
            waiting.add(timer);
        };
    },
    'makenote': (self, args) => {
        let [velocity, duration] = withArguments(args);
        const held = new Map(); // repeatmode 2: a key is closed before it sounds again
        const close = (pitch) => {
            time.cancel(held.get(pitch));
            held.delete(pitch);
            self.out(1, 0);
            self.out(0, pitch);
        };
        return (inlet, [word]) => {
            if (word === 'stop') {
                [...held.keys()].forEach(close);
            } else if (inlet === 2) {
                duration = word;
            } else if (inlet === 1) {
                velocity = word;
            } else {
                if (held.has(word)) {
                    close(word);
                }
                self.out(1, velocity);
                self.out(0, word);
                held.set(word, self.device.later(duration, () => close(word)));
            }
        };
    },
    'midiformat': (self, args) => (inlet, message) => {
        if (inlet !== 0 || message.length !== 2) {
            throw new Error(`midiformat: ${message} in inlet ${inlet}`);
        }
        [0x90 + args[0] - 1, ...message].forEach((byte) => self.out(0, byte));
    },
    'midiflush': (self) => {
        const held = new Map();
        let bytes = [];
        return (inlet, [word]) => {
            if (word === 'bang') {
                held.forEach((status, key) => [status, key, 0].forEach((byte) => self.out(0, byte)));
                held.clear();
                return;
            }
            self.out(0, word);
            bytes.push(word);
            if (bytes.length === 3) {
                const [status, key, velocity] = bytes;
                if (velocity) {
                    held.set(key, status);
                } else {
                    held.delete(key);
                }
                bytes = [];
            }
        };
    },
    'udpsend': (self, args) => {
        let port = args[1];
        const socket = dgram.createSocket('udp4');
        self.device.sockets.push(socket);
        return (inlet, message) => {
            if (message[0] === 'port') {
                [, port] = message;
                return;
            }
            const {packet, tags} = encode(message[0], message.slice(1));
            self.device.sent.push({at: time.now(), port, address: message[0], tags, values: message.slice(1)});
            socket.send(packet, port, '127.0.0.1');
        };
    },
    'udpreceive': (self, args) => {
        let socket = null;
        const bind = (port) => {
            if (socket) {
                socket.close();
                self.device.sockets.splice(self.device.sockets.indexOf(socket), 1);
            }
            socket = dgram.createSocket({type: 'udp4', reuseAddr: false, recvBufferSize: 1 << 20});
            self.device.sockets.push(socket);
            const mine = socket;
            socket.on('error', (fault) => {
                self.device.console.push(String(fault)); // a port that is taken: only a line in the console
                self.device.sockets.splice(self.device.sockets.indexOf(mine), 1);
                if (socket === mine) {
                    socket = null;
                }
            });
            socket.on('message', (packet) => self.device.guarded(() => self.out(0, ...decode(packet))));
            socket.bind(port, '127.0.0.1');
        };
        self.start = () => bind(args[0]);
        return (inlet, [word, port]) => {
            if (word !== 'port' || !Number.isInteger(port)) {
                throw new Error(`udpreceive: no message ${word} ${port}`);
            }
            bind(port);
        };
    },
    'js': (self, args) => {
        const device = self.device;
        device.script = {ready: false};
        const context = vm.createContext({
            outlet: (outlet, list) => self.out(outlet, ...(Array.isArray(list) || typeof list === 'object' ? [...list] : [list])),
            post: (text) => device.console.push(text),
            arrayfromargs: (list) => vm.runInContext('(function (a) { return Array.prototype.slice.call(a); })', context)(list),
            LiveAPI: liveApiFor(device.live, device.track.device, device.script),
        });
        context.Global = function Global(name) {
            SHARED[name] = SHARED[name] || {};
            return SHARED[name];
        };
        context.Date = class Date {
            getTime() {
                return Math.floor(time.now() + time.setMs);
            }
        };
        context.Task = class Task {
            constructor(action, owner) {
                this.action = () => device.guarded(() => action.call(owner));
            }

            schedule(ms) {
                time.after(ms, () => {
                    if (!device.closed) {
                        this.action();
                    }
                });
            }

            repeat() {
                this.timer = time.every(this.interval, this.action);
                device.timers.add(this.timer);
            }

            cancel() {
                time.cancel(this.timer);
            }
        };
        device.script.context = context;
        vm.runInContext(OLD_ENGINE, context);
        vm.runInContext(device.files[args[0]].toString('utf8'), context, {filename: args[0]});
        if (context.inlets !== self.box.numinlets || context.outlets !== self.box.numoutlets) {
            throw new Error('js: inlets and outlets of script and box differ');
        }
        return (inlet, [word, ...values]) => {
            context.messagename = word;
            const handler = context[word];
            if (typeof handler === 'function' && !String(word).startsWith('/')) {
                handler(...values);
            } else {
                context.anything(...values);
            }
        };
    },
};

const SHARED = {}; // Max's Global: one object by name for all scripts

// What the engine of Max's [js] does not have is taken away.
const OLD_ENGINE = `
    ['Promise', 'Map', 'Set', 'WeakMap', 'WeakSet', 'Symbol', 'Proxy', 'Reflect'].forEach(function (name) {
        delete globalThis[name];
    });
    ['find', 'findIndex', 'includes', 'fill', 'flat', 'flatMap', 'at', 'entries', 'keys', 'values', 'from', 'of']
        .forEach(function (name) {
            delete Array.prototype[name];
            delete Array[name];
        });
    ['startsWith', 'endsWith', 'includes', 'repeat', 'padStart', 'padEnd'].forEach(function (name) {
        delete String.prototype[name];
    });
    ['assign', 'entries', 'values', 'fromEntries'].forEach(function (name) {
        delete Object[name];
    });
    ['sign', 'trunc', 'hypot', 'log2', 'log10', 'fround'].forEach(function (name) {
        delete Math[name];
    });
    ['isInteger', 'isFinite', 'isNaN'].forEach(function (name) {
        delete Number[name];
    });
    delete Function.prototype.bind;
    delete globalThis.console;
`;

module.exports = {Device};
