"""The commands on files: names, lengths, determinism, and wrong input in one line with nothing written."""

import io
import json
import shutil
import sys
from dataclasses import replace
from functools import cache

import mido
import pytest
import torch
from safetensors.torch import load_file
from small_songs import beat_of, tune, write_songs

from bridge import tables
from bridge.model import file_commands
from bridge.model.evaluation import evaluate
from bridge.model.file_options import FileOptions, RequestError, parse_attributes, parse_key
from bridge.model.file_sources import source_of
from bridge.model.nets import registry
from bridge.model.nets.config import CONFIGS
from bridge.model.nets.registry import ModelFileError
from bridge.model.playing.generation import sample_bars
from bridge.model.training.training_run import Length
from bridge.music.midi_files import MidiFileError, midi_bytes, read_midi
from bridge.music.notes import Bars, Note, cut, in_order, join

C_MAJOR = parse_key("C")
MELODY = CONFIGS["melody-2bar"]


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """The shipped models, each compiled once for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.model.nets.registry.load_compiled", cache(registry.load_compiled))
        yield


@pytest.fixture
def melody_file(tmp_path):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(tune(3, 4), channels={0: 0}, track_name="melody", tempo=97.0))
    return path


@pytest.mark.parametrize(("model", "channel"), [("melody-2bar", 0), ("drums-2bar", 9)])
def test_samples_are_numbered_and_the_seed_s(model, channel, tmp_path):
    paths = file_commands.sample_files(model, 3, tmp_path / "a", FileOptions(5, 0.7))
    assert [p.name for p in paths] == [f"{model}-00{n}.mid" for n in (1, 2, 3)]
    again = file_commands.sample_files(model, 2, tmp_path / "b", FileOptions(5, 0.7))
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths[:2]]
    assert len({p.read_bytes() for p in paths}) == 3
    for path in paths:
        assert mido.MidiFile(path).ticks_per_beat == 480
        assert {track.channel for track in read_midi(path).tracks} == {channel}
        assert read_midi(path).length == 8.0


def test_what_continues_is_as_long_as_asked_and_keeps_the_tempo(melody_file, tmp_path):
    out = tmp_path / "out" / "next.mid"
    assert file_commands.continue_file("melody-2bar", melody_file, 3, out, FileOptions(1)) == out
    score = read_midi(out)
    assert score.length == 12.0
    assert score.tempo == pytest.approx(97.0, abs=0.01)
    assert score.tracks[0].notes != read_midi(melody_file).tracks[0].notes


def test_what_continues_follows_the_end_of_the_file_whatever_its_length(tmp_path):
    """Models read two bars at a time: the last of three was read with the first behind it, and gone on from that."""
    a, b, c = (cut(tune(3, 3), 4.0 * bar, 4.0) for bar in range(3))

    def following(*bars):
        path = tmp_path / "in.mid"
        path.write_bytes(midi_bytes(join(bars), channels={0: 0}, track_name="melody"))
        return read_midi(file_commands.continue_file("melody-2bar", path, 2, tmp_path / "x.mid", FileOptions(1))).tracks

    assert following(a, b, c) == following(c, a, b, c)
    assert following(a, b, c) != following(a, b, c, a)
    assert following(a) == following(a, a)
    assert following(c, *[a, b] * 4) == following(*[a, b] * 4)


def test_drums_go_on_from_what_belongs_to_the_last_bars_however_early_it_is_struck(tmp_path):
    """Eight bars of ten are heard: what leads into them is theirs, what leads on from the last is not."""
    rest = [note for note in beat_of(3, 10).notes if note.pitch != 49 and not 7.8 < note.start < 8.2]

    def following(*more):
        path = tmp_path / "in.mid"
        path.write_bytes(midi_bytes(Bars(in_order([*rest, *more]), 40.0), channels={0: 9}, track_name="drums"))
        return read_midi(file_commands.continue_file("drums-2bar", path, 2, tmp_path / "x.mid", FileOptions(1))).tracks

    tick = 1 / 480
    assert following(Note(49, 8.0 - tick, tick, 120)) == following(Note(49, 8.0, 0.1, 120)) != following()
    assert following(Note(49, 40.0 - 10 * tick, tick, 120)) == following()


def test_interpolation_writes_every_step(melody_file, tmp_path):
    other = tmp_path / "b.mid"
    other.write_bytes(midi_bytes(tune(8, 4), channels={0: 0}, track_name="melody"))
    paths = file_commands.interpolate_files("melody-2bar", melody_file, other, 4, tmp_path / "out", FileOptions())
    assert [p.name for p in paths] == [f"melody-2bar-00{n}.mid" for n in (1, 2, 3, 4)]
    assert {read_midi(p).length for p in paths} == {16.0}


def held(end, length, notes=12):
    """A melody of quarter notes, the last of them held to `end`, in a file of `length` beats."""
    line = [Note(60 + beat % 7, float(beat), 1.0, 90) for beat in range(notes - 1)]
    return Bars((*line, Note(67, notes - 1.0, end - notes + 1.0, 90)), length)


@pytest.mark.parametrize(
    ("source", "bars"),
    [
        (held(12.0, 12.0), 3),
        (held(24.0, 24.0), 6),  # the last note is held through three bars
        (held(12.1, 12.1), 3),  # a little late
        (held(12.3, 12.3), 4),
        (held(12.0, 16.0), 4),  # the last bar rests
        (held(12.0, 16.1), 4),
        (held(12.0, 14.0), 4),
        (held(12.0, 4000.0), 4),  # a sequencer's track goes on long after the music
        (held(16.0, 64.0, 16), 4),
        (held(17.0, 64.0, 17), 8),
        (held(12.0, 18.0), 4),
        (held(0.05, 0.05, 1), 1),
        (held(16.02, 16.02, 17), 5),  # short, but in a bar of its own
    ],
)
def test_a_file_is_as_long_as_its_music_and_the_rests_that_close_its_phrase(tmp_path, source, bars):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(source, channels={0: 0}, track_name="melody"))
    found = source_of(path, MELODY).bars
    assert found.length == 4.0 * bars
    assert len(found.notes) == len(source.notes)
    out = file_commands.reconstruct_file("melody-2bar", path, tmp_path / "out.mid", FileOptions(1, 0.5))
    assert read_midi(out).length == 4.0 * bars


def test_what_continues_has_the_tempo_at_the_end_and_what_comes_back_has_all(tmp_path):
    path = tmp_path / "in.mid"
    changes = [(8.0, 180.0), (12.0, 90.0), (40.0, 60.0)]
    data = midi_bytes(tune(3, 4), channels={0: 0}, track_name="melody", tempo=100.0, tempo_changes=changes)
    path.write_bytes(data)
    after = read_midi(file_commands.continue_file("melody-2bar", path, 2, tmp_path / "next.mid", FileOptions(1)))
    assert (after.tempo, after.tempo_changes) == (pytest.approx(90.0, abs=0.01), ())
    again = read_midi(file_commands.reconstruct_file("melody-2bar", path, tmp_path / "again.mid", FileOptions(1)))
    assert again.length == 16.0
    assert again.tempo == pytest.approx(100.0, abs=0.01)
    assert [beat for beat, _ in again.tempo_changes] == [8.0, 12.0]
    assert [bpm for _, bpm in again.tempo_changes] == pytest.approx([180.0, 90.0], abs=0.01)
    way = file_commands.interpolate_files("melody-2bar", path, path, 2, tmp_path / "way", FileOptions(1))
    assert {(round(score.tempo), score.tempo_changes) for score in map(read_midi, way)} == {(100, ())}


@pytest.mark.parametrize(
    ("first_note", "tempo_at", "begins", "ends"),
    [(0.0, 8.0, 120.0, 90.0), (0.0, 0.0, 90.0, 90.0), (1.0, 0.5, 90.0, 90.0), (1.0, 1.0, 90.0, 90.0)],
)
def test_a_file_whose_first_tempo_comes_while_it_plays_begins_at_120(tmp_path, first_note, tempo_at, begins, ends):
    path = tmp_path / "in.mid"
    notes = tuple(replace(note, start=note.start + first_note) for note in tune(3, 4).notes[:-2])
    midi = mido.MidiFile(file=io.BytesIO(midi_bytes(Bars(notes, 16.0), channels={0: 0}, track_name="melody")))
    place = next(i for i, message in enumerate(midi.tracks[0]) if message.type == "set_tempo")
    midi.tracks[0][place] = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(90), time=round(480 * tempo_at))
    midi.save(path)
    again = read_midi(file_commands.reconstruct_file("melody-2bar", path, tmp_path / "again.mid", FileOptions(1)))
    assert round(again.tempo) == begins
    assert [(beat, round(bpm)) for beat, bpm in again.tempo_changes] == ([(tempo_at, ends)] if begins != ends else [])
    after = read_midi(file_commands.continue_file("melody-2bar", path, 2, tmp_path / "next.mid", FileOptions(1)))
    assert round(after.tempo) == ends


def in_programs(data, programs):
    """A file with a change of program at the beginning of each track that plays one of these channels."""
    midi = mido.MidiFile(file=io.BytesIO(data))
    for track in midi.tracks:
        channel = next((message.channel for message in track if message.type == "note_on"), None)
        if channel in programs:
            track.insert(0, mido.Message("program_change", channel=channel, program=programs[channel], time=0))
    out = io.BytesIO()
    midi.save(file=out)
    return out.getvalue()


def programs_of(path):
    """(channel, program) of every change of program in a file, and whether all come before the first note."""
    found, early = [], True
    for track in mido.MidiFile(path).tracks:
        kinds = [message.type for message in track if message.type in ("program_change", "note_on")]
        early = early and "program_change" not in kinds[1:]
        found += [(message.channel, message.program) for message in track if message.type == "program_change"]
    return found, early


@pytest.mark.parametrize("program", [0, 73, None])
def test_what_is_made_of_a_file_has_its_program(tmp_path, program):
    path = tmp_path / "in.mid"
    data = midi_bytes(tune(3, 4), channels={0: 5}, track_name="melody")
    path.write_bytes(data if program is None else in_programs(data, {5: program}))
    made = [
        file_commands.continue_file("melody-2bar", path, 2, tmp_path / "next.mid", FileOptions(1)),
        file_commands.reconstruct_file("melody-2bar", path, tmp_path / "again.mid", FileOptions(1)),
        *file_commands.interpolate_files("melody-2bar", path, path, 2, tmp_path / "way", FileOptions(1)),
    ]
    for each in made:
        assert programs_of(each) == ([] if program is None else [(0, program)], True)


def test_a_trio_s_parts_keep_their_programs_and_drums_stay_drums(tmp_path):
    path = tmp_path / "in.mid"
    data = midi_bytes(trio_of(40), channels={0: 3, 1: 6, 2: 9}, track_name="x")
    path.write_bytes(in_programs(data, {3: 56, 6: 38, 9: 16}))
    again = file_commands.reconstruct_file("trio-16bar", path, tmp_path / "again.mid", FileOptions(1, 0.5))
    assert programs_of(again) == ([(0, 56), (1, 38), (9, 16)], True)
    assert {track.channel for track in read_midi(again).tracks} == {0, 1, 9}
    lines = file_commands.continue_file("bass-2bar", path, 2, tmp_path / "bass.mid", FileOptions(1))
    assert programs_of(lines) == ([(1, 38)], True)


def test_a_name_may_be_as_long_as_the_disk_takes(melody_file, tmp_path):
    out = tmp_path / ("n" * 251 + ".mid")
    assert file_commands.continue_file("melody-2bar", melody_file, 2, out, FileOptions(1)) == out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([melody_file.name, out.name])


def trio_of(bass_pitch, line_bars=16):
    """Sixteen bars of drums, and lines that may end before."""
    melody = [Note(72 + beat % 5, float(beat), 1.0, 90, 0) for beat in range(4 * line_bars)]
    bass = [Note(bass_pitch + 7 * (beat % 2), float(beat), 1.0, 80, 1) for beat in range(4 * line_bars)]
    drums = [Note(36 + 2 * (beat % 2), float(beat), 0.1, 100, 2) for beat in range(64)]
    return Bars(in_order([*melody, *bass, *drums]), 64.0)


def test_a_trio_that_was_written_is_read_with_all_its_parts(tmp_path):
    """A bass in the octave of a melody is one by its name."""
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(trio_of(52), channels={0: 0, 1: 1, 2: 9}, track_name="x"))
    for _ in range(2):
        path = file_commands.reconstruct_file("trio-16bar", path, tmp_path / "again.mid", FileOptions(1, 0.5))
        played = {track.channel: [note.pitch for note in track.notes] for track in read_midi(path).tracks}
        assert set(played) == {0, 1, 9}
        assert min(played[1]) >= 50


@pytest.mark.parametrize("seed", range(3))
def test_a_trio_s_lines_that_ended_are_not_held_to_the_end(tmp_path, seed):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(trio_of(40, line_bars=2), channels={0: 0, 1: 1, 2: 9}, track_name="x"))
    out = file_commands.reconstruct_file("trio-16bar", path, tmp_path / "out.mid", FileOptions(seed, 1.0))
    assert max(note.duration for track in read_midi(out).tracks for note in track.notes) <= 12.0


@pytest.mark.skipif(sys.platform == "win32", reason="its files cannot be kept from growing")
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("command", ["sample", "interpolate"])
def test_of_several_files_of_which_one_does_not_fit_none_is_written(melody_file, tmp_path, command, there):
    """Not those before it either, and what was there before is there still."""
    import resource

    full, other = tmp_path / "full", tmp_path / "other.mid"
    other.write_bytes(midi_bytes(Bars((Note(60, 0.0, 16.0, 80),), 16.0), channels={0: 0}, track_name="melody"))

    def written(folder):
        if command == "sample":
            return file_commands.sample_files("melody-2bar", 4, folder, FileOptions(1))
        return file_commands.interpolate_files("melody-2bar", other, melody_file, 4, folder, FileOptions(3))

    sizes = [path.stat().st_size for path in written(tmp_path / "room")]
    assert max(sizes) > sizes[0], "the first one fits"
    if there:
        full.mkdir()
        (full / "melody-2bar-001.mid").write_bytes(b"mine")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) - 1, before[1]))
    try:
        with pytest.raises(MidiFileError, match=rf"melody-2bar-00{sizes.index(max(sizes)) + 1}\.mid: expected a place"):
            written(full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.exists() == there
    assert not there or [(path.name, path.read_bytes()) for path in full.iterdir()] == [
        ("melody-2bar-001.mid", b"mine")
    ]


def test_a_reconstruction_is_as_long_as_what_went_in(tmp_path):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(beat_of(3, 3), channels={0: 9}, track_name="drums"))
    out = file_commands.reconstruct_file("drums-2bar", path, tmp_path / "out.mid", FileOptions(1, 0.5))
    assert read_midi(out).length == 12.0


@pytest.mark.parametrize(
    ("start", "end", "bars"), [(15.97, 16.07, 5), (15.97, 16.0, 4), (16.03, 16.1, 5), (15.8, 16.1, 4)]
)
def test_a_last_stroke_on_the_bar_line_is_there_though_it_come_early(tmp_path, start, end, bars):
    """It was read at the beginning; where it was cut off at the bar line the file is a loop, and it belongs there."""
    path = tmp_path / "in.mid"
    kicks = [Note(36 + 2 * (beat % 2), float(beat), 0.1, 90) for beat in range(16)]
    whole = Bars(in_order([*kicks, Note(49, start, end - start, 110)]), end)
    path.write_bytes(midi_bytes(whole, channels={0: 9}, track_name="drums"))
    assert source_of(path, CONFIGS["drums-2bar"]).bars.length == 4.0 * bars
    out = file_commands.reconstruct_file("drums-2bar", path, tmp_path / "out.mid", FileOptions(1, 0.1))
    crashes = [note.start for note in read_midi(out).tracks[0].notes if note.pitch == 49]
    assert [crash < 1.0 for crash in crashes] == [(start, end) == (15.97, 16.0)]


RESTING = {
    "melody-2bar": Bars(tuple(n for n in tune(3, 16).notes if not 8.0 <= n.start < 40.0), 64.0),
    "bass-2bar": Bars(tuple(replace(n, pitch=n.pitch - 24) for n in tune(3, 16).notes if not 8 <= n.start < 40), 64.0),
}


@pytest.mark.parametrize("model", RESTING)
def test_where_a_file_rests_for_windows_on_end_what_is_made_of_it_does(model, tmp_path):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(RESTING[model], channels={0: 0}, track_name=model[:-5]))
    made = [
        file_commands.reconstruct_file(model, path, tmp_path / f"{seed}.mid", FileOptions(seed, 1.0))
        for seed in range(6)
    ]
    made += file_commands.interpolate_files(model, path, path, 5, tmp_path / "way", FileOptions(1, 2.0))
    for each in made:
        starts = [note.start for track in read_midi(each).tracks for note in track.notes]
        assert not [start for start in starts if 8.0 <= start < 40.0], each
        assert min(starts) < 8.0
        assert max(starts) >= 40.0


def test_evaluation_says_what_the_contract_asks(tmp_path):
    plain = write_songs(tmp_path / "plain", count=3)
    scores = file_commands.evaluate_path("melody-2bar", plain, 4)
    assert scores["model"] == "melody-2bar"
    assert scores["seed"] == 4
    assert scores["songs"] == 3
    assert scores["windows"] > 15
    assert {"teacher_forced", "sampled", "chance", "shuffled_z"} <= scores["step_accuracy"].keys()
    assert all(0.0 <= value <= 1.0 for value in scores["step_accuracy"].values())
    assert 0.0 <= scores["note_f1"] <= 1.0
    assert scores["kl_bits"] > 0
    assert scores["active_dims"] > 0
    assert "channel 10" in scores["roles"]
    assert file_commands.evaluate_path("melody-2bar", plain, 4) == scores
    assert json.loads(json.dumps(scores)) == scores
    listed = file_commands.evaluate_path("melody-2bar", write_songs(tmp_path / "m", count=2, manifest=True), 4)
    assert listed["roles"] == "manifest.json"


def test_where_there_is_no_other_window_there_is_no_shuffled_z(tmp_path):
    (tmp_path / "one.mid").write_bytes(midi_bytes(tune(3, 2), channels={0: 0}, track_name="melody"))
    scores = file_commands.evaluate_path("melody-2bar", tmp_path, 4)
    assert scores["windows"] == 1
    assert scores["note_f1_shuffled_z"] is None
    assert scores["step_accuracy"]["shuffled_z"] is None
    assert scores["step_accuracy"]["sampled"] > 0.5
    assert "shuffled z: -" in tables.of_evaluation(scores)
    assert "None" not in evaluate.table([scores])


def test_of_a_trio_s_only_window_there_is_no_shuffled_z(tmp_path):
    bars = Bars(
        in_order(
            replace(note, part=part, pitch=note.pitch - 30 * (part == 1))
            for part, loop in enumerate((tune(3, 16), tune(4, 16), beat_of(5, 16)))
            for note in loop.notes
        ),
        64.0,
    )
    (tmp_path / "trio.mid").write_bytes(midi_bytes(bars, channels={0: 0, 1: 1, 2: 9}, track_name="trio"))
    scores = file_commands.evaluate_path("trio-16bar", tmp_path, 4)
    assert scores["windows"] == 1
    for found in (scores, *scores["parts"].values()):
        assert found["note_f1_shuffled_z"] is None
        assert found["step_accuracy"]["shuffled_z"] is None
        assert found["note_f1"] > 0.0


@pytest.mark.parametrize("fine", [True, False])
def test_a_model_of_one_s_own_goes_first(melody_file, tmp_path, monkeypatch, fine):
    """The folder of the user's own stands for that of the engine; a model that is not in it comes from the others."""
    own = tmp_path / "own"
    own.mkdir()
    if fine:
        shutil.copytree(registry.models_folder() / "melody-2bar", own / "melody-2bar")
    asked = []
    whole = registry.read_card
    monkeypatch.setattr(registry, "read_card", lambda name, folder: asked.append(folder) or whole(name, folder))
    monkeypatch.setattr(registry, "load_compiled", registry.load_compiled.__wrapped__)
    options = FileOptions(1, own_models=str(own))
    file_commands.sample_files("melody-2bar", 1, tmp_path / "out", options)
    file_commands.continue_file("melody-2bar", melody_file, 2, tmp_path / "next.mid", options)
    file_commands.reconstruct_file("melody-2bar", melody_file, tmp_path / "again.mid", options)
    file_commands.interpolate_files("melody-2bar", melody_file, melody_file, 2, tmp_path / "way", options)
    file_commands.evaluate_path("melody-2bar", write_songs(tmp_path / "songs", count=1), 1, str(own))
    assert asked == [own if fine else registry.models_folder()] * 5


