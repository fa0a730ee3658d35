// Controls and the bridge's knobs: who wins when, and no echo. B.CONTROLS is written by build.py.

B.params = {
    values: {}, // by key, as the control shows it
    changedAt: {}, // when the user (or automation) last changed it
    sentAt: {}, // by address
    waiting: {}, // by address: a newer value is to be sent
    told: {}, // the bridge's newest state of our voice
    phase: "", // where its jam is, as the bridge last said
    synced: false,
    switching: false // another voice has been chosen: the controls take over what it has
};

B.params.OWN_MS = 500; // for so long after a change here the bridge's state may be older than the change
B.params.SPACING_MS = 15; // a hand does not turn a knob faster

B.params.get = function (key) {
    var value = B.params.values[key];
    return value === undefined ? B.CONTROLS[key].initial : value;
};

B.params.choice = function (key) {
    return B.CONTROLS[key].choices[B.params.get(key)];
};

B.params.voice = function () {
    var names = B.CONTROLS.voice.choices;
    var index = B.params.get("voice");
    if (index < 4) {
        return names[index];
    }
    var others = B.link.voices.filter(function (name) {
        return names.indexOf(name) < 0;
    });
    return others[index - 4] || names[index];
};

// A control's value as the bridge takes it.
B.params.wire = function (key) {
    var control = B.CONTROLS[key];
    var value = B.params.get(key);
    if (control.choices) {
        return control.choices[value];
    }
    return B.round(value * control.scale, 5);
};

B.params.same = function (key, one, other) {
    return Math.abs(one - other) < (B.CONTROLS[key].choices ? 0.5 : 0.0002 / B.CONTROLS[key].scale);
};

// The value a control would show for what the bridge's state says; undefined where it says nothing we can show.
B.params.shown = function (key) {
    var control = B.CONTROLS[key];
    var said = control.state ? B.params.told[control.state] : undefined;
    if (said === undefined) {
        return undefined;
    }
    if (control.choices) {
        var index = typeof said === "number" ? said : control.choices.indexOf(said);
        return index < 0 ? undefined : index;
    }
    return B.round(said / control.scale, 3);
};

// The user has moved a control, or Live has restored or automated it. True when that is news.
B.params.moved = function (key, value) {
    var params = B.params;
    if (typeof value !== "number" || (params.values[key] !== undefined && params.same(key, params.values[key], value))) {
        return false;
    }
    params.values[key] = value;
    params.changedAt[key] = B.now();
    if (params.synced) {
        params.send(key);
    }
    return true;
};

B.params.send = function (key) {
    var verb = B.CONTROLS[key].verb;
    if (!verb || !B.link.connected) {
        return;
    }
    var params = B.params;
    var slot = verb === "attribute" ? key : verb;
    params.changedAt[key] = B.now();
    var wait = (params.sentAt[slot] || 0) + params.SPACING_MS - B.now();
    if (params.waiting[slot]) {
        return;
    }
    if (wait <= 0) {
        params.sendNow(key, slot);
        return;
    }
    params.waiting[slot] = true;
    B.after(wait, function () {
        params.waiting[slot] = false;
        params.sendNow(key, slot);
    });
};

B.params.sendNow = function (key, slot) {
    var params = B.params;
    var control = B.CONTROLS[key];
    var base = "/" + params.voice() + "/";
    params.sentAt[slot] = B.now();
    if (control.verb === "xy") {
        B.toBridge(base + "xy", [params.wire("x"), params.wire("y")]);
    } else if (control.verb === "attribute") {
        B.toBridge(base + "attribute", [control.attribute, params.wire(key)]);
    } else if (control.verb === "play") {
        B.toBridge(base + (params.get(key) ? "play" : "stop"));
    } else if (control.verb === "jam") {
        B.toBridge(base + "jam", [params.wire(key), Number(params.choice("bars"))]);
    } else if (control.verb === "model") {
        if (params.get(key) > 0) {
            B.toBridge(base + "model", [params.wire(key)]);
        }
    } else {
        B.toBridge(base + control.verb, [params.wire(key)]);
    }
};

B.params.each = function (action) {
    B.ORDER.forEach(function (key) {
        if (B.CONTROLS[key].verb) {
            action(key, B.CONTROLS[key]);
        }
    });
};

B.params.adopt = function (key) {
    var value = B.params.shown(key);
    if (value !== undefined && !B.params.same(key, B.params.get(key), value)) {
        B.params.values[key] = value;
        B.toControl(key, value);
    }
};

// The first state after a welcome. A set that was saved with this device wins, and what was changed while the bridge
// was away; a device that has just been dropped into a set takes over what the bridge has.
B.params.sync = function () {
    var params = B.params;
    if (params.synced) {
        return;
    }
    params.synced = true;
    if (params.switching || !params.get("saved")) {
        params.takeOver();
        return;
    }
    var sent = {};
    params.each(function (key, control) {
        var shown = params.shown(key);
        var rest = control.state ? shown : control.initial;
        var slot = control.verb === "attribute" ? key : control.verb;
        if (rest !== undefined && !params.same(key, rest, params.get(key)) && !sent[slot]) {
            sent[slot] = true;
            params.send(key);
        }
    });
};

B.params.takeOver = function () {
    B.params.switching = false;
    B.params.claim();
    B.params.each(B.params.adopt);
};

// From now on the settings here are somebody's: they are kept with the set, and win when it is loaded.
B.params.claim = function () {
    if (!B.params.values.saved) {
        B.params.values.saved = 1;
        B.toControl("saved", 1);
    }
};

B.params.state = function (pairs) {
    var told = {};
    var at;
    for (at = 0; at + 1 < pairs.length; at += 2) {
        told[pairs[at]] = pairs[at + 1];
    }
    B.params.told = told;
    B.params.sync();
    B.params.reconcile();
};

// What the bridge says is shown, unless a change of our own may still be on its way there.
B.params.reconcile = function () {
    var params = B.params;
    var now = B.now();
    if (!params.synced) {
        return;
    }
    params.each(function (key) {
        if (now - (params.changedAt[key] || 0) > params.OWN_MS) {
            params.adopt(key);
        }
    });
};

B.params.switchVoice = function () {
    B.params.forget();
    B.params.switching = true;
    if (B.link.connected) {
        B.toBridge("/bridge/state");
    }
};

B.params.forget = function () {
    B.params.synced = false;
    B.params.told = {};
    B.params.phase = "";
};
