// Barline for Max's [js]: plain ES5, one name. Files are joined in the order that build.py lists.
// Nothing here reaches for Live before live.thisdevice has banged (see device.js).

var B = {};

B.HOST = "127.0.0.1";
B.FIRST_PORT = 9200; // answers come to one of these ports: several devices share a machine
B.LAST_PORT = 9399;
B.NOTES_PER_MESSAGE = 30; // the contract's bound for one message
B.MAX_LOOP_BEATS = 256;
B.MAX_LOOP_NOTES = 2048;
B.TICK_MS = 100;

B.lastNow = 0;
B.setBackMs = 0;

// Never goes back: where the computer's clock is set back, what is waited for comes all the same.
B.now = function () {
    var now = new Date().getTime() + B.setBackMs;
    if (now < B.lastNow) {
        B.setBackMs += B.lastNow - now;
        now = B.lastNow;
    }
    B.lastNow = now;
    return now;
};

// A Task that nobody holds may be collected before it fires.
B.tasks = [];

B.after = function (ms, action) {
    var task = new Task(function () {
        var at = B.tasks.indexOf(task);
        if (at >= 0) {
            B.tasks.splice(at, 1);
        }
        action();
    }, this);
    B.tasks.push(task);
    task.schedule(ms);
};

B.round = function (value, places) {
    var factor = Math.pow(10, places);
    return Math.round(value * factor) / factor;
};

B.startsWith = function (text, start) {
    return String(text).substr(0, start.length) === start;
};

// Live's API answers with lists, of one value too.
B.first = function (answer) {
    var isList = answer !== null && typeof answer === "object" && answer.length !== undefined;
    return isList ? answer[0] : answer;
};

B.complain = function (what, fault) {
    post("Barline: " + what + ": " + fault + "\n");
};

// Outlets: 0 the bridge, 1 controls, 2 everything else in the patch, 3 notes.
B.toBridge = function (address, values) {
    outlet(0, [address].concat(values || []));
};

B.toControl = function (key, value) {
    outlet(1, [key, value]);
};

B.toPatch = function (what, values) {
    outlet(2, [what].concat(values || []));
};

B.toNotes = function (pitch, velocity, durationMs, delayMs) {
    outlet(3, [pitch, velocity, durationMs, delayMs]);
};
