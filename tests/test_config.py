"""The settings: the defaults of the contract, the layers, and every fault at once with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge import config, limits
from bridge.config import Section, Settings
from bridge.config_file import ConfigError, load
from bridge.family import MODEL_PARTS
from bridge.model.nets.config import CONFIGS

#: Contract section 2, as it stands there.
CONTRACT = """
osc:     {host: 127.0.0.1, port: 9100}                                    # port 0: any free one
panel:   {enabled: true, host: 127.0.0.1, port: 9180}
midi:    {backend: auto, name: Barline, input: auto, clock_out: false}    # backend: auto|coremidi|winmm|alsa|jack|none
audio:   {preview: false, device: null}
engine:  {device: auto, threads: 1}                                       # device: auto|cpu|cuda|cuda:0|mps
clock:   {source: auto, tempo: 120.0, beats_per_bar: 4, offset_ms: 0.0}   # source: auto|internal|live|midi|link
session: {folder: sessions}
voices:
  melody: {model: melody-2bar, channel: 1,  launch: bar, quantize: 1.0, swing: 50, humanize: 0.0, grid: 1/16, temperature: 0.6}
  bass:   {model: bass-2bar,   channel: 2,  launch: bar}
  drums:  {model: drums-2bar,  channel: 10, launch: bar, quantize: 0.0, temperature: 0.7}
