// The link to the bridge: a port of our own for its answers, subscription, heartbeats, recovery.

B.link = {
    target: 9100, // where the bridge listens
    port: 0, // where we listen
    portSure: false,
    token: 0,
    probedTicks: 0, // ago
    tried: 0,
    connected: false,
    ready: false,
    version: "",
    heardAt: 0,
    askedAt: 0,
    pingedAt: 0,
    voices: []
};

B.link.SPAN = B.LAST_PORT - B.FIRST_PORT + 1;
B.link.PROBE_TICKS = 4; // ticks, not time: what came while Max stood still is heard before the next of them
B.link.SUBSCRIBE_MS = 1000;
B.link.PING_MS = 2000;
B.link.SILENCE_MS = 2000; // four heartbeats

// `salt` spreads the devices of a set over the ports: each begins its search elsewhere.
B.link.begin = function (salt, target) {
    var link = B.link;
    link.setTarget(target);
    if (!link.port) {
        link.token = 1 + Math.floor(Math.random() * 0x3fffffff);
        link.port = B.FIRST_PORT + Math.abs(salt) % link.SPAN;
        link.probe();
    }
};

// A bridge that we leave would go on speaking to us for a minute, as if it were the other one.
B.link.setTarget = function (target) {
    if (B.link.portSure && target !== B.link.target) {
        B.toBridge("/bridge/unsubscribe");
    }
    B.link.target = target;
    B.toPatch("target", [target]);
    B.link.lose();
};

// Only the device that really holds a port hears what it sends to it: another one's token is not ours, and our own that
// comes late, from a port that we have left, says nothing of the next one.
B.link.probe = function () {
    var link = B.link;
    link.probedTicks = 0;
    B.toPatch("listen", [link.port]);
    B.toPatch("self", [link.port]);
    B.toPatch("probe", ["/barline/probe", link.token, link.port]);
};

B.link.probed = function (token, port) {
    var link = B.link;
    if (token === link.token && port === link.port && !link.portSure) {
        link.portSure = true;
        link.subscribe();
    }
};

B.link.subscribe = function () {
    B.link.askedAt = B.now();
    B.toBridge("/bridge/subscribe", [B.link.port]);
};

B.link.lose = function () {
    B.link.connected = false;
    B.link.ready = false;
    B.link.voices = [];
    B.link.askedAt = 0;
};

B.link.welcomed = function (version) {
    var link = B.link;
    link.connected = true;
    link.version = version;
    link.ping(); // its pong tells how old this bridge is, and so whether it has heard what we asked for
};

B.link.ping = function () {
    B.link.pingedAt = B.now();
    B.toBridge("/bridge/ping", [B.link.token]);
};

B.link.tick = function () {
    var link = B.link;
    var now = B.now();
    if (!link.portSure) {
        link.probedTicks += 1;
        if (link.port && link.probedTicks > link.PROBE_TICKS) {
            link.tried += 1;
            link.port = link.port < B.LAST_PORT ? link.port + 1 : B.FIRST_PORT;
            link.probe();
        }
        return;
    }
    if (link.connected && now - link.heardAt > link.SILENCE_MS) {
        link.lose();
    }
    if (!link.connected && now - link.askedAt > link.SUBSCRIBE_MS) {
        link.subscribe();
    }
    if (link.connected && now - link.pingedAt > link.PING_MS) {
        link.ping();
    }
};
