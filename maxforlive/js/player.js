// The bars of our voice, and playing them through the device: every note is handed to [pipe] a little ahead, counted
// from the song position of the last [transport] reading, so that the main thread's lateness does not reach the notes.

B.bars = {
    coming: null, // being received
    known: {}, // by id: {id, rows, start, bars, length}, and stale where they are of a connection before this one
    order: [], // ids, oldest first
    sounding: 0,
    said: 0, // the id that the bridge says sounds: we follow as soon as we have its notes
    pending: 0,
    fetching: {}, // ids whose notes we have asked for once more
    asked: [], // our own requests that have not been answered yet: {verb, at, after: the newest id of then}
    latencyMs: 0
};

B.bars.KEPT = 8;
B.bars.ANSWER_MS = 30000; // a request that was not answered by then never will be

B.bars.begin = function (id, count, start, bars) {
    B.bars.coming = {id: id, count: count, start: start, bars: bars, rows: [], length: bars * B.bars.barBeats()};
};

B.bars.barBeats = function () {
    return B.clock.numerator * 4 / B.clock.denominator;
};

B.bars.notes = function (id, flat) {
    var coming = B.bars.coming;
    if (coming && coming.id === id) {
        coming.rows = coming.rows.concat(B.notes.fromFlat(flat));
    }
};

// All told. Gives the loop; null where notes were lost on the way; undefined where we came in the middle.
B.bars.end = function (id) {
    var coming = B.bars.coming;
    B.bars.coming = null;
    if (!coming || coming.id !== id) {
        return undefined;
    }
    if (coming.rows.length !== coming.count) {
        return null;
    }
    var before = B.bars.known[id];
    if (before && before.stale && id !== B.bars.said) {
        before = null;
    }
    if (before && coming.start < 0) {
        coming.start = before.start;
    }
    if (before && before.length > 0 && before.bars === coming.bars) {
        coming.length = before.length;
    }
    // The voice's state may name the bars of a click before their notes are here: we fetch them, and they are new.
    var asked = B.bars.asked[0];
    coming.isNew = !before && (!B.bars.fetching[id] || Boolean(asked && id > asked.after));
    delete B.bars.fetching[id];
    B.bars.known[id] = coming;
    B.bars.order = B.bars.order.filter(function (known) {
        return known !== id;
    });
    B.bars.order.push(id);
    while (B.bars.order.length > B.bars.KEPT) {
        B.bars.drop();
    }
    coming.playable = null;
    if (id === B.bars.said) {
        B.bars.follow();
    } else if (!before) {
        B.bars.pending = id;
    }
    B.player.reshape();
    return coming;
};

B.bars.drop = function () {
    var at = 0;
    while (B.bars.order[at] === B.bars.sounding || B.bars.order[at] === B.bars.pending) {
        at += 1;
    }
    delete B.bars.known[B.bars.order[at]];
    B.bars.order.splice(at, 1);
};

B.bars.launched = function (id) {
    B.bars.said = id;
    B.bars.follow();
    if (B.bars.pending === id) {
        B.bars.pending = 0;
    }
};

// Until the notes of what the bridge plays are here (a knob's first turn gives them a new id), the old ones go on.
B.bars.follow = function () {
    var id = B.bars.said;
    if (id === B.bars.sounding || (id && !B.bars.known[id])) {
        return;
    }
    B.bars.sounding = id;
    if (!id || B.player.crossed !== id) {
        B.player.restart();
    }
    B.player.crossed = 0;
};

B.bars.late = function (id) {
    var loop = B.bars.known[id];
    if (loop && id === B.bars.pending) {
        loop.start = -1; // until it is launched
        B.player.restart();
    }
};

// What the voice's state adds: what sounds, where its loop begins and how long it is.
B.bars.told = function (told) {
    B.bars.said = told.sounding_id;
    B.bars.pending = told.pending_id || 0;
    B.bars.follow();
    var loop = B.bars.known[told.sounding_id];
    var differs = loop && (Math.abs(loop.length - told.length) > 0.001 || Math.abs(loop.start - told.start) > 0.001);
    if (differs && told.length > 0) {
        loop.length = told.length;
        loop.start = told.start;
        loop.playable = null;
        B.player.restart();
    }
};

// The highest id that this connection has named.
B.bars.newest = function () {
    var heard = B.bars.order.filter(function (id) {
        return !B.bars.known[id].stale;
    });
    return Math.max.apply(null, heard.concat(B.bars.said, B.bars.pending));
};

// The oldest request of our own that still waits for its bars.
B.bars.answered = function () {
    var asked = B.bars.asked.shift();
    while (asked && B.now() - asked.at > B.bars.ANSWER_MS) {
        asked = B.bars.asked.shift();
    }
    return asked;
};

// The bars that a clip is made of: what sounds, else what waits.
B.bars.present = function () {
    return B.bars.known[B.bars.sounding] || B.bars.known[B.bars.pending] || null;
};

// Requests that a bridge which began `uptimeMs` ago cannot have heard are forgotten; whether there were any.
B.bars.unheard = function (uptimeMs) {
    var before = B.bars.asked.length;
    B.bars.asked = B.bars.asked.filter(function (asked) {
        return B.now() - asked.at <= uptimeMs;
    });
    return B.bars.asked.length < before;
};

B.bars.forget = function () {
    B.bars.coming = null;
    B.bars.asked = [];
    B.bars.fetching = {};
};