def test_the_wrong_file_is_named_and_nothing_is_written(melody_file, tmp_path):
    wrong = [tmp_path / "text.mid", tmp_path / "missing.mid"]
    wrong[0].write_text("hello")
    out = tmp_path / "out"
    for bad in wrong:
        for pair in ((bad, melody_file), (melody_file, bad)):
            with pytest.raises(MidiFileError, match=bad.name):
                file_commands.interpolate_files("melody-2bar", *pair, 3, out, FileOptions())
        with pytest.raises(MidiFileError, match=bad.name):
            file_commands.reconstruct_file("melody-2bar", bad, out / "x.mid", FileOptions())
        with pytest.raises(MidiFileError, match=bad.name):
            file_commands.continue_file("melody-2bar", bad, 2, out / "x.mid", FileOptions())
    assert not out.exists()


def test_a_file_without_the_part_is_refused(melody_file, tmp_path):
    with pytest.raises(MidiFileError, match="expected notes for drums"):
        file_commands.reconstruct_file("drums-2bar", melody_file, tmp_path / "x.mid", FileOptions())


def test_endless_files_are_refused(tmp_path):
    path = tmp_path / "long.mid"
    bars = Bars((Note(60, 0, 1, 64), Note(62, 9000, 1, 64)), 9001.0)
    path.write_bytes(midi_bytes(bars, channels={0: 0}, track_name="x"))
    with pytest.raises(MidiFileError, match="at most 1024 bars"):
        file_commands.reconstruct_file("melody-2bar", path, tmp_path / "x.mid", FileOptions())


