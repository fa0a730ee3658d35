// Clips: the one the next bars go on from, and the one they are written into.

B.clips = {
    queue: [], // clips to be written, one at a time
    busy: false,
    waiting: false,
    shared: null // seen by all devices of a set: two open undo steps would become one, or none
};

B.clips.READ_BEATS = 8; // notes are read in windows: long strings from Live have been cut at 32,767 characters
B.clips.LEAST_BEATS = 0.25;
B.clips.WRITE_NOTES = 100;
B.clips.POLL_MS = 20;
B.clips.POLLS = 100;
B.clips.STALE_MS = 5000; // a device that was deleted in the middle of writing holds nobody up for longer

// -- reading ----------------------------------------------------------------------------------------------------------

// The clip to go on from: playing on this device's track, else selected on it. {clip: LiveAPI} or {why: words}.
B.clips.seed = function () {
    var track = B.live.track();
    if (!track) {
        return {why: "this device is on no track"};
    }
    var slots = B.live.ids(track, "clip_slots");
    var found = B.clips.playing(track, slots) || B.clips.selected(track, slots);
    if (!found) {
        return {why: "no clip plays or is selected on this track"};
    }
    var clip = B.live.at(found);
    if (!Number(B.live.value(clip, "is_midi_clip", 0))) {
        return {why: "that is an audio clip"};
    }
    return {clip: clip};
};

// In the Session the clip of the playing slot, else the one under the Arrangement's playhead.
B.clips.playing = function (track, slots) {
    var slot = Number(B.live.value(track, "playing_slot_index", -1));
    if (slot >= 0 && slot < slots.length) {
        return B.live.id(B.live.at(slots[slot]), "clip");
    }
    if (!Number(B.live.value(B.live.song, "is_playing", 0))) {
        return 0;
    }
    var now = Number(B.live.value(B.live.song, "current_song_time", 0));
    var clips = [];
    try {
        clips = B.live.ids(track, "arrangement_clips");
    } catch (fault) {
        return 0; // a Live that does not tell them
    }
    return clips.filter(function (id) {
        var clip = B.live.at(id);
        return Number(B.live.value(clip, "start_time", 0)) <= now && now < Number(B.live.value(clip, "end_time", 0));
    })[0] || 0;
};

B.clips.selected = function (track, slots) {
    var view = new LiveAPI(undefined, "live_set view");
    var slot = B.live.id(view, "highlighted_clip_slot");
    if (slot && slots.indexOf(slot) >= 0) {
        var inSlot = B.live.id(B.live.at(slot), "clip");
        if (inSlot) {
            return inSlot;
        }
    }
    var detail = B.live.id(view, "detail_clip");
    var owner = detail ? B.live.trackOf(B.live.at(detail)) : null;
    return owner && Number(owner.id) === Number(track.id) ? detail : 0;
};

// What sounds of a clip: its loop, else from start to end marker. At most the last beats that a seed may have.
B.clips.read = function (clip, part) {
    var looping = Number(B.live.value(clip, "looping", 1));
    var from = Number(B.live.value(clip, looping ? "loop_start" : "start_marker", 0));
    var to = Number(B.live.value(clip, looping ? "loop_end" : "end_marker", 0));
    from = Math.max(from, to - B.MAX_LOOP_BEATS);
    if (to - from < B.clips.LEAST_BEATS) {
        return {length: 0, rows: []};
    }
    var found = [];
    var at;
    for (at = from; at < to; at += B.clips.READ_BEATS) {
        B.clips.readWindow(clip, at, Math.min(B.clips.READ_BEATS, to - at), found);
    }
    var rows = B.notes.rows(found, from, to, part);
    return {length: B.round(to - from, 6), rows: rows.slice(-B.MAX_LOOP_NOTES)};
};

B.clips.readWindow = function (clip, from, span, found) {
    var notes = B.notes.parse(clip.call("get_notes_extended", 0, 128, from, span));
    if (notes) {
        notes.forEach(function (note) {
            if (note.start_time >= from && note.start_time < from + span) {
                found.push(note);
            }
        });
    } else if (span > B.clips.LEAST_BEATS) {
        B.clips.readWindow(clip, from, span / 2, found);
        B.clips.readWindow(clip, from + span / 2, span / 2, found);
    }
};

// -- writing ----------------------------------------------------------------------------------------------------------

// The slot for new bars: the highlighted one if it is empty (or may be written over), else the next empty one below.
B.clips.target = function (track, overwrite) {
    var slots = B.live.ids(track, "clip_slots");
    var view = new LiveAPI(undefined, "live_set view");
    var first = slots.indexOf(B.live.id(view, "highlighted_clip_slot"));
    var playing = Number(B.live.value(track, "playing_slot_index", -1));
    var at = first >= 0 ? first : Math.max(0, playing);
    for (; at < slots.length; at += 1) {
        var slot = B.live.at(slots[at]);
        var taken = Number(B.live.value(slot, "has_clip", 0));
        if (!taken || (overwrite && at === first)) {
            return {slot: slot, index: at, taken: taken};
        }
    }
    return null;
};

