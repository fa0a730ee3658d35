// A Live that behaves as its API is known to: get gives arrays, notes come as JSON strings, ids as strings, errors on
// occupied slots and on writes inside notifications; a new clip's id comes in a later tick, notes before that are lost.
'use strict';

const time = require('./time');

const SETTLE_MS = 15;
const JSON_LIMIT = 32767; // long strings have been seen cut

class Live {
    constructor(firstId) {
        this.objects = new Map();
        this.nextId = firstId;
        this.observers = [];
        this.notifying = 0;
        this.undo = []; // steps: lists of what was done
        this.openStep = null;
        this.calls = [];
        this.song = this.add('Song', {
            tempo: 120, is_playing: 0, signature_numerator: 4, signature_denominator: 4, root_note: 0,
            scale_name: 'Major', scale_mode: 0, scale_intervals: [0, 2, 4, 5, 7, 9, 11], tracks: [],
        });
        this.view = this.add('Song.View', {highlighted_clip_slot: 0, detail_clip: 0});
        this.startedMs = 0;
        this.startBeats = 0;
    }

    add(type, props) {
        const id = this.nextId++;
        const object = {id, type, props, parent: 0};
        this.objects.set(id, object);
        return object;
    }

    addTrack({slots = 8, midi = true, inRack = false} = {}) {
        const track = this.add('Track', {
            clip_slots: [], arrangement_clips: [], playing_slot_index: -1, has_midi_input: midi ? 1 : 0, is_frozen: 0,
        });
        for (let i = 0; i < slots; i += 1) {
            const slot = this.add('ClipSlot', {has_clip: 0, clip: 0});
            slot.parent = track.id;
            track.props.clip_slots.push(slot.id);
        }
        const device = this.add('MaxDevice', {});
        device.parent = track.id;
        if (inRack) {
            const rack = this.add('RackDevice', {});
            const chain = this.add('Chain', {});
            rack.parent = track.id;
            chain.parent = rack.id;
            device.parent = chain.id;
        }
        this.song.props.tracks.push(track.id);
        track.device = device.id;
        return track;
    }

    addArrangementClip(track, start, end, options) {
        const clip = this.addClip(track, -1, {length: end - start, ...options});
        Object.assign(clip.props, {start_time: start, end_time: end});
        track.props.arrangement_clips.push(clip.id);
        return clip;
    }

    addClip(track, index, {length = 8, notes = [], midi = true, loopStart = 0, numerator = 4, denominator = 4} = {}) {
        const slot = this.objects.get(track.props.clip_slots[index]);
        const clip = this.makeClip(length, midi);
        clip.parent = (slot || track).id;
        Object.assign(clip.props, {
            loop_start: loopStart, start_marker: loopStart, loop_end: loopStart + length, end_marker: loopStart + length,
            signature_numerator: numerator, signature_denominator: denominator,
        });
        clip.notes = notes.map((note) => ({
            note_id: this.nextId++, mute: 0, probability: 1, velocity_deviation: 0, release_velocity: 64, ...note,
        }));
        if (slot) {
            slot.props.clip = clip.id;
            slot.props.has_clip = 1;
        }
        return clip;
    }

    makeClip(length, midi = true) {
        const clip = this.add('Clip', {
            name: '', looping: 1, loop_start: 0, loop_end: length, start_marker: 0, end_marker: length,
            signature_numerator: this.song.props.signature_numerator,
            signature_denominator: this.song.props.signature_denominator, is_midi_clip: midi ? 1 : 0,
        });
        clip.notes = [];
        clip.settled = true;
        return clip;
    }

    // -- time ----------------------------------------------------------------------------------------------------

    beats() {
        if (!this.song.props.is_playing) {
            return this.startBeats;
        }
        return this.startBeats + (time.now() - this.startedMs) * this.song.props.tempo / 60000;
    }

    setSong(name, value) {
        if (name === 'is_playing' || name === 'tempo') {
            this.startBeats = this.beats();
            this.startedMs = time.now();
        }
        this.song.props[name] = value;
        this.notify(this.song.id, name);
    }

    jump(beats) {
        this.startBeats = beats;
        this.startedMs = time.now();
    }

    // -- notifications -------------------------------------------------------------------------------------------

    notify(id, name) {
        for (const observer of this.observers.filter((one) => one.id === id && one.name === name)) {
            this.tell(observer);
        }
    }

    tell(observer) {
        this.notifying += 1;
        try {
            observer.callback.call(observer.api, [observer.name].concat(this.read(observer.id, observer.name)));
        } finally {
            this.notifying -= 1;
        }
    }

    guard() {
        if (this.notifying) {
            throw new Error('Changes cannot be triggered by notifications. You will need to defer your response.');
        }
    }

    // -- what LiveAPI does ---------------------------------------------------------------------------------------

    resolve(path, device) {
        const words = path.split(' ');
        if (words[0] === 'this_device') {
            return device;
        }
        if (path === 'live_set view') {
            return this.view.id;
        }
        if (words[0] !== 'live_set') {
            return 0;
        }
        if (words.length === 1) {
            return this.song.id;
        }
        throw new Error(`the fake Live knows no path ${path}`);
    }

