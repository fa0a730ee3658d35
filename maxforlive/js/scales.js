// Live's key and scale in the bridge's words.

B.MODE_STEPS = {
    "major": [0, 2, 4, 5, 7, 9, 11],
    "minor": [0, 2, 3, 5, 7, 8, 10],
    "dorian": [0, 2, 3, 5, 7, 9, 10],
    "phrygian": [0, 1, 3, 5, 7, 8, 10],
    "lydian": [0, 2, 4, 6, 7, 9, 11],
    "mixolydian": [0, 2, 4, 5, 7, 9, 10],
    "locrian": [0, 1, 3, 5, 6, 8, 10],
    "harmonic_minor": [0, 2, 3, 5, 7, 8, 11],
    "melodic_minor": [0, 2, 3, 5, 7, 9, 11],
    "pentatonic_major": [0, 2, 4, 7, 9],
    "pentatonic_minor": [0, 3, 5, 7, 10],
    "blues": [0, 3, 5, 6, 7, 10]
};

B.MODE_OF_SCALE = {
    "Major": "major",
    "Minor": "minor",
    "Dorian": "dorian",
    "Phrygian": "phrygian",
    "Lydian": "lydian",
    "Mixolydian": "mixolydian",
    "Locrian": "locrian",
    "Harmonic Minor": "harmonic_minor",
    "Melodic Minor": "melodic_minor",
    "Major Pentatonic": "pentatonic_major",
    "Minor Pentatonic": "pentatonic_minor",
    "Minor Blues": "blues"
};

// A scale the bridge has no name for is bound by the smallest of its modes that holds all its notes.
B.modeOf = function (scaleName, intervals) {
    var known = B.MODE_OF_SCALE[scaleName];
    if (known) {
        return known;
    }
    var best = "chromatic";
    var bestSize = 12;
    var mode;
    for (mode in B.MODE_STEPS) {
        var steps = B.MODE_STEPS[mode];
        var holdsAll = intervals.length > 0 && intervals.every(function (step) {
            return steps.indexOf(step) >= 0;
        });
        if (holdsAll && steps.length < bestSize) {
            best = mode;
            bestSize = steps.length;
        }
    }
    return best;
};