// job: {name, length, rows, numerator, denominator, overwrite, fire}
B.clips.write = function (job) {
    B.clips.queue.push(job);
    B.clips.next();
};

B.clips.next = function () {
    var clips = B.clips;
    if (clips.busy || clips.waiting || !clips.queue.length) {
        return;
    }
    clips.shared = clips.shared || new Global("barline_clips");
    if (clips.shared.since && B.now() - clips.shared.since < clips.STALE_MS) {
        clips.waiting = true;
        B.after(clips.POLL_MS, function () {
            clips.waiting = false;
            clips.next();
        });
        return;
    }
    var job = clips.queue.shift();
    var fault = clips.refusal(job);
    if (fault) {
        B.status.say(fault);
        clips.next();
        return;
    }
    clips.busy = true;
    clips.shared.since = B.now();
    clips.guarded(job, function () {
        B.live.song.call("begin_undo_step");
        job.open = true;
        if (!job.place.taken) {
            job.place.slot.call("create_clip", job.length);
        }
        clips.later(job, clips.awaitClip);
    });
};

B.clips.refusal = function (job) {
    var track = B.live.track();
    if (!track || !Number(B.live.value(track, "has_midi_input", 0))) {
        return "No clip written: this device is on no MIDI track";
    }
    if (Number(B.live.value(track, "is_frozen", 0))) {
        return "No clip written: the track is frozen";
    }
    job.place = B.clips.target(track, job.overwrite);
    if (!job.place) {
        return "No clip written: no empty slot from the selected one down";
    }
    return "";
};

// Live takes no notes in the tick in which it makes a clip; every step is one of its own.
B.clips.later = function (job, step) {
    B.after(B.clips.POLL_MS, function () {
        B.clips.guarded(job, function () {
            step(job);
        });
    });
};

B.clips.guarded = function (job, action) {
    try {
        action();
    } catch (fault) {
        B.complain("writing a clip", fault);
        B.clips.finish(job, "No clip written: Live said " + String(fault.message || fault).substr(0, 60));
    }
};

B.clips.awaitClip = function (job) {
    var id = B.live.id(job.place.slot, "clip");
    job.polls = (job.polls || 0) + 1;
    if (!id && job.polls < B.clips.POLLS) {
        B.clips.later(job, B.clips.awaitClip);
        return;
    }
    if (!id) {
        B.clips.finish(job, "No clip written: Live made none");
        return;
    }
    job.clip = B.live.at(id);
    B.clips.fillClip(job);
};

B.clips.fillClip = function (job) {
    var clip = job.clip;
    if (job.place.taken) {
        var end = Number(B.live.value(clip, "loop_end", 0));
        clip.call("remove_notes_extended", 0, 128, -1024, 4096 + Math.max(end, job.length));
    }
    clip.set("signature_numerator", job.numerator);
    clip.set("signature_denominator", job.denominator);
    clip.set("name", job.name);
    clip.set("looping", 1);
    // Whichever way the loop changes, its end must lie behind its start at every step.
    clip.set("loop_end", Math.max(job.length, Number(B.live.value(clip, "loop_start", 0)) + 1));
    clip.set("loop_start", 0);
    clip.set("loop_end", job.length);
    clip.set("start_marker", 0);
    clip.set("end_marker", job.length);
    B.clips.addNotes(job);
    B.clips.later(job, B.clips.verify);
};

B.clips.addNotes = function (job) {
    var first;
    for (first = 0; first < job.rows.length; first += B.clips.WRITE_NOTES) {
        job.clip.call("add_new_notes", {
            notes: job.rows.slice(first, first + B.clips.WRITE_NOTES).map(function (row) {
                return {pitch: row[0], start_time: row[1], duration: row[2], velocity: row[3]};
            })
        });
    }
};

B.clips.verify = function (job) {
    var found = [];
    if (job.rows.length && !job.again) {
        B.clips.readWindow(job.clip, 0, job.length, found);
        if (!found.length) {
            job.again = true;
            B.clips.addNotes(job);
            B.clips.later(job, B.clips.verify);
            return;
        }
    }
    if (job.fire) {
        job.place.slot.call("fire");
    }
    B.clips.finish(job, "Written to slot " + (job.place.index + 1));
};

B.clips.finish = function (job, words) {
    if (job.open) {
        job.open = false;
        try {
            B.live.song.call("end_undo_step");
        } catch (fault) {
            B.complain("ending the undo step", fault);
        }
    }
    B.clips.busy = false;
    B.clips.shared.since = 0;
    B.status.say(words);
    B.clips.next();
};