"""  # noqa: E501 - quoted


def written(folder: Path, text: str, name: str = "config.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, *sets: str, text: str | None = None) -> tuple[str, ...]:
    file = None if text is None else written(folder, text, "given.yaml")
    with pytest.raises(ConfigError) as refused:
        load(file, sets, folder)
    return refused.value.faults


def test_the_contract_as_it_stands_is_the_default(tmp_path: Path) -> None:
    built_in = load(folder=tmp_path)
    written(tmp_path, CONTRACT)
    assert load(folder=tmp_path) == built_in
    assert built_in.osc.port == 9100
    assert built_in.voices["drums"].temperature == 0.7
    assert built_in.voices["drums"].quantize == 0.0
    assert built_in.voices["bass"].temperature == 0.6


def test_the_documented_config_is_the_default_and_names_every_key(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "config.yaml").read_text(encoding="utf-8")
    assert text == config.documented_example()
    written(tmp_path, text)
    assert load(folder=tmp_path) == load(folder=tmp_path / "nowhere", sets=[f"session.folder={tmp_path / 'sessions'}"])
    for name, field in Settings.model_fields.items():
        assert f"\n{name}:" in text
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            for key in field.annotation.model_fields:
                assert f"\n  {key}: " in text
    for key in config.Voice.model_fields:
        comment = next(line for line in text.splitlines() if line.strip().removeprefix("# ").startswith(f"{key}: "))
        assert comment.partition("  # ")[2], key


def test_the_models_known_here_are_those_of_the_family() -> None:
    assert tuple(MODEL_PARTS) == config.ModelName.__args__
    assert {name: made.parts for name, made in CONFIGS.items()} == MODEL_PARTS


def test_set_goes_before_config_before_the_file_beside_before_the_defaults(tmp_path: Path) -> None:
    written(tmp_path, "osc: {port: 1}\nclock: {tempo: 90}\nengine: {threads: 2}")
    given = written(tmp_path / "elsewhere", "osc: {port: 2}\nclock: {tempo: 91}")
    settings = load(given, ["osc.port=3"], tmp_path)
    assert (settings.osc.port, settings.clock.tempo, settings.engine.threads) == (3, 91, 2)
    assert settings.panel.port == 9180
    assert load(None, (), tmp_path).osc.port == 1


def test_the_last_set_of_a_key_counts(tmp_path: Path) -> None:
    assert load(sets=["osc.port=1", "osc.port=2"], folder=tmp_path).osc.port == 2


def test_relative_paths_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    given = written(tmp_path / "set", "session: {folder: takes}")
    assert load(given, folder=tmp_path).session_folder() == tmp_path / "set" / "takes"
    assert load(folder=tmp_path).session_folder() == tmp_path / "sessions"
    assert load(written(tmp_path / "bare", "{}"), folder=tmp_path).session_folder() == tmp_path / "bare" / "sessions"
    assert load(sets=["session.folder=x"], folder=tmp_path).session_folder() == tmp_path / "x"
    assert load(sets=[f"session.folder={tmp_path}/abs"]).session_folder() == tmp_path / "abs"


def test_voices_replace_the_default_voices_and_have_defaults_inside(tmp_path: Path) -> None:
    given = written(tmp_path, "voices: {lead: {}, kit: {model: drums-2bar}, low: {model: bass-2bar, swing: 66}}")
    voices = load(given).voices
    assert list(voices) == ["lead", "kit", "low"]
    assert voices["lead"].model == "melody-2bar"
    assert [voices[name].channel for name in voices] == [1, 10, 3]
    assert (voices["kit"].quantize, voices["kit"].temperature) == (0.0, 0.7)
    assert (voices["low"].swing, voices["low"].launch, voices["low"].grid) == (66.0, "bar", "1/16")


def test_set_changes_one_knob_of_a_default_voice(tmp_path: Path) -> None:
    settings = load(sets=["voices.melody.launch=now", "voices.pad.model=melody-16bar"], folder=tmp_path)
    assert settings.voices["melody"].launch == "now"
    assert list(settings.voices) == ["melody", "bass", "drums", "pad"]
    assert settings.voices["pad"].channel == 4


def test_a_voice_with_parts_has_a_channel_for_each(tmp_path: Path) -> None:
    band = load(sets=["voices={band: {model: trio-16bar}}"], folder=tmp_path).voices["band"]
    assert band.parts == {"melody": 1, "bass": 2, "drums": 10}
    assert band.midi_channels() == {0: 0, 1: 1, 2: 9}
    assert load(folder=tmp_path).voices["drums"].midi_channels() == {0: 9}
    own = load(sets=["voices={band: {model: trio-16bar, parts: {bass: 5}}}"], folder=tmp_path).voices["band"]
    assert own.parts == {"melody": 1, "bass": 5, "drums": 10}


def test_the_tenth_voice_does_not_fall_on_the_drums(tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(limits.MAX_VOICES)]
    voices = load(sets=[f"voices={{{', '.join(f'{name}: {{}}' for name in names)}}}"], folder=tmp_path).voices
    assert 10 not in {voice.channel for voice in voices.values()}


@pytest.mark.parametrize("word", ["on", "yes", "true"])
def test_switches_take_the_words_people_use(tmp_path: Path, word: str) -> None:
    assert load(sets=[f"midi.clock_out={word}"], folder=tmp_path).midi.clock_out is True


def test_yaml_1_1_traps_are_none(tmp_path: Path) -> None:
    text = "midi: {name: on, input: no}\nclock: {tempo: 1.2e2, offset_ms: -1e-3}\nvoices: {7: {}, off: }"
    settings = load(written(tmp_path, text))
    assert (settings.midi.name, settings.midi.input) == ("on", "no")
    assert (settings.clock.tempo, settings.clock.offset_ms) == (120.0, -0.001)
    assert list(settings.voices) == ["7", "off"]


def test_an_empty_section_is_a_missing_one(tmp_path: Path) -> None:
    written(tmp_path, "osc:\n  # port: 9200\nvoices:\n")
    assert load(folder=tmp_path) == load(folder=tmp_path / "none", sets=[f"session.folder={tmp_path / 'sessions'}"])


def test_every_fault_is_told_at_once_with_place_value_and_what_is_allowed(tmp_path: Path) -> None:
    text = "osc:\n  prot: 9100\n  port: 70000\nclock: {source: quartz}\nosc: {host: x}\nvoices:\n  bridge: {}\n"
    told = faults(tmp_path, "clock.tempo=1000", text=text)
    file = tmp_path / "given.yaml"
    assert f"{file}:5: osc: the key is here twice, first in line 1" in told
    assert f'{file}:4: clock.source = "quartz": expected one of auto, internal, live, midi, link' in told
    assert "--set: clock.tempo = 1000: expected a number from 20 to 999" in told
    assert any(line.startswith(f"{file}:7: voices.bridge: a voice's name") for line in told)
    told = faults(tmp_path, text=text.replace("osc: {host: x}\n", ""))
    assert f"{file}:2: osc.prot = 9100: no such key (did you mean port?); expected one of host, port" in told
    assert f"{file}:3: osc.port = 70000: expected a whole number from 0 to 65535" in told


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("osc.port=9100.0", "osc.port = 9100.0: expected a whole number from 0 to 65535"),
        ("osc.port=true", "osc.port = true: expected a whole number"),
        ("osc.port=", "osc.port = null: expected a whole number"),
        ('session.folder=""', 'session.folder = "": expected the path of a folder'),
        ('engine.own_models=""', 'engine.own_models = "": expected null, or the path of a folder'),
        ("osc.host=a b", 'osc.host = "a b": expected an IP address or a host name'),
        ("osc=9100", "osc = 9100: expected keys and values"),
        ("midi.backend=winmn", 'midi.backend = "winmn": expected one of auto, coremidi, winmm, alsa, jack, none'),
        ("midi.name=808", "midi.name = 808: expected text"),
        ("midi.name=a:b", "midi.name"),
        ("midi.clock_out=maybe", 'midi.clock_out = "maybe": expected true or false'),
        ("audio.device=-1", "audio.device = -1: expected null, a device's number, or part of its name"),
        ("engine.device=gpu", 'engine.device = "gpu": expected auto, cpu, cuda'),
        ("clock.tempo=19.99", "clock.tempo = 19.99: expected a number from 20 to 999"),
        ("clock.offset_ms=.nan", "clock.offset_ms = NaN: expected a number"),
        ("clock.tempo=.inf", "clock.tempo = Infinity: expected a number"),
        ("voices.melody.swing=49", "voices.melody.swing = 49: expected a number from 50 to 75"),
        ("voices.melody.grid=1/64", 'voices.melody.grid = "1/64": expected one of 1/4, 1/8, 1/8T, 1/16, 1/16T, 1/32'),
        ("voices.melody.channel=0", "voices.melody.channel = 0: expected a whole number from 1 to 16"),
        ("voices.melody.model=melody", 'voices.melody.model = "melody": expected one of melody-2bar'),
        ("voices.melody.model=[]", "voices.melody.model = []: expected one of melody-2bar"),
        ("voices.melody.parts={melody: 1}", "voices.melody.parts: melody-2bar has one part: expected `channel: N`"),
        ("voices.a b.channel=1", "voices.a b: a voice's name has 1 to 32 letters"),
        ("voices.error.channel=1", "voices.error: a voice's name"),
        ("voices={}", "voices: expected 1 to 16 voices, found 0"),
        ("voices=[melody]", 'voices = ["melody"]: expected keys and values'),
        ("voices.melody=3", "voices.melody = 3: expected keys and values"),
        ("voices.t={model: trio-16bar, channel: 3}", "voices.t.channel = 3: trio-16bar takes `parts:"),
        ("voices.t={model: trio-16bar, parts: {lead: 3}}", "voices.t.parts.lead: no such part"),
        ("voices.t={model: trio-16bar, parts: {bass: 17}}", "voices.t.parts.bass = 17: expected channels 1-16 by part"),
        ("sound.level=3", "sound"),
        ("osc.port", "--set osc.port: expected key=value"),
        ("osc..port=1", "expected key=value"),
        ("osc.port={a", "--set osc.port={a: not YAML"),
        ("osc.port.deep=1", 'osc.port = {"deep": 1}: expected a whole number'),
    ],
)
def test_one_wrong_setting_is_one_line(tmp_path: Path, assignment: str, expected: str) -> None:
    told = faults(tmp_path, assignment)
    assert len(told) == 1, told
    assert expected in told[0]
    assert "\n" not in told[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- osc", "expected keys and values"),
        ("osc", "expected keys and values"),
        ("a: b: c", "given.yaml:1: not YAML: mapping values are not allowed here"),
        ("osc: &x {port: 1}\npanel: *x", "given.yaml:2: not YAML: aliases"),
        ("osc: {port: !!python/object:os.system 1}", "the tag"),
        ("voices: " + "[" * 3000, "nested too deeply"),
        ("voices: " + "[" * 40 + "]" * 40, "nested too deeply"),
        ("? [a, b]\n: 1", "a key must be a plain word"),
    ],
)
def test_a_file_that_says_nothing_useful(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in line for line in faults(tmp_path, text=text))


def test_a_file_that_is_not_there_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"midi: {name: \xff}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(folder=tmp_path)
    with pytest.raises(ValidationError):
        settings.osc.port = 1  # type: ignore[misc]


_keys = st.sampled_from(["osc", "port", "voices", "melody", "model", "parts", "channel", "midi", "", "é", "on", "1"])
_words = st.text(max_size=8) | st.sampled_from(["trio-16bar", "now"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_keys, _values, max_size=5))
def test_whatever_a_file_says_is_taken_or_refused_in_words(tmp_path_factory: Any, tree: dict[str, Any]) -> None:
    import yaml

    folder = tmp_path_factory.getbasetemp()
    given_file = written(folder, yaml.safe_dump(tree, allow_unicode=True), "any.yaml")
    try:
        settings = load(given_file, folder=folder / "nowhere")
    except ConfigError as refused:
        told = refused.faults
    else:
        told = ()
        assert settings.voices
    assert all("any.yaml" in line or "built-in" in line for line in told)