def test_numbers_out_of_range_are_refused(melody_file, tmp_path):
    for call in (
        lambda: file_commands.sample_files("melody-2bar", 0, tmp_path / "o", FileOptions()),
        lambda: file_commands.sample_files("melody-2bar", 2, tmp_path / "o", FileOptions(1, 5.0)),
        lambda: file_commands.sample_files("melody-2bar", 2, tmp_path / "o", FileOptions(attributes={"density": 2.0})),
        lambda: file_commands.sample_files("melody-2bar", 2, tmp_path / "o", FileOptions(attributes={"fill": 0.5})),
        lambda: file_commands.sample_files("drums-2bar", 2, tmp_path / "o", FileOptions(key=C_MAJOR)),
        lambda: file_commands.continue_file("melody-2bar", melody_file, 0, tmp_path / "o" / "x.mid", FileOptions()),
        lambda: file_commands.interpolate_files(
            "melody-2bar", melody_file, melody_file, 1, tmp_path / "o", FileOptions()
        ),
    ):
        with pytest.raises(RequestError, match=r"--\w+( .*)?: expected"):
            call()
    assert not (tmp_path / "o").exists()


def test_a_trained_model_never_replaces_the_shipped_one(tmp_path, monkeypatch):
    calls = {}
    monkeypatch.setattr(file_commands, "models_folder", lambda: tmp_path / "models")
    monkeypatch.setattr(file_commands, "train", lambda *a, **k: calls.setdefault("train", (a, k)))
    curves = [
        {"elapsed_s": 6.0 * k, "token_nats": 90.0 - k, "rate_nats": 2.0 * k, "note_f1": 0.1 * k} for k in range(5)
    ]
    monkeypatch.setattr(file_commands, "export", lambda *a, **k: calls.update(export=k) or {"curves": curves})
    target = file_commands.train_model("melody-2bar", [tmp_path], None, resume=False)
    assert target == tmp_path / "models" / "melody-2bar"
    assert (target / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert calls["train"][0][2] == Length(60.0 * file_commands.DEFAULT_MINUTES)
    (target / "curves.png").unlink()
    (target / "card.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "PIL", None)  # a machine that only trains
    target = file_commands.train_model("melody-2bar", [tmp_path], 1.0, resume=False)
    assert target == tmp_path / "models" / ".training" / "own" / "melody-2bar" / "trained" / "melody-2bar"
    assert list((tmp_path / "models").rglob("*.png")) == []


def test_models_that_are_not_there_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.model.nets.registry.models_folder", lambda: tmp_path)
    with pytest.raises(ModelFileError, match="bass-2bar"):
        file_commands.sample_files("bass-2bar", 1, tmp_path, FileOptions())
    with pytest.raises(ValueError, match="expected one of melody-2bar"):
        file_commands.sample_files("tuba", 1, tmp_path, FileOptions())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("A minor", {9, 11, 0, 2, 4, 5, 7}),
        ("c", {0, 2, 4, 5, 7, 9, 11}),
        ("Bb", {10, 0, 2, 3, 5, 7, 9}),
        ("F# Harmonic Minor", {6, 8, 9, 11, 1, 2, 5}),
        ("E pentatonic_minor", {4, 7, 9, 11, 2}),
        ("Am", {9, 11, 0, 2, 4, 5, 7}),
        ("am", {9, 11, 0, 2, 4, 5, 7}),
        ("Amin", {9, 11, 0, 2, 4, 5, 7}),
        ("a-minor", {9, 11, 0, 2, 4, 5, 7}),
        ("F#m", {6, 8, 9, 11, 1, 2, 4}),
        ("C# min", {1, 3, 4, 6, 8, 9, 11}),
        ("c♯m", {1, 3, 4, 6, 8, 9, 11}),
        ("Bm", {11, 1, 2, 4, 6, 7, 9}),
        ("bbm", {10, 0, 1, 3, 5, 6, 8}),
        ("Bbmaj", {10, 0, 2, 3, 5, 7, 9}),
        ("Eb major", {3, 5, 7, 8, 10, 0, 2}),
        ("E-flat major", {3, 5, 7, 8, 10, 0, 2}),
        ("F sharp minor", {6, 8, 9, 11, 1, 2, 4}),
        ("D dor", {2, 4, 5, 7, 9, 11, 0}),
        ("Bblues", {11, 2, 4, 5, 6, 9}),
        ("Bb blues", {10, 1, 3, 4, 5, 8}),
        ("A minor pentatonic", {9, 0, 2, 4, 7}),
        ("A aeolian", {9, 11, 0, 2, 4, 5, 7}),
    ],
)
def test_keys_go_by_their_names(name, classes):
    assert parse_key(name) == classes