// Another connection: the bridge may be one with another session folder, where the same id is of other bars. What we
// have asked for stands: a bridge that was silent for a moment has it in its socket still.
B.bars.doubt = function () {
    B.bars.coming = null;
    B.bars.fetching = {};
    B.bars.order.forEach(function (id) {
        B.bars.known[id].stale = true;
    });
};

// The ids of bars that sound or wait and whose notes we were not told.
B.bars.lacking = function () {
    return [B.bars.said, B.bars.pending].filter(function (id) {
        return id && (!B.bars.known[id] || B.bars.known[id].stale);
    });
};

B.clock = {source: "", playing: 0, numerator: 4, denominator: 4, errorMs: 0};

// -- through the device -----------------------------------------------------------------------------------------------

B.player = {
    plannedTo: null, // beats up to which notes have been handed out; null: begin anew
    reshaped: false, // what has been handed out ahead is of an older shape of the loop
    lastBeats: 0,
    crossed: 0, // the id of a loop that we have begun ahead of the bridge's word
    sounds: false // something may be on its way or held
};

B.player.AHEAD_MS = 150; // more than the main thread is ever late in ordinary use, little enough to follow a hand
B.player.BEFORE_MS = 2; // a note ends so long before the next one begins
B.player.LEAST_MS = 1; // behind the closing of what sounded, which goes by way of [delay 0]
B.player.LATE_MS = 40; // a note that is later than this is left out

// What we have plays on when the bridge is gone, as its own player does.
B.player.wanted = function () {
    return B.params.choice("output") === "Device" && B.params.get("play") === 1 && B.params.told.muted !== 1;
};

// Other bars, another place: what was handed out is taken back, what sounds is closed.
B.player.restart = function () {
    B.player.plannedTo = null;
    B.player.crossed = 0;
    B.player.silence();
};

// The same bars in another shape (a knob moves): what sounds may end by itself, what is to come is made anew.
B.player.reshape = function () {
    B.player.reshaped = true;
};

B.player.silence = function () {
    if (B.player.sounds) {
        B.player.sounds = false;
        B.toPatch("halt");
    }
};

B.player.part = function (rows) {
    var index = B.params.get("part");
    if (!index || String(B.params.told.model).indexOf("trio") !== 0) {
        return rows;
    }
    return rows.filter(function (row) {
        return row[4] === index - 1;
    });
};

B.player.playable = function (loop) {
    if (!loop.playable || loop.playablePart !== B.params.get("part")) {
        loop.playable = B.notes.withoutOverlaps(B.player.part(loop.rows), loop.length);
        loop.playablePart = B.params.get("part");
    }
    return loop.playable;
};

// At every reading of the transport. `lateMs` is how old the reading is by now.
B.player.tick = function (report, lateMs) {
    var player = B.player;
    if (!report.playing || !player.wanted()) {
        player.restart();
        return;
    }
    var msPerBeat = 60000 / report.tempo;
    var now = report.beats + lateMs / msPerBeat;
    var jumped = report.beats < player.lastBeats - 0.01 || report.beats > player.lastBeats + 1000 / msPerBeat;
    player.lastBeats = report.beats;
    if (jumped) {
        player.restart();
    } else if (player.reshaped && player.plannedTo !== null) {
        B.toPatch("unplan");
        player.plannedTo = now;
    }
    player.reshaped = false;
    var from = player.plannedTo === null ? now - player.LATE_MS / msPerBeat / 2 : player.plannedTo;
    var to = now + player.AHEAD_MS / msPerBeat;
    if (to <= from) {
        return;
    }
    player.plan(from, to, now, msPerBeat);
    player.plannedTo = to;
};

// The pending loop takes over at its start, where that lies ahead; else when the bridge says that it has launched.
B.player.plan = function (from, to, now, msPerBeat) {
    var sounding = B.bars.known[B.bars.sounding];
    var pending = B.bars.known[B.bars.pending];
    var border = to;
    if (pending && pending.start >= 0 && pending.start < to) {
        border = Math.max(pending.start, from);
    }
    if (sounding && border > from) {
        B.player.handOut(sounding, from, border, now, msPerBeat);
    }
    if (border < to) {
        B.player.cross(pending.id, (border - now) * msPerBeat);
        B.player.handOut(pending, border, to, now, msPerBeat);
    }
};

// What still sounds of the old loop is closed just before the new one begins.
B.player.cross = function (id, inMs) {
    if (B.player.crossed !== id) {
        B.player.crossed = id;
        B.toPatch("cut", [Math.max(0, B.round(inMs - B.player.BEFORE_MS, 2))]);
    }
};

B.player.handOut = function (loop, from, to, now, msPerBeat) {
    var length = loop.length;
    if (!(length > 0)) {
        return;
    }
    var once = B.params.told.loop === 0 || B.params.told.jam === "respond"; // an answer sounds once
    var start = loop.start >= 0 ? loop.start : 0;
    B.player.playable(loop).forEach(function (row) {
        var round = Math.ceil((from - start - row[1]) / length - 1e-9);
        var due = start + row[1] + round * length;
        for (; due < to - 1e-9; due += length) {
            var lateMs = (now - due) * msPerBeat;
            if (lateMs > B.player.LATE_MS || (once && (due < start || due >= start + length))) {
                continue;
            }
            B.player.sounds = true;
            var durationMs = Math.max(1, Math.round(row[2] * msPerBeat) - B.player.BEFORE_MS);
            B.toNotes(row[0], row[3], durationMs, Math.max(B.player.LEAST_MS, B.round(-lateMs, 2)));
        }
    });
};
