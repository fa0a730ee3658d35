// What the patch can say to this script: Max calls these functions by the first word of a message.

autowatch = 0;
inlets = 1;
outlets = 4;

B.begun = false;
B.ticks = 0;
B.stampNow = 0;

// live.thisdevice: the device is there, or has been saved, or a preset was loaded. May come again and again.
function bang() {
    B.toPatch("ask");
    if (B.begun) {
        return;
    }
    B.begun = true;
    B.live.begin();
    B.label();
    B.link.begin(Number(new LiveAPI(undefined, "this_device").id), B.params.get("bridge_port"));
    B.clockTask = new Task(B.tick, this);
    B.clockTask.interval = B.TICK_MS;
    B.clockTask.repeat();
}

B.tick = function () {
    B.ticks += 1;
    B.link.tick();
    if (B.link.connected) {
        B.params.reconcile();
        B.fetchLate();
    }
    if (B.ticks % 10 === 0) {
        B.live.check();
    }
    B.status.show();
};

// -- from the controls ------------------------------------------------------------------------------------------------

function control(key, value) {
    if (!B.CONTROLS[key] || !B.params.moved(key, value) || !B.begun) {
        return;
    }
    if (B.CONTROLS[key].verb && !B.params.synced) {
        B.params.claim(); // turned while there is no bridge: that is to stand when there is one
    }
    if (key === "voice") {
        B.bars.forget();
        B.bars.sounding = B.bars.said = B.bars.pending = 0;
        B.player.restart();
        B.params.switchVoice();
    } else if (key === "bridge_port") {
        B.link.setTarget(value);
    } else if (key === "bars") {
        B.label();
    } else if (key === "output" || key === "part") {
        B.player.restart();
        B.fetch();
    } else if (key === "key" || key === "scale" || key === "key_from") {
        B.live.sendKey();
    }
}

B.label = function () {
    var bars = B.params.choice("bars");
    B.toPatch("label", ["Generate next " + bars + (bars === "1" ? " bar" : " bars")]);
};

function press(key) {
    if (!B.link.connected) {
        B.status.say("No bridge on port " + B.link.target + ". Start it: python3 run_bridge.py");
        return;
    }
    B.presses[key]();
}

B.presses = {
    generate: function () {
        B.sendSeed();
        B.ask("next", [Number(B.params.choice("bars"))]);
    },
    sample: function () {
        B.ask("sample", [Number(B.params.choice("bars"))]);
    },
    vary: function () {
        B.ask("vary", [B.params.wire("vary_amount")]);
    },
    undo: function () {
        B.toVoice("undo");
    },
    redo: function () {
        B.toVoice("redo");
    },
    store_a: function () {
        B.store("a");
    },
    store_b: function () {
        B.store("b");
    },
    store_c: function () {
        B.store("c");
    },
    store_d: function () {
        B.store("d");
    },
    write_clip: function () {
        var loop = B.bars.present();
        if (loop) {
            B.writeClip(loop);
        } else {
            B.status.say("No bars to write yet: press Generate");
        }
    }
};

B.toVoice = function (verb, values) {
    B.toBridge("/" + B.params.voice() + "/" + verb, values);
};

B.ask = function (verb, values) {
    B.bars.asked.push({verb: verb, at: B.now(), after: B.bars.newest()});
    B.toVoice(verb, values);
};

B.seedPart = function () {
    var trio = String(B.params.told.model).indexOf("trio") === 0;
    return trio ? Math.max(0, B.params.get("part") - 1) : 0;
};

// The notes of the clip to go on from; nothing where the user wants to go on from the bridge's own bars.
B.sendSeed = function () {
    if (B.params.choice("seed") !== "Clip") {
        return;
    }
    var seed = B.clips.seed();
    if (!seed.clip) {
        B.status.say("Going on from the bridge's bars: " + seed.why);
        return;
    }
    var bars = B.clips.read(seed.clip, B.seedPart());
    if (!bars.rows.length) {
        B.status.say("Going on from the bridge's bars: the clip has no notes");
        return;
    }
    B.toVoice("seed/begin", [bars.length]);
    B.notes.chunks(bars.rows, B.NOTES_PER_MESSAGE).forEach(function (flat) {
        B.toVoice("seed/notes", flat);
    });
    B.toVoice("seed/end");
};

// A corner holds the present loop; while the voice has none, the clip, if it fits into one message.
B.store = function (slot) {
    var told = B.params.told;
    var seed = told.sounding_id || told.pending_id ? {} : B.clips.seed();
    var bars = seed.clip ? B.clips.read(seed.clip, B.seedPart()) : null;
    if (bars && bars.rows.length && bars.rows.length <= B.NOTES_PER_MESSAGE) {
        B.toVoice("store", [slot, bars.length].concat(B.notes.chunks(bars.rows, B.NOTES_PER_MESSAGE)[0]));
    } else {
        B.toVoice("store", [slot]);
    }
};

B.writeClip = function (loop) {
    B.clips.write({
        name: B.params.voice() + " " + loop.id,
        length: loop.length,
        rows: B.notes.withoutOverlaps(B.player.part(loop.rows), loop.length).map(function (row) {
            return [row[0], row[1], Math.min(row[2], loop.length - row[1]), row[3]];
        }),
        numerator: B.clock.numerator,
        denominator: B.clock.denominator,
        overwrite: B.params.get("overwrite") === 1,
        fire: B.params.get("launch_clip") === 1
    });
};