@pytest.mark.parametrize("name", ["H minor", "A moll", "", "AM", "A-", "C ## major", "A7", "A pentatonic", "mA"])
def test_keys_that_are_none_are_refused(name):
    with pytest.raises(RequestError, match="expected a key such as"):
        parse_key(name)


def test_attributes_are_names_with_amounts():
    assert parse_attributes(["density=0.5", "register=-1", "density=0.25"]) == {"density": 0.25, "register": -1.0}
    for wrong in ("density", "density=", "density=much", "density=1.5", "density=nan"):
        with pytest.raises(RequestError, match="NAME=AMOUNT"):
            parse_attributes([wrong])


def pitches_of(paths):
    return [note.pitch for path in paths for track in read_midi(path).tracks for note in track.notes]


def test_a_key_binds_every_note_of_every_command(melody_file, tmp_path):
    other = tmp_path / "b.mid"
    other.write_bytes(midi_bytes(tune(8, 4), channels={0: 0}, track_name="melody"))
    key = parse_key("F# pentatonic minor")
    options = FileOptions(3, 0.8, key)
    made = {
        "sample": file_commands.sample_files("melody-2bar", 3, tmp_path / "s", options),
        "way": file_commands.interpolate_files("melody-2bar", melody_file, other, 3, tmp_path / "i", options),
        "next": [file_commands.continue_file("melody-2bar", melody_file, 4, tmp_path / "c.mid", options)],
        "again": [file_commands.reconstruct_file("melody-2bar", melody_file, tmp_path / "r.mid", options)],
    }
    for command, paths in made.items():
        pitches = pitches_of(paths)
        assert len(pitches) > 8, command
        assert {pitch % 12 for pitch in pitches} <= key, command