    read(id, name) {
        const object = this.objects.get(id);
        if (!object) {
            return [0];
        }
        if (name === 'current_song_time' && object === this.song) {
            return [this.beats()];
        }
        if (name === 'canonical_parent') {
            return ['id', object.parent];
        }
        if (name === 'clip') {
            const clip = this.objects.get(object.props.clip);
            return ['id', clip && clip.settled ? clip.id : 0];
        }
        const value = object.props[name];
        if (value === undefined) {
            throw new Error(`get: no valid property ${name} of ${object.type}`);
        }
        if (['highlighted_clip_slot', 'detail_clip'].includes(name)) {
            return ['id', value];
        }
        if (['clip_slots', 'tracks', 'arrangement_clips'].includes(name)) {
            return value.flatMap((child) => ['id', child]);
        }
        return Array.isArray(value) ? value.slice() : [value];
    }

    write(id, name, value) {
        this.guard();
        const object = this.objects.get(id);
        if (!object || !(name in object.props)) {
            throw new Error(`set: no property ${name}`);
        }
        if (name === 'loop_end' && value <= object.props.loop_start) {
            throw new Error('LoopEnd must be behind LoopStart');
        }
        if (name === 'loop_start' && value >= object.props.loop_end) {
            throw new Error('LoopStart must be before LoopEnd');
        }
        object.props[name] = value;
        this.did(`set ${name}`);
    }

    did(what) {
        if (this.openStep) {
            this.openStep.push(what);
        } else {
            this.undo.push([what]);
        }
    }

    call(id, name, args) {
        const object = this.objects.get(id);
        this.calls.push(name);
        const method = object && this[`${object.type.toLowerCase().replace('.', '_')}_${name}`];
        if (!method) {
            throw new Error(`call: no function ${name} of ${object && object.type}`);
        }
        return method.call(this, object, ...args);
    }

    song_begin_undo_step() {
        this.guard();
        if (this.openStep) {
            throw new Error('an undo step is open already');
        }
        this.openStep = [];
    }

    song_end_undo_step() {
        this.undo.push(this.openStep);
        this.openStep = null;
    }

    clipslot_create_clip(slot, length) {
        this.guard();
        const track = this.objects.get(slot.parent);
        if (slot.props.has_clip) {
            throw new Error('Cannot create clip: the slot is not empty');
        }
        if (!track.props.has_midi_input || !(length > 0)) {
            throw new Error('Cannot create clip');
        }
        const clip = this.makeClip(length);
        clip.settled = false;
        clip.parent = slot.id;
        slot.props.clip = clip.id;
        slot.props.has_clip = 1;
        this.did('create_clip');
        time.after(SETTLE_MS, () => {
            clip.settled = true;
        });
        return ['id', clip.id];
    }

    clipslot_fire(slot) {
        const track = this.objects.get(slot.parent);
        track.props.playing_slot_index = track.props.clip_slots.indexOf(slot.id);
    }

    clip_get_notes_extended(clip, fromPitch, pitchSpan, from, span) {
        const notes = clip.notes.filter((note) => note.start_time >= from && note.start_time < from + span
            && note.pitch >= fromPitch && note.pitch < fromPitch + pitchSpan);
        return JSON.stringify({notes}).slice(0, JSON_LIMIT);
    }

    clip_remove_notes_extended(clip, fromPitch, pitchSpan, from, span) {
        this.guard();
        clip.notes = clip.notes.filter((note) => note.start_time < from || note.start_time >= from + span);
        this.did('remove_notes_extended');
    }

    clip_add_new_notes(clip, dict) {
        this.guard();
        if (!clip.props.is_midi_clip) {
            throw new Error('not a MIDI clip');
        }
        for (const note of dict.notes) {
            const allowed = ['pitch', 'start_time', 'duration', 'velocity', 'mute', 'probability', 'velocity_deviation',
                'release_velocity'];
            const wrong = Object.keys(note).filter((key) => !allowed.includes(key));
            if (wrong.length || !(note.duration > 0) || !Number.isInteger(note.pitch)) {
                throw new Error(`add_new_notes: bad note ${JSON.stringify(note)}`);
            }
            if (clip.settled) {
                clip.notes.push({note_id: this.nextId++, mute: 0, ...note});
            }
        }
        this.did('add_new_notes');
        return dict.notes.map(() => 0);
    }
}

// The class that a script sees; `device` is the id behind this_device.
function liveApiFor(live, device, script) {
    return class LiveAPI {
        constructor(callback, path) {
            if (!script.ready) {
                throw new Error('LiveAPI before live.thisdevice has banged');
            }
            this.callback = callback;
            this.target = live.resolve(path, device);
        }

        get id() {
            return String(this.target);
        }

        set id(value) {
            this.target = Number(value);
        }

        get type() {
            const object = live.objects.get(this.target);
            return object ? object.type : '';
        }

        set property(name) {
            const observer = {id: this.target, name, callback: this.callback, api: this};
            live.read(this.target, name);
            live.observers.push(observer);
            live.tell(observer);
        }

        get(name) {
            return live.read(this.target, name);
        }

        set(name, value) {
            live.write(this.target, name, value);
        }

        call(name, ...args) {
            return live.call(this.target, name, args);
        }
    };
}

module.exports = {Live, liveApiFor};
