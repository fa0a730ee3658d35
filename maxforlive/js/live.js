// Live's song: transport, key, and the track that holds this device. All LiveAPI objects are made after the first bang.

B.live = {
    song: null,
    here: null,
    observers: [],
    trusted: true, // whether [transport] tells the same song position as Live's API
    doubts: 0,
    sentAt: 0,
    last: null,
    rawBeats: 0,
    keySent: ""
};

B.live.REST_MS = 500; // how often a song that stands is reported
B.live.FAR_BEATS = 1.5; // Live's API lags by some tens of ms; more than this is another song position

B.live.begin = function () {
    var live = B.live;
    if (live.song) {
        return;
    }
    live.song = new LiveAPI(undefined, "live_set");
    live.here = new LiveAPI(undefined, "live_set");
    ["is_playing", "tempo", "signature_numerator", "signature_denominator"].forEach(function (name) {
        live.observe(name, live.changed);
    });
    ["root_note", "scale_name", "scale_mode"].forEach(function (name) {
        live.observe(name, function () {
            B.after(0, live.sendKey);
        });
    });
};

B.live.observe = function (name, action) {
    try {
        var observer = new LiveAPI(function () {
            action();
        }, "live_set");
        observer.property = name;
        B.live.observers.push(observer);
    } catch (fault) {
        B.complain("cannot watch " + name, fault); // scale_mode is new in Live 12
    }
};

// Nothing may be changed in Live inside a notification: we only ask the patch for a fresh report.
B.live.changed = function () {
    B.toPatch("poll");
};

B.live.value = function (api, name, otherwise) {
    var answer;
    try {
        answer = B.first(api.get(name));
    } catch (fault) {
        return otherwise;
    }
    return answer === undefined || answer === null ? otherwise : answer;
};

B.live.ids = function (api, name) {
    var list = api.get(name);
    var ids = [];
    var at;
    for (at = 0; at + 1 < list.length; at += 2) {
        if (list[at] === "id") {
            ids.push(Number(list[at + 1]));
        }
    }
    return ids;
};

B.live.id = function (api, name) {
    var ids = [];
    try {
        ids = B.live.ids(api, name);
    } catch (fault) {
        return 0;
    }
    return ids.length ? ids[0] : 0;
};

B.live.at = function (id) {
    var api = new LiveAPI(undefined, "live_set");
    api.id = id;
    return api;
};

// Inside racks a device's parents are chains and racks: climb until there is a track.
B.live.trackOf = function (api) {
    var climber = B.live.at(Number(api.id));
    var step;
    for (step = 0; step < 16 && Number(climber.id) !== 0; step += 1) {
        if (climber.type === "Track") {
            return climber;
        }
        var parent = B.live.id(climber, "canonical_parent");
        if (!parent) {
            return null;
        }
        climber.id = parent;
    }
    return null;
};

B.live.track = function () {
    return B.live.trackOf(new LiveAPI(undefined, "this_device"));
};

// -- the transport ----------------------------------------------------------------------------------------------------

// One reading of [transport]: positions count from 1, ticks are 480 to the quarter note.
B.live.report = function (bars, beats, units, tempo, numerator, denominator, playing, ticks) {
    var live = B.live;
    live.rawBeats = ticks / 480;
    var report = {
        playing: playing ? 1 : 0,
        tempo: B.round(tempo, 4),
        beats: live.rawBeats,
        numerator: numerator,
        denominator: denominator,
        bar: bars - 1,
        beatInBar: (beats - 1) * 4 / denominator + units / 480
    };
    if (!live.trusted) {
        report.beats = Number(live.value(live.song, "current_song_time", report.beats));
        report.bar = -1;
    }
    var before = live.last;
    var now = B.now();
    var changed = !before || ["playing", "tempo", "numerator", "denominator"].some(function (name) {
        return before[name] !== report[name];
    });
    var moved = before && before.beats !== report.beats;
    live.last = report;
    if (changed || moved || report.playing || now - live.sentAt >= live.REST_MS) {
        live.sendReport(report, now);
    }
    return report;
};

B.live.sendReport = function (report, now) {
    if (!B.link.portSure) {
        return;
    }
    B.live.sentAt = now;
    var beats = Math.floor(report.beats);
    var fraction = Math.min(B.round(report.beats - beats, 6), 0.999999);
    var values = [report.playing, report.tempo, beats, fraction, report.numerator, report.denominator];
    if (report.bar >= 0) {
        values.push(report.bar, B.round(report.beatInBar, 5));
    }
    B.toBridge("/clock/live", values);
};

// Once a second: does [transport] follow Live? If not, Live's API is coarser but right.
B.live.check = function () {
    var live = B.live;
    if (!live.last || !live.last.playing) {
        return;
    }
    var said = Number(live.value(live.song, "current_song_time", live.last.beats));
    var ours = live.rawBeats;
    live.doubts = Math.abs(said - ours) > live.FAR_BEATS ? live.doubts + 1 : 0;
    if (live.trusted && live.doubts >= 2) {
        live.trusted = false;
        B.complain("the transport object does not follow Live", "using Live's own song position");
    } else if (!live.doubts) {
        live.trusted = true;
    }
};

// -- the key ----------------------------------------------------------------------------------------------------------

B.live.key = function () {
    var params = B.params;
    if (params.get("key_from")) {
        return [params.get("key"), params.choice("scale")];
    }
    var song = B.live.song;
    var root = Number(B.live.value(song, "root_note", 0));
    var name = String(B.live.value(song, "scale_name", "Major"));
    var intervals = [];
    try {
        intervals = [].concat(song.get("scale_intervals") || []).map(Number);
    } catch (fault) {
        intervals = [];
    }
    // Live 12 tells whether the scale is on; before that, C major is what a set has that nobody has given a key.
    var on = B.live.value(song, "scale_mode", root === 0 && name === "Major" ? 0 : 1);
    return Number(on) ? [root, B.modeOf(name, intervals)] : [-1, "major"];
};

// Told when it changes and after every new connection.
B.live.sendKey = function () {
    if (!B.link.connected || !B.live.song) {
        return;
    }
    var key = B.live.key();
    var text = key.join(" ");
    if (!B.live.keySent && key[0] < 0) {
        return; // no key in Live: the bridge's own stays
    }
    if (text !== B.live.keySent) {
        B.live.keySent = text;
        B.toBridge("/bridge/key", key);
    }
};