// -- from the transport -----------------------------------------------------------------------------------------------

// [cpuclock] and [transport], read together in Max's scheduler; this script hears of it a little later.
function transport(stampMs, bars, beats, units, tempo, numerator, denominator, playing, ticks) {
    if (!B.begun) {
        return;
    }
    var report = B.live.report(bars, beats, units, tempo, numerator, denominator, playing, ticks);
    B.stampNow = stampMs;
    B.toPatch("stamp"); // [cpuclock] answers within this call, through stamp()
    B.player.tick(report, Math.max(0, B.stampNow - stampMs));
}

function stamp(nowMs) {
    B.stampNow = nowMs;
}

// -- from the bridge --------------------------------------------------------------------------------------------------

function anything() {
    var address = messagename;
    var values = arrayfromargs(arguments);
    if (!B.begun) {
        return;
    }
    if (address === "/barline/probe") {
        B.link.probed(values[0], values[1]);
        return;
    }
    B.link.heardAt = B.now();
    if (B.heard[address]) {
        B.heard[address](values);
        return;
    }
    var parts = address.split("/");
    if (parts[2] === "state" && parts.length === 3) {
        if (B.link.voices.indexOf(parts[1]) < 0) {
            B.link.voices.push(parts[1]);
        }
    }
    if (parts[1] === B.params.voice()) {
        var event = B.voiceEvents[parts.slice(2).join("/")];
        if (event) {
            event(values);
        }
    }
}

B.heard = {
    "/bridge/welcome": function (values) {
        B.params.forget();
        B.bars.doubt();
        B.live.keySent = "";
        B.link.welcomed(values[0]);
    },
    "/bridge/pong": function (values) {
        B.link.ready = values[3] === 1;
        if (B.bars.unheard(values[2] * 1000)) {
            B.status.say("The bridge was started anew before it answered: press again");
        }
    },
    "/bridge/ready": function (values) {
        B.link.ready = values[0] === 1;
        B.live.sendKey();
        B.fetch();
    },
    "/bridge/heartbeat": function () {
        return;
    },
    "/bridge/bye": function () {
        B.link.lose();
    },
    "/clock/state": function (values) {
        B.clock.source = values[0];
        B.clock.playing = values[1];
        B.clock.numerator = values[4];
        B.clock.denominator = values[5];
        B.clock.errorMs = Math.abs(values[6]);
    },
    "/error": function (values) {
        B.refused(String(values[1]), String(values[2]));
    }
};

B.voiceEvents = {
    "state": function (values) {
        B.params.state(values);
        B.bars.told(B.params.told);
    },
    "jam/phase": function (values) {
        B.params.phase = values[0];
        B.status.show();
    },
    "bars/begin": function (values) {
        B.bars.begin(values[0], values[1], values[2], values[3]);
    },
    "bars/notes": function (values) {
        B.bars.notes(values[0], values.slice(1));
    },
    "bars/end": function (values) {
        var loop = B.bars.end(values[0]);
        if (loop === undefined || (loop && !loop.isNew)) {
            return;
        }
        var asked = B.bars.answered();
        if (!loop) {
            B.status.say("Some notes were lost on the way: press again");
        } else if (asked) {
            B.bars.latencyMs = B.now() - asked.at;
            if (B.params.choice("output") === "Clip") {
                B.writeClip(loop);
            }
        }
    },
    "launched": function (values) {
        B.bars.launched(values[0]);
    },
    "late": function (values) {
        B.bars.late(values[0]);
        B.status.say("The new bars came too late for their boundary: the old ones go round once more");
    }
};

// Bars that we were not told (this device is younger than they are): saying a groove knob's own value again makes the
// bridge send them again.
B.fetch = function () {
    var ids = B.bars.lacking();
    if (ids.length && B.params.told.swing !== undefined) {
        ids.forEach(function (id) {
            B.bars.fetching[id] = true;
        });
        B.toVoice("swing", [B.params.told.swing]);
    }
};

B.FETCH_MS = 300; // the notes of a new id may come so long after it
B.REFETCH_MS = 3000;
B.lack = {id: 0, from: 0};

B.fetchLate = function () {
    var id = B.bars.lacking()[0] || 0;
    if (id !== B.lack.id) {
        B.lack = {id: id, from: B.now() + B.FETCH_MS};
    } else if (id && B.now() > B.lack.from) {
        B.lack.from = B.now() + B.REFETCH_MS;
        B.fetch();
    }
};

B.refused = function (address, words) {
    var parts = address.split("/");
    var verb = parts.slice(2).join("/");
    if (parts[1] !== B.params.voice() && parts[1] !== "bridge") {
        return;
    }
    if (verb === "next" || verb === "sample" || verb === "vary") {
        B.bars.answered();
    }
    B.status.say(words);
};

// The device goes: the bridge need not speak to it any longer.
function notifydeleted() {
    if (B.begun) {
        B.clockTask.cancel();
        B.player.silence();
        B.toBridge("/bridge/unsubscribe");
    }
}