def test_more_density_is_more_notes(tmp_path):
    def notes(amount):
        options = FileOptions(2, 0.6, None, {"density": amount})
        return len(pitches_of(file_commands.sample_files("melody-2bar", 8, tmp_path / f"{amount}", options)))

    assert notes(1.0) > 1.3 * notes(-1.0)


def test_a_file_in_another_metre_is_refused_with_its_place(tmp_path):
    path = tmp_path / "waltz.mid"
    midi = mido.MidiFile(file=io.BytesIO(midi_bytes(tune(3, 4), channels={0: 0}, track_name="melody")))
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage("time_signature", numerator=3, denominator=4, time=3840)]))
    midi.save(path)
    with pytest.raises(MidiFileError, match=r"waltz.mid: expected 4/4 or 2/2 throughout, found 3/4 at beat 8"):
        file_commands.continue_file("melody-2bar", path, 2, tmp_path / "x.mid", FileOptions())


def with_signatures(path, *signatures):
    """A tune with signatures (tick, numerator, denominator), 480 ticks a beat, and none besides."""
    midi = mido.MidiFile(file=io.BytesIO(midi_bytes(tune(3, 4), channels={0: 0}, track_name="melody")))
    midi.tracks[0] = mido.MidiTrack(message for message in midi.tracks[0] if message.type != "time_signature")
    for tick, numerator, denominator in signatures:
        signature = mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator, time=tick)
        midi.tracks.append(mido.MidiTrack([signature]))
    midi.save(path)
    return path


