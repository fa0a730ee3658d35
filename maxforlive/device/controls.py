"""Every control of the device, once: what Live stores, what Push shows, what the bridge is sent, where it stands.

Long names are what Live keeps automation and recall under: never rename one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 648
HEIGHT: Final = 169

FLOAT, INT, PERCENT, CUSTOM = 1, 0, 5, 9  # parameter_unitstyle
KEYS: Final = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MODES: Final = (
    "major", "minor", "dorian", "phrygian", "lydian", "mixolydian", "locrian", "harmonic_minor", "melodic_minor",
    "pentatonic_major", "pentatonic_minor", "blues", "chromatic",
)  # fmt: skip
MODELS: Final = ("as set", "melody-2bar", "bass-2bar", "drums-2bar", "melody-16bar", "drums-16bar", "trio-16bar")
VOICES: Final = ("melody", "bass", "drums", "trio", "5th voice", "6th voice", "7th voice", "8th voice")

Rect = tuple[int, int, int, int]


@dataclass(frozen=True)
class Control:
    """One parameter.

    `key` is its name in the script; `maxclass` the object; `rect` x, y, width and height in pixels of the device
    (None: it is stored with the set and not shown). `verb` is the bridge's (empty: the script's own business), `state`
    the key of the bridge's ``/VOICE/state`` that tells it, `scale` the bridge's value for 1 of ours.
    """

    key: str
    longname: str
    shortname: str
    maxclass: str
    hint: str
    rect: Rect | None
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    initial: float = 0.0
    unit: int = CUSTOM
    verb: str = ""
    state: str = ""
    attribute: str = ""
    scale: float = 1.0
    extra: dict[str, object] = field(default_factory=dict)

    @property
    def is_button(self) -> bool:
        """It has no value, only a press."""
        return self.maxclass == "live.text" and self.extra.get("mode") == 0

    @property
    def stored_only(self) -> bool:
        """Kept in the set, not automated."""
        return self.key in ("bridge_port", "saved")


def _button(key: str, longname: str, shortname: str, rect: Rect, hint: str) -> Control:
    extra = {"mode": 0, "text": longname, "texton": longname, "transition": 0}
    return Control(key, longname, shortname, "live.text", hint, rect, ("off", "on"), high=1, extra=extra)


def _toggle(
    key: str, longname: str, shortname: str, rect: Rect, hint: str, text: str, on: str, **more: object
) -> Control:
    extra = {"mode": 1, "text": text, "texton": on}
    return Control(key, longname, shortname, "live.text", hint, rect, ("off", "on"), extra=extra, **more)  # type: ignore[arg-type]


def _dial(key: str, longname: str, shortname: str, at: tuple[int, int], hint: str, **more: object) -> Control:
    settings = {"low": 0.0, "high": 100.0, "unit": PERCENT, "scale": 0.01, "verb": key, "state": key, **more}
    return Control(key, longname, shortname, "live.dial", hint, (*at, 44, 48), **settings)  # type: ignore[arg-type]


def _tab(
    key: str, longname: str, shortname: str, rect: Rect, choices: tuple[str, ...], hint: str, **more: object
) -> Control:
    return Control(key, longname, shortname, "live.tab", hint, rect, choices, extra={"multiline": 0}, **more)  # type: ignore[arg-type]


def _menu(
    key: str, longname: str, shortname: str, rect: Rect, choices: tuple[str, ...], hint: str, **more: object
) -> Control:
    return Control(key, longname, shortname, "live.menu", hint, rect, choices, **more)  # type: ignore[arg-type]


def _store(slot: str, x: int) -> Control:
    hint = f"Put the present loop in corner {slot} of the pad; while there is none, the clip."
    return Control(
        f"store_{slot.lower()}", f"Store {slot}", f"Store {slot}", "live.text", hint, (x, 128, 44, 18), ("off", "on"),
        extra={"mode": 0, "text": slot, "texton": slot, "transition": 0},
    )  # fmt: skip


_GENERATE = Control(
    "generate", "Generate", "Generate", "live.text",
    "New bars that go on from the clip (or from the bridge's own bars), at the next launch boundary.",
    (6, 6, 150, 52), ("off", "on"),
    extra={
        "mode": 0, "text": "Generate next 2 bars", "texton": "Generate next 2 bars", "transition": 0, "fontsize": 12.0,
    },
)  # fmt: skip

#: In the order of Push and of Live's parameter list: eight to a bank.
CONTROLS: Final[tuple[Control, ...]] = (
    # -- Play
    _GENERATE,
    _tab("bars", "Bars", "Bars", (38, 62, 118, 18), ("1", "2", "4", "8", "16"), "How many bars are made.",
         initial=1),
    _button("sample", "Sample", "Sample", (6, 84, 48, 18), "New bars out of the blue."),
    _button("vary", "Vary", "Vary", (57, 84, 48, 18), "Bars near the present ones; how near says Vary Amount."),
    _button("undo", "Undo", "Undo", (6, 106, 48, 18), "Back to the bars before."),
    _button("redo", "Redo", "Redo", (57, 106, 48, 18), "Forth again."),
    _toggle("play", "Play", "Play", (108, 106, 48, 18), "Whether this voice plays; its bars are kept.", "Stopped",
            "Playing", initial=1, verb="play", state="playing"),
    _tab("jam", "Jam", "Jam", (30, 128, 126, 18), ("off", "respond", "follow"),
         "respond: listens for so many bars as Bars says, and answers; follow: moves towards what is played.",
         verb="jam", state="jam"),
    # -- Morph
    _dial("morph", "Morph", "Morph", (166, 4), "Between corner A and corner B, while it plays."),
    _dial("x", "X", "X", (212, 4), "Across the pad: from corners A, C to corners B, D.", verb="xy"),
    _dial("y", "Y", "Y", (258, 4), "Up the pad: from corners A, B to corners C, D.", verb="xy"),
    _dial("temperature", "Temperature", "Temp", (304, 4), "Low is plain, high is bold.", low=0.05, high=2.0,
          initial=0.6, unit=FLOAT, scale=1.0),
    _dial("surprise", "Surprise", "Surprise", (350, 4), "Of several candidates, the plainer or the bolder.",
          initial=35.0),
    _dial("density", "Density", "Density", (166, 54), "Fewer or more notes.", low=-100.0, verb="attribute", state="",
          attribute="density"),
    _dial("syncopation", "Syncopation", "Syncop", (212, 54), "On the beat or off it.", low=-100.0, verb="attribute",
          state="", attribute="syncopation"),
    Control("vary_amount", "Vary Amount", "Vary Amt", "live.numbox", "How far Vary goes: 0 the same, 100 far away.",
            (108, 84, 48, 18), high=100.0, initial=50.0, unit=PERCENT, scale=0.01),
    # -- Groove
    _dial("swing", "Swing", "Swing", (258, 54), "Where every second step starts in its pair; 50 is straight.", low=50.0,
          high=75.0, initial=50.0, scale=1.0),
    _dial("quantise", "Quantise", "Quantise", (304, 54), "How far notes are pulled to the grid.", initial=100.0,
          verb="quantize", state="quantize"),
    _dial("humanise", "Humanise", "Humanise", (350, 54), "How much timing and velocity wander.", verb="humanize",
          state="humanize"),
    _tab("launch", "Launch", "Launch", (206, 106, 188, 18), ("now", "step", "beat", "bar", "loop"),
         "When new bars begin to sound.", initial=3, verb="launch", state="launch"),
    _store("A", 206),
    _store("B", 254),
    _store("C", 302),
    _store("D", 350),
    # -- Voice
    _menu("voice", "Voice", "Voice", (446, 6, 114, 15), VOICES, "Which voice of the bridge this device plays."),
    _menu("model", "Model", "Model", (446, 24, 114, 15), MODELS, "Its model; the old one plays until it is ready.",
          verb="model", state="model"),
    _menu("part", "Part", "Part", (446, 78, 114, 15), ("all", "melody", "bass", "drums"),
          "Of a trio: which part this track plays."),
    _tab("key_from", "Key From", "Key From", (446, 96, 114, 15), ("Live", "by hand"),
         "Take the key and scale that are set in Live, or those below."),
    _menu("key", "Key", "Key", (446, 114, 34, 15), KEYS, "The key, when it is set by hand."),
    _menu("scale", "Scale", "Scale", (482, 114, 78, 15), MODES, "The scale, when it is set by hand.", initial=1),
    _tab("scale_lock", "Scale Lock", "ScaleLock", (446, 131, 114, 16), ("off", "soft", "hard"),
         "soft leans on the scale, hard allows nothing else.", initial=1, verb="scale", state="scale"),
    _tab("seed", "Seed", "Seed", (446, 60, 114, 15), ("Clip", "Loop"),
         "Generate goes on from the clip that plays or is selected on this track, or from the bridge's own bars."),
    # -- Clip
    _tab("output", "Output", "Output", (446, 42, 114, 15), ("Device", "Clip", "Port"),
         "Device: the notes come out of this device. Clip: new bars are written into a clip. Port: listen to the "
         "bridge's MIDI port."),
    _button("write_clip", "Write Clip", "WriteClip", (570, 6, 72, 16), "Write the present bars into a clip."),
    _toggle("overwrite", "Overwrite", "Overwrite", (570, 26, 72, 16),
            "Write over the clip in the selected slot; off: never touch a clip that is there.", "Keep clips",
            "Overwrite"),
    _toggle("launch_clip", "Launch Clip", "LaunchClip", (570, 46, 72, 16), "Launch a clip when it has been written.",
            "Just write", "Launch clip"),
    # -- stored with the set, not automated
    Control("bridge_port", "Bridge Port", "Port", "live.numbox", "The bridge's OSC port (osc.port in config.yaml).",
            (570, 114, 72, 15), low=1024, high=65535, initial=9100, unit=INT),
    Control("saved", "Settings Saved", "Saved", "live.numbox", "Whether this device has met a bridge before.", None,
            high=1, unit=INT),
)  # fmt: skip

#: Push banks, eight names each; "-" is an empty place.
BANKS: Final = (
    ("Play", ("Generate", "Bars", "Sample", "Vary", "Undo", "Redo", "Play", "Jam")),
    ("Morph", ("Morph", "X", "Y", "Temperature", "Surprise", "Density", "Syncopation", "Vary Amount")),
    ("Groove", ("Swing", "Quantise", "Humanise", "Launch", "Store A", "Store B", "Store C", "Store D")),
    ("Voice", ("Voice", "Model", "Part", "Seed", "Key From", "Key", "Scale", "Scale Lock")),
    ("Clip", ("Output", "Write Clip", "Overwrite", "Launch Clip", "-", "-", "-", "-")),
)

#: Words beside the controls: text, rect.
LABELS: Final = (
    ("Voice", (402, 6, 42, 15)),
    ("Model", (402, 24, 42, 15)),
    ("Output", (402, 42, 42, 15)),
    ("Seed", (402, 60, 42, 15)),
    ("Part", (402, 78, 42, 15)),
    ("Key from", (402, 96, 44, 15)),
    ("Key", (402, 114, 42, 15)),
    ("Lock", (402, 131, 42, 15)),
    ("Bars", (6, 63, 32, 15)),
    ("Jam", (6, 129, 24, 15)),
    ("Launch", (166, 107, 40, 15)),
    ("Store", (166, 129, 40, 15)),
    ("Bridge port", (570, 97, 72, 15)),
)
STATUS_RECT: Final = (6, 150, 636, 16)
