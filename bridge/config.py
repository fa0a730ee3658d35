"""The settings: their types, bounds, defaults and one-line documentation; `config_file` reads them.

One fact, one place: the types below yield the validation, the texts of the errors, the defaults and config.yaml itself
(`documented_example`, which a test compares with the file). Channels count from 1 here, as users do;
`Voice.midi_channels` has them from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from bridge import limits
from bridge.family import MODEL_PARTS

RESERVED_VOICE_NAMES: Final = ("bridge", "clock", "error")  # they are addresses of their own (contract section 3)
DEFAULT_CHANNELS: Final = {"melody": 1, "bass": 2, "drums": 10}  # General MIDI has the drums on 10

#: The names in `MODEL_PARTS`, written out because a type cannot be made from values; a test holds them together.
ModelName = Literal["melody-2bar", "bass-2bar", "drums-2bar", "melody-16bar", "drums-16bar", "trio-16bar"]
Launch = Literal["now", "step", "beat", "bar", "loop"]
Grid = Literal["1/4", "1/8", "1/8T", "1/16", "1/16T", "1/32"]
Source = Literal["auto", "internal", "live", "midi", "link"]
Backend = Literal["auto", "coremidi", "winmm", "alsa", "jack", "none"]


def _switch(value: object) -> object:
    """`on`, `off`, `yes` and `no` are words in our YAML; where a switch is wanted they mean what they say."""
    return {"on": True, "yes": True, "off": False, "no": False}.get(value, value) if isinstance(value, str) else value


Switch = Annotated[bool, BeforeValidator(_switch)]
Port = Annotated[int, Field(ge=0, le=65535)]
Channel = Annotated[int, Field(ge=1, le=16)]
OffsetMs = Annotated[float, Field(ge=-limits.MAX_OFFSET_MS, le=limits.MAX_OFFSET_MS)]
Temperature = Annotated[float, Field(ge=limits.MIN_TEMPERATURE, le=limits.MAX_TEMPERATURE)]


class Section(BaseModel):
    """Settings that belong together: frozen, and no keys but their own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _text(default: str, pattern: str, allowed: str, description: str) -> Any:
    return Field(default, pattern=pattern, description=description, json_schema_extra={"allowed": allowed})


_HOST: Final = (r"^[A-Za-z0-9.:_-]{1,253}$", "an IP address or a host name")


class Osc(Section):
    """Where OSC requests arrive."""

    host: str = _text("127.0.0.1", *_HOST, "address to listen on; anything but 127.0.0.1 lets other machines in")
    port: Port = Field(9100, description="UDP port; 0: any free one")


class Panel(Section):
    """The browser panel."""

    enabled: Switch = Field(True, description="serve the browser panel")
    host: str = _text("127.0.0.1", *_HOST, "address to listen on; anything but 127.0.0.1 lets other machines in")
    port: Port = Field(9180, description="TCP port; 0: any free one")


class Midi(Section):
    """The MIDI side."""

    backend: Backend = Field("auto", description="auto, coremidi (macOS), winmm (Windows), alsa or jack (Linux), none")
    name: str = _text(
        "Barline", r"^[^\x00-\x1f\x7f:]{1,32}$", "text of 1 to 32 characters without a colon (a number: in quotes)",
        "what our ports are called: `NAME VOICE`, `NAME in`, `NAME clock`",
    )  # fmt: skip
    input: str = _text(
        "auto", r"^[^\x00-\x1f\x7f]{1,128}$", "auto, none, or part of the name of a port (a number: in quotes)",
        "auto: our own port `NAME in`; none; or part of the name of a port to listen to",
    )  # fmt: skip
    input_latency_ms: float = Field(
        0.0, ge=0, le=500, description="how long what you play takes to get here; it is taken off"
    )
    clock_out: Switch = Field(False, description="send MIDI clock from a port `NAME clock`")


class Audio(Section):
    """The built-in preview voice."""

    preview: Switch = Field(False, description="play the notes with the built-in voice")
    device: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)] | None = Field(
        None, description="part of the name, or the number, of an audio device; null: the system's default",
        json_schema_extra={"allowed": "null, a device's number, or part of its name"},
    )  # fmt: skip
    click: Switch = Field(True, description="click the beats as well, on that device alone")


class Engine(Section):
    """Where the models run."""

    device: str = _text(
        "auto", r"^(auto|cpu|cuda|cuda:\d{1,2}|mps)$", "auto, cpu, cuda, cuda:0 (or another number) or mps",
        "auto, cpu, cuda, cuda:0, mps",
    )  # fmt: skip
    threads: int = Field(1, ge=1, le=64, description="CPU threads; one is steadier than two on a busy machine")
    own_models: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="a folder of models of your own, one folder each, looked in first; null: none",
        json_schema_extra={"allowed": "null, or the path of a folder"},
    )  # fmt: skip


class Clock(Section):
    """The time that is followed or given."""

    source: Source = Field("auto", description="auto, internal, live, midi, link")
    tempo: float = Field(
        120.0, ge=limits.MIN_TEMPO_BPM, le=limits.MAX_TEMPO_BPM, description="BPM of the internal clock, 20-999"
    )
    beats_per_bar: int = Field(4, ge=1, le=16, description="quarter notes in a bar, until a followed clock says so")
    offset_ms: OffsetMs = Field(0.0, description="positive: our notes sound that much later")
    offsets_ms: dict[Literal["live", "midi", "link"], OffsetMs] = Field(
        {}, description="the same for one source, in place of it, as in {midi: -4.5}",
        json_schema_extra={"allowed": "milliseconds from -1000 to 1000 by source, as in {midi: -4.5, live: 0.0}"},
    )  # fmt: skip
    link: Switch = Field(False, description="with source auto: look for an Ableton Link session, and follow it")