@pytest.mark.parametrize(
    ("signatures", "found"),
    [
        ([(0, 4, 4), (960, 4, 4)], "a bar of 2 beats before the 4/4 at beat 2"),
        ([(0, 2, 2), (3840, 2, 2), (5280, 4, 4)], "a bar of 3 beats before the 4/4 at beat 11"),
        ([(480, 4, 4)], "a bar of 1 beats before the 4/4 at beat 1"),
    ],
)
def test_a_bar_that_a_signature_cuts_short_is_refused(tmp_path, signatures, found):
    """All that follows would come out shifted against its bar lines."""
    path = with_signatures(tmp_path / "short.mid", *signatures)
    with pytest.raises(MidiFileError, match=f"short.mid: expected 4/4 or 2/2 throughout, found {found}"):
        file_commands.reconstruct_file("melody-2bar", path, tmp_path / "x.mid", FileOptions())
    assert not (tmp_path / "x.mid").exists()


@pytest.mark.parametrize(
    ("signatures", "begins", "ends"),
    [
        ([], (4, 4), (4, 4)),
        ([(0, 2, 2)], (2, 2), (2, 2)),
        ([(1, 2, 2), (3842, 4, 4)], (2, 2), (4, 4)),
        ([(0, 4, 4), (1919, 4, 4), (3838, 2, 2)], (4, 4), (2, 2)),
    ],
)
def test_a_signature_on_a_bar_line_or_a_few_ticks_beside_it_moves_nothing(tmp_path, signatures, begins, ends):
    plain = with_signatures(tmp_path / "plain.mid", (0, 4, 4))
    path = with_signatures(tmp_path / "in.mid", *signatures)
    again = [
        read_midi(
            file_commands.reconstruct_file("melody-2bar", each, tmp_path / f"{each.stem}-again.mid", FileOptions(1))
        )
        for each in (plain, path)
    ]
    assert again[0].tracks == again[1].tracks
    after = read_midi(file_commands.continue_file("melody-2bar", path, 2, tmp_path / "next.mid", FileOptions(1)))
    for score, metre in ((again[1], begins), (after, ends)):
        assert [(sign.beat, sign.numerator, sign.denominator) for sign in score.time_signatures] == [(0.0, *metre)]


