// One line in plain words: what is there, and what to do where something is not.
// Texts are few and their numbers round: Max keeps every different text for as long as Live runs.

B.status = {
    shown: "",
    passing: "",
    until: 0
};

B.status.PASSING_MS = 5000;

// Something that has just happened; it gives way to the standing line.
B.status.say = function (words) {
    B.status.passing = String(words).substr(0, 120);
    B.status.until = B.now() + B.status.PASSING_MS;
    B.status.show();
};

B.status.show = function () {
    var words = B.now() < B.status.until ? B.status.passing : B.status.standing();
    if (words !== B.status.shown) {
        B.status.shown = words;
        B.toPatch("status", [words]);
    }
};

B.status.standing = function () {
    var link = B.link;
    if (!link.portSure) {
        return link.tried < 10
            ? "Looking for a free UDP port for the bridge's answers"
            : "No free UDP port from " + B.FIRST_PORT + " to " + B.LAST_PORT + ": does a firewall block Live?";
    }
    if (!link.connected) {
        return "No bridge on port " + link.target + ". Start it: python3 run_bridge.py";
    }
    var voice = B.params.voice();
    if (link.voices.length && link.voices.indexOf(voice) < 0) {
        return "The bridge has no voice " + voice + ". It has: " + link.voices.join(", ");
    }
    var model = String(B.params.told.model || "");
    if (!B.params.told.ready) {
        return "Bridge found. " + model + " is loading; if it stays so: python3 run_bridge.py doctor";
    }
    var jam = B.status.JAM[B.params.phase];
    var begins = "Ready | " + voice + ": " + model + " | ";
    return jam ? begins + jam + " | " + B.status.clock() : begins + B.status.clock() + B.status.latency();
};

B.status.JAM = {
    "count_in": "jam: counts you in",
    "ready": "jam: your turn",
    "listen": "jam: listens",
    "answer": "jam: answers",
    "follow": "jam: follows you"
};

B.status.clock = function () {
    var clock = B.clock;
    if (clock.source !== "live") {
        return "the bridge keeps its own time (" + clock.source + "): press Play in Live";
    }
    if (!clock.playing) {
        return "Live stands: press Play in Live";
    }
    return clock.errorMs <= 10 ? "clock locked to Live" : "clock drifts from Live by " + Math.round(clock.errorMs) + " ms";
};

B.status.latency = function () {
    var ms = B.bars.latencyMs;
    return ms ? " | last bars took " + Math.max(5, Math.round(ms / 5) * 5) + " ms" : "";
};