class Session(Section):
    """What is kept."""

    folder: str = _text(
        "sessions", r"^[^\x00]+$", "the path of a folder",
        "where bars, scenes and run.json are kept; relative to this file",
    )  # fmt: skip


class Voice(Section):
    """One voice: its model, where it sounds, and where its knobs stand at the start."""

    model: ModelName = Field("melody-2bar", description=", ".join(MODEL_PARTS))
    channel: Channel | None = Field(
        None, description="MIDI channel, 1-16", json_schema_extra={"allowed": "a whole number from 1 to 16"}
    )
    parts: dict[str, Channel] | None = Field(
        None, description="channels, in place of `channel`, where the model has parts (trio-16bar)",
        json_schema_extra={"allowed": "channels 1-16 by part, as in {melody: 1, bass: 2, drums: 10}"},
    )  # fmt: skip
    launch: Launch = Field("bar", description="when a change sounds: now, step, beat, bar, loop")
    quantize: float = Field(1.0, ge=0, le=1, description="strength of the quantiser, 0-1")
    swing: float = Field(50.0, ge=50, le=75, description="per cent, MPC style, 50-75; nothing on triplet grids")
    humanize: float = Field(0.0, ge=0, le=1, description="how much timing and velocity wander, 0-1")
    grid: Grid = Field("1/16", description="1/4, 1/8, 1/8T, 1/16, 1/16T, 1/32")
    temperature: Temperature = Field(0.6, description="of new bars, 0.05-2: low is plain, high is bold")
    listen: int = Field(0, ge=0, le=16, description="MIDI channel it listens to when it jams; 0: all")

    def midi_channels(self) -> dict[int, int]:
        """MIDI channel 0-15 by the number of the part in note lists."""
        if self.parts is None:
            return {0: (self.channel or 1) - 1}
        return {number: self.parts[part] - 1 for number, part in enumerate(MODEL_PARTS[self.model])}


class Settings(Section):
    """All settings."""

    osc: Osc = Osc()
    panel: Panel = Panel()
    midi: Midi = Midi()
    audio: Audio = Audio()
    engine: Engine = Engine()
    clock: Clock = Clock()
    session: Session = Session()
    voices: dict[str, Voice]

    def session_folder(self) -> Path:
        """The session folder; absolute in settings that `config_file.load` returned."""
        return Path(self.session.folder)


def default_voices() -> dict[str, dict[str, Any]]:
    """The built-in voices: their models, and the keys in which they differ from what their models have by default."""
    return {part: {"model": f"{part}-2bar"} for part in DEFAULT_CHANNELS}


def default_knobs(parts: tuple[str, ...]) -> dict[str, float]:
    """The knobs that stand elsewhere by default where a model has just these parts: drums keep their own timing."""
    return {"quantize": 0.0, "temperature": 0.7} if parts == ("drums",) else {}


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words, from its type and bounds."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "allowed" in extra:
        return str(extra["allowed"])
    kind = field.annotation
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if kind is bool:
        return "true or false"
    bounds = [f"{bound.ge:g}" for bound in field.metadata if isinstance(bound, annotated_types.Ge)]
    bounds += [f"{bound.le:g}" for bound in field.metadata if isinstance(bound, annotated_types.Le)]
    return ("a whole number" if kind is int else "a number") + " from " + " to ".join(bounds)


_EXAMPLE_HEAD: Final = """\
# Barline's settings, every one with its default: leave out what you do not change.
# What --set KEY=VALUE says goes before the file of --config, that before ./config.yaml, that before these defaults.
# Unknown keys and wrong values are refused, all of them at once.
"""
_VOICES_HEAD: Final = """
voices:  # in place of these, as many as you like: letters, digits, - and _; not bridge, clock, error
"""


def documented_example() -> str:
    """The text of config.yaml: every key with its default and its line of documentation."""
    text = _EXAMPLE_HEAD
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            fields = section.model_fields
            rows = [(key, _plain(inner.default), inner.description or "") for key, inner in fields.items()]
            text += f"\n{name}:  # {(section.__doc__ or '').rstrip('.')}\n" + _rows("  ", rows)
    return text + _VOICES_HEAD + "".join(_voice_example(name) for name in default_voices())


def _voice_example(name: str) -> str:
    voice = {**default_voices()[name], "channel": DEFAULT_CHANNELS[name], "launch": "bar", **default_knobs((name,))}
    fields = Voice.model_fields
    if name != "melody":  # the first is shown with all its knobs; the others with what is their own
        shown = ("model", "channel", "launch", *default_knobs((name,)))
        return f"  {name}:\n" + _rows("    ", [(key, _plain(voice[key]), "") for key in shown])
    rows = [(key, _plain(voice.get(key, field.default)), field.description or "") for key, field in fields.items()]
    parts = "{" + ", ".join(f"{part}: {channel}" for part, channel in DEFAULT_CHANNELS.items()) + "}"
    rows = [("# parts", parts, text) if key == "parts" else (key, value, text) for key, value, text in rows]
    return f"  {name}:\n" + _rows("    ", rows)


def _plain(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _rows(indent: str, rows: list[tuple[str, str, str]]) -> str:
    settings = [(f"{indent}{key}: {value}", comment) for key, value, comment in rows]
    width = max(len(setting) for setting, _ in settings)
    return "".join(f"{setting:<{width}}  # {text}\n" if text else f"{setting}\n" for setting, text in settings)