def test_notes_that_no_model_reads_are_refused(tmp_path):
    path = tmp_path / "out.mid"
    for model, pitch, channel, words in (
        ("melody-2bar", 5, 0, "MIDI pitches 21 to 108"),
        ("drums-2bar", 75, 9, "General MIDI drum sounds"),
    ):
        notes = tuple(Note(pitch, float(beat), 1.0, 90) for beat in range(8))
        path.write_bytes(midi_bytes(Bars(notes, 8.0), channels={0: channel}, track_name="melody"))
        with pytest.raises(MidiFileError, match=words):
            file_commands.reconstruct_file(model, path, tmp_path / "x.mid", FileOptions())
    assert not (tmp_path / "x.mid").exists()


def test_comparisons_on_one_s_own_songs_leave_the_scores_that_came_with_barline(tmp_path, monkeypatch):
    models = tmp_path / "models"
    for name in ("melody-2bar", "melody-16bar"):
        (models / name).mkdir(parents=True)
        shutil.copy(registry.models_folder() / name / "card.json", models / name)
    monkeypatch.setattr(file_commands, "models_folder", lambda: models)
    monkeypatch.setattr(registry, "models_folder", lambda: models)
    cards = {path: path.read_bytes() for path in models.rglob("card.json")}
    told = {"updates": 3}
    monkeypatch.setattr(file_commands.flat_baseline, "compare_with_flat", lambda *_, **__: told)
    own = [write_songs(tmp_path / "own songs", count=2)]
    path = file_commands.train_beside_flat("melody-16bar", own, 0.1, None, 0)
    assert path == models / ".training" / "own" / "melody-16bar-compared" / "flat_baseline.json"
    assert json.loads(path.read_text()) == told
    assert cards == {path: path.read_bytes() for path in models.rglob("card.json")}
    card = json.loads(cards[models / "melody-16bar" / "card.json"])
    for line in card["data"]:  # the songs that the model is of
        source = line.partition(":")[0]
        folder = write_songs(tmp_path / source, count=1, manifest=True)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, "source": source}))
        own.append(folder)
    path = file_commands.train_beside_flat("melody-16bar", own, 0.1, None, 0)
    assert path == models / "melody-16bar" / "card.json"
    assert json.loads(path.read_text())["scores"]["flat_baseline"] == told


