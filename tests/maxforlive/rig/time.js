// Time for the rig: the machine's own, or a virtual one that moves when it is told to, so that musical tests are exact.
'use strict';

class RealTime {
    now() {
        return performance.timeOrigin + performance.now();
    }

    after(ms, action) {
        return {timer: setTimeout(action, ms)};
    }

    every(ms, action) {
        return {repeat: setInterval(action, ms)};
    }

    cancel(handle) {
        if (handle) {
            clearTimeout(handle.timer);
            clearInterval(handle.repeat);
        }
    }
}

class VirtualTime {
    constructor() {
        this.ms = 1e12;
        this.waiting = [];
        this.count = 0;
    }

    now() {
        return this.ms;
    }

    after(ms, action) {
        const handle = {due: this.ms + Math.max(1, ms), order: this.count++, action};
        this.waiting.push(handle);
        return handle;
    }

    every(ms, action) {
        const again = () => {
            Object.assign(handle, {due: handle.due + ms, order: this.count++});
            this.waiting.push(handle);
            action();
        };
        const handle = this.after(ms, again);
        return handle;
    }

    cancel(handle) {
        const at = this.waiting.indexOf(handle);
        if (at >= 0) {
            this.waiting.splice(at, 1);
        }
    }

    advance(ms) {
        const until = this.ms + ms;
        for (;;) {
            this.waiting.sort((one, other) => one.due - other.due || one.order - other.order);
            if (!this.waiting.length || this.waiting[0].due > until) {
                break;
            }
            const next = this.waiting.shift();
            this.ms = next.due;
            next.action();
        }
        this.ms = until;
    }
}

module.exports = process.argv.includes('--virtual') ? new VirtualTime() : new RealTime();
module.exports.setMs = 0; // by how much somebody has set the computer's clock
