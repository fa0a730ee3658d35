// The rig: a fake Live with real devices in it, driven line by line from the tests. One JSON request a line on stdin,
// one JSON answer a line on stdout. Arguments: the id of Live's first object, and --virtual for time that stands.
'use strict';

const fs = require('node:fs');
const readline = require('node:readline');
const {Live} = require('./live');
const {Device} = require('./max');
const time = require('./time');

const live = new Live(Number(process.argv[2]));
const tracks = [];
const devices = [];

const commands = {
    track(options) {
        tracks.push(live.addTrack(options));
        return tracks.length - 1;
    },
    clip({track, slot, ...options}) {
        return live.addClip(tracks[track], slot, options).id;
    },
    arrangementClip({track, start, end, ...options}) {
        return live.addArrangementClip(tracks[track], start, end, options).id;
    },
    device({file, track, values = {}}) {
        const device = new Device(fs.readFileSync(file), live, tracks[track], values);
        devices.push(device);
        device.start();
        return devices.length - 1;
    },
    close({device}) {
        devices[device].close();
    },
    closeSet() {
        devices.forEach((device) => device.close());
    },
    song({name, value}) {
        live.setSong(name, value);
    },
    jump({beats}) {
        live.jump(beats);
    },
    select({track, slot, clip}) {
        if (track !== undefined) {
            live.view.props.highlighted_clip_slot = tracks[track].props.clip_slots[slot];
        }
        if (clip !== undefined) {
            live.view.props.detail_clip = clip;
        }
    },
    playSlot({track, slot}) {
        tracks[track].props.playing_slot_index = slot;
    },
    trackProperty({track, name, value}) {
        tracks[track].props[name] = value;
    },
    clips({track}) {
        return tracks[track].props.clip_slots.map((id) => {
            const clip = live.objects.get(live.objects.get(id).props.clip);
            return clip ? {...clip.props, notes: clip.notes} : null;
        });
    },
    undo() {
        return {steps: live.undo, open: live.openStep !== null};
    },
    playing({track}) {
        return tracks[track].props.playing_slot_index;
    },
    beats() {
        return live.beats();
    },
    moment() {
        return {ms: time.now(), beats: live.beats()};
    },
    turn({device, name, value}) {
        const box = devices[device].control(name);
        devices[device].guarded(() => box.turn(value));
    },
    press({device, name, how = 'bang'}) {
        const box = devices[device].control(name);
        devices[device].guarded(() => box.out(0, how));
    },
    value({device, name}) {
        return devices[device].control(name).value;
    },
    text({device, name}) {
        return devices[device].control(name).text;
    },
    status({device}) {
        return devices[device].texts || [];
    },
    sent({device, from = 0}) {
        return devices[device].sent.slice(from);
    },
    midi({device, from = 0}) {
        return devices[device].midi.slice(from);
    },
    midiIn({device, bytes}) {
        for (const box of devices[device].boxes.values()) {
            if (box.kind === 'midiin') {
                bytes.forEach((byte) => box.out(0, byte));
            }
        }
    },
    saveAgain({device}) {
        for (const box of devices[device].boxes.values()) {
            if (box.kind === 'live.thisdevice') {
                devices[device].guarded(() => box.out(0, 'bang'));
            }
        }
    },
    inject({device, message}) {
        devices[device].guarded(() => {
            const {context} = devices[device].script;
            [context.messagename] = message;
            context.anything(...message.slice(1));
        });
    },
    transportLag({device, beats}) {
        devices[device].transportLag = beats;
    },
    setClock({ms}) {
        time.setMs += ms;
    },
    advance({ms}) {
        time.advance(ms);
    },
    errors() {
        return devices.flatMap((device) => device.errors);
    },
    console({device}) {
        return devices[device].console;
    },
    script({device, code}) {
        return require('node:vm').runInContext(code, devices[device].script.context);
    },
};

readline.createInterface({input: process.stdin}).on('line', (line) => {
    let answer;
    try {
        const {command, ...options} = JSON.parse(line);
        const result = commands[command](options);
        answer = {result: result === undefined ? null : result};
    } catch (fault) {
        answer = {error: String(fault.stack || fault)};
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}).on('close', () => setTimeout(() => process.exit(0), 50)); // what was sent last is to go out