def test_a_prior_of_one_s_own_changes_what_is_drawn_and_nothing_else(tmp_path, monkeypatch):
    """The songs have nothing shorter than eighths: new bars come to have little else, from the same decoder."""
    shipped = registry.models_folder() / "melody-2bar"
    shutil.copytree(shipped, tmp_path / "models" / "melody-2bar")
    monkeypatch.setattr(file_commands, "models_folder", lambda: tmp_path / "models")
    made = file_commands.train_prior("melody-2bar", [write_songs(tmp_path / "songs", count=20)], 0)
    assert made == tmp_path / "models" / ".training" / "own" / "melody-2bar-prior" / "trained" / "melody-2bar"
    before, after = (load_file(folder / "weights.safetensors") for folder in (shipped, made))
    same = {name for name in before.keys() & after.keys() if torch.equal(before[name], after[name])}
    changed = (before.keys() | after.keys()) - same
    assert changed
    assert all(name.startswith(("prior.", "maps.")) for name in changed)
    assert (tmp_path / "models" / "melody-2bar" / "weights.safetensors").read_bytes() == (
        shipped / "weights.safetensors"
    ).read_bytes()
    card = json.loads((made / "card.json").read_text())
    assert set(card["data"]) > set(json.loads((shipped / "card.json").read_text())["data"])

    def between_eighths(folder):
        model = registry.load_compiled("melody-2bar", "cpu", folder)
        starts = [note.start for seed in range(40) for note in sample_bars(model, 2, seed, 0.6).notes]
        return sum(start % 0.5 > 0.0 for start in starts) / len(starts)

    assert between_eighths(made.parent) < 0.6 * between_eighths(shipped.parent)
