// Notes as values: rows of [pitch, start, duration, velocity, part], beats from the beginning of the loop.

B.notes = {};

// What get_notes_extended gives (a JSON string, or an object), or null where it was cut short.
B.notes.parse = function (answer) {
    answer = B.first(answer);
    if (typeof answer === "string") {
        try {
            answer = JSON.parse(answer);
        } catch (fault) {
            return null;
        }
    }
    return answer && answer.notes ? answer.notes : null;
};

// Live's notes between two times as rows: muted ones are left out, all ends lie inside.
B.notes.rows = function (found, from, to, part) {
    var rows = [];
    found.forEach(function (note) {
        var start = note.start_time - from;
        if (note.mute || start < 0 || start >= to - from || note.duration <= 0) {
            return;
        }
        rows.push([
            note.pitch,
            B.round(start, 6),
            B.round(Math.max(Math.min(note.duration, to - from - start), 0.002), 6),
            Math.min(127, Math.max(1, Math.round(note.velocity))),
            part
        ]);
    });
    rows.sort(function (one, other) {
        return one[1] - other[1] || one[0] - other[0];
    });
    return rows;
};

// Flat lists of at most so many notes each, for one message each.
B.notes.chunks = function (rows, size) {
    var chunks = [];
    var first;
    for (first = 0; first < rows.length; first += size) {
        var flat = [];
        rows.slice(first, first + size).forEach(function (row) {
            flat.push.apply(flat, row);
        });
        chunks.push(flat);
    }
    return chunks;
};

B.notes.fromFlat = function (flat) {
    var rows = [];
    var at;
    for (at = 0; at + 5 <= flat.length; at += 5) {
        rows.push(flat.slice(at, at + 5));
    }
    return rows;
};

// A key of a loop closes before it sounds again, round the loop's end too: one note-off for each note-on, in order.
B.notes.withoutOverlaps = function (rows, length) {
    var byPitch = {};
    rows.forEach(function (row) {
        var pitch = row[0];
        byPitch[pitch] = byPitch[pitch] || [];
        byPitch[pitch].push(row.slice());
    });
    var result = [];
    var pitch;
    for (pitch in byPitch) {
        var same = byPitch[pitch].sort(function (one, other) {
            return one[1] - other[1] || other[3] - one[3];
        });
        same.forEach(function (row, at) {
            if (at > 0 && row[1] - same[at - 1][1] < 0.001) {
                return; // twice the same note: the louder one sounds
            }
            var next = at + 1;
            while (next < same.length && same[next][1] - row[1] < 0.001) {
                next += 1;
            }
            var until = next < same.length ? same[next][1] : same[0][1] + length;
            row[2] = Math.min(row[2], until - row[1]);
            result.push(row);
        });
    }
    result.sort(function (one, other) {
        return one[1] - other[1] || one[0] - other[0];
    });
    return result;
};
