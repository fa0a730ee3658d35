"""MIDI files: what is written comes back, what is broken is refused in one line, and nothing half-written is left."""

import io

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.midi_files import MAX_FILE_BYTES, MidiFileError, midi_bytes, parse_midi, read_midi, write_midi
from bridge.music.notes import Bars, Note, in_order


def loop(found):
    """Notes that do not overlap on one pitch: a MIDI file cannot tell such notes apart."""
    kept = []
    for note in sorted(found, key=lambda n: (n.start, n.pitch)):
        if not any(o.pitch == note.pitch and o.start < note.end and note.start < o.end for o in kept):
            kept.append(note)
    return Bars(in_order(kept), 8.0)


loops = st.lists(
    st.builds(
        Note,
        pitch=st.integers(0, 127),
        start=st.integers(0, 3839).map(lambda tick: tick / 480),
        duration=st.integers(1, 960).map(lambda tick: tick / 480),
        velocity=st.integers(1, 127),
    ),
    min_size=1,
    max_size=20,
).map(loop)


@given(loops, st.sampled_from([0, 1, 9, 15]), st.floats(20, 300))
def test_what_is_written_comes_back(bars, channel, tempo):
    score = parse_midi(midi_bytes(bars, channels={0: channel}, track_name="x", tempo=tempo), "x.mid")
    (track,) = score.tracks
    assert track.channel == channel
    assert score.tempo == pytest.approx(tempo, rel=1e-4)
    assert [(s.numerator, s.denominator) for s in score.time_signatures] == [(4, 4)]
    assert len(track.notes) == len(bars.notes)
    for ours, theirs in zip(track.notes, bars.notes, strict=True):
        assert (ours.pitch, ours.velocity) == (theirs.pitch, theirs.velocity)
        assert ours.start == pytest.approx(theirs.start, abs=1e-9)
        assert ours.duration == pytest.approx(theirs.duration, abs=1e-9)


def test_written_files_have_480_ppq_and_the_loop_length():
    data = midi_bytes(Bars((Note(60, 0, 1, 64),), 8.0), channels={0: 0}, track_name="x")
    midi = mido.MidiFile(file=io.BytesIO(data))
    assert midi.ticks_per_beat == 480
    assert max(sum(message.time for message in track) for track in midi.tracks) == 8 * 480


def test_of_notes_that_overlap_on_one_pitch_each_ends_before_the_next():
    notes = (Note(38, 0.0, 1.0, 100), Note(38, 0.5, 0.25, 90), Note(38, 0.5001, 1.0, 80), Note(40, 0.25, 1.0, 70))
    data = midi_bytes(Bars(in_order(notes), 4.0), channels={0: 9}, track_name="x")
    sounding, now, told = set(), 0, []
    for message in mido.MidiFile(file=io.BytesIO(data)).tracks[1]:
        now += message.time
        if message.type == "note_on":
            assert message.note not in sounding
            sounding.add(message.note)
            told.append((now, message.note, message.velocity))
        elif message.type == "note_off":
            sounding.remove(message.note)
    assert not sounding
    assert told == [(0, 38, 100), (120, 40, 70), (240, 38, 80)]
    (track,) = parse_midi(data, "x").tracks
    assert [(note.pitch, note.start, note.duration) for note in track.notes] == [
        (38, 0.0, 0.5), (40, 0.25, 1.0), (38, 0.5, 1.0),
    ]  # fmt: skip


def test_parts_have_tracks_and_channels_of_their_own():
    bars = Bars((Note(60, 0, 1, 64, 0), Note(36, 0, 1, 64, 1), Note(38, 1, 0.1, 99, 2)), 4.0)
    score = parse_midi(midi_bytes(bars, channels={0: 0, 1: 1, 2: 9}, track_name="trio"), "x")
    assert [(track.channel, track.notes[0].pitch) for track in score.tracks] == [(0, 60), (1, 36), (9, 38)]
    assert [track.name for track in score.tracks] == ["trio melody", "trio bass", "trio drums"]


def test_a_track_s_program_is_the_last_one_before_its_first_note():
    track = mido.MidiTrack()
    for program in (0, 33):  # reset to the piano first, as many files are
        track.append(mido.Message("program_change", program=program))
    track.append(mido.Message("note_on", note=60, velocity=64))
    track.append(mido.Message("program_change", program=80, time=480))
    track.append(mido.Message("note_off", note=60))
    midi = mido.MidiFile(ticks_per_beat=480, tracks=[track])
    out = io.BytesIO()
    midi.save(file=out)
    assert [track.program for track in parse_midi(out.getvalue(), "x").tracks] == [33]


def test_a_note_struck_again_ends_the_one_before():
    track = mido.MidiTrack()
    for time, kind in ((0, "note_on"), (480, "note_on"), (480, "note_off"), (0, "note_off")):
        track.append(mido.Message(kind, note=60, velocity=64, time=time))
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    out = io.BytesIO()
    midi.save(file=out)
    notes = parse_midi(out.getvalue(), "x").tracks[0].notes
    assert [(n.start, n.duration) for n in notes] == [(0.0, 1.0), (1.0, 1.0)]


def of_events(*events):
    """A file of one track with (ticks since the last, note-on or not) on one pitch."""
    track = mido.MidiTrack(
        mido.Message("note_on" if on else "note_off", note=38, velocity=64, channel=9, time=time) for time, on in events
    )
    out = io.BytesIO()
    mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(file=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # the end of the stroke before is written after the one that ends it: as the Groove MIDI Dataset has it
        (((0, True), (480, True), (0, False), (240, False)), [(0, 480), (480, 240)]),
        (
            ((0, True), (480, True), (0, False), (480, True), (0, False), (480, False)),
            [(0, 480), (480, 480), (960, 480)],
        ),
        (((0, True), (0, False), (480, True), (0, False)), [(0, 1), (480, 1)]),  # without length
        (((0, True), (480, True), (0, False), (0, False)), [(0, 480), (480, 1)]),
        (((0, True), (0, False), (0, True), (240, False)), [(0, 240)]),  # the same note twice over
        (((480, True), (0, False)), [(480, 1)]),
    ],
)
def test_no_stroke_is_lost_for_a_note_off_at_its_tick(events, expected):
    score = parse_midi(of_events(*events), "x")
    notes = [(round(note.start * 480), round(note.duration * 480)) for track in score.tracks for note in track.notes]
    assert notes == expected


GOOD = midi_bytes(Bars((Note(60, 0, 1, 64),), 4.0), channels={0: 0}, track_name="x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"MThd",
        GOOD[:20],
        GOOD[: len(GOOD) - 7],
        b"RIFF" + b"\0" * 40,
        midi_bytes(Bars((), 4.0), channels={0: 0}, track_name="x"),
        GOOD[:12] + b"\xe7\x28" + GOOD[14:],
    ],
)
def test_broken_files_are_refused_by_name(data, tmp_path):
    path = tmp_path / "broken.mid"
    path.write_bytes(data)
    with pytest.raises(MidiFileError, match=r"broken\.mid: expected") as caught:
        read_midi(path)
    assert "\n" not in str(caught.value)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_no_damaged_byte_escapes_as_another_error(place, value):
    data = bytearray(GOOD)
    data[place] = value
    try:
        parse_midi(bytes(data), "x.mid")
    except MidiFileError as error:
        assert "x.mid" in str(error)


@pytest.mark.parametrize(("division", "found"), [(b"\xe7\x28", "SMPTE frames"), (b"\0\0", "0")])
def test_time_that_is_not_in_ticks_is_told_as_it_is(division, found):
    with pytest.raises(MidiFileError, match=f"expected time in ticks per quarter note, found {found}$"):
        parse_midi(GOOD[:12] + division + GOOD[14:], "x.mid")


def test_chunks_that_are_no_tracks_are_passed_over_wherever_they_stand():
    data = midi_bytes(Bars((Note(60, 0, 1, 64),), 4.0), channels={0: 0}, track_name="x")
    other = b"XFIH" + (5).to_bytes(4, "big") + b"hello"
    second = data.index(b"MTrk", data.index(b"MTrk") + 4)
    assert parse_midi(data[:14] + other + data[14:second] + other + data[second:] + other, "x") == parse_midi(data, "x")


@pytest.mark.parametrize("named", [0, 1, 2])
def test_all_tracks_are_read_though_the_header_names_fewer(named):
    notes = (Note(60, 0, 1, 64), Note(40, 0, 1, 64, 1), Note(36, 0, 1, 64, 2))
    data = midi_bytes(Bars(notes, 4.0), channels={0: 0, 1: 1, 2: 9}, track_name="x")
    assert data[10:12] == b"\0\4"
    whole = parse_midi(data, "x")
    assert [track.channel for track in whole.tracks] == [0, 1, 9]
    miscounted = data[:10] + named.to_bytes(2, "big") + data[12:]
    assert parse_midi(miscounted, "x") == whole
    assert parse_midi(miscounted + GOOD, "x") == whole, "a second file behind it is none of its tracks"
    with pytest.raises(MidiFileError, match=r"^x: expected a whole Standard MIDI File \(it ends too early\)$"):
        parse_midi(miscounted[:-9], "x")


@pytest.mark.parametrize("named", [7, 0x7FFF, 0x8000, 0xFFFF])
def test_a_header_that_names_more_tracks_than_there_are_is_of_a_file_that_was_cut_off(named):
    with pytest.raises(MidiFileError, match=r"^x: expected a whole Standard MIDI File \(it ends too early\)$"):
        parse_midi(GOOD[:10] + named.to_bytes(2, "big") + GOOD[12:], "x")


def test_of_more_tracks_than_can_be_read_the_first_are():
    track = b"MTrk\0\0\0\4\0\xff\x2f\0"
    assert parse_midi(GOOD[:10] + b"\xff\xff" + GOOD[12:] + track * 0xFFFE, "x").tracks


def test_a_file_may_be_so_large_and_no_larger(tmp_path):
    path = tmp_path / "vast.mid"
    path.write_bytes(GOOD + bytes(MAX_FILE_BYTES - len(GOOD)))
    assert read_midi(path).tracks
    path.write_bytes(GOOD + bytes(MAX_FILE_BYTES + 1 - len(GOOD)))
    with pytest.raises(MidiFileError, match=r"vast\.mid: expected a MIDI file of at most 16 MiB"):
        read_midi(path)


def test_tempo_changes_come_back():
    changes = ((2.0, 90.0), (3.5, 140.0))
    data = midi_bytes(
        Bars((Note(60, 0, 1, 64),), 4.0), channels={0: 0}, track_name="x", tempo=97, tempo_changes=changes
    )
    score = parse_midi(data, "x")
    assert score.tempo == pytest.approx(97, abs=0.01)
    assert [beat for beat, _ in score.tempo_changes] == [2.0, 3.5]
    assert [bpm for _, bpm in score.tempo_changes] == pytest.approx([90, 140], abs=0.01)
    assert parse_midi(GOOD, "x").tempo_changes == ()


def test_patterns_of_a_file_of_format_2_come_one_after_the_other():
    midi = mido.MidiFile(type=2, ticks_per_beat=480)
    for pitch, tempo in ((60, 100), (64, 140)):
        track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
        for channel in (0, 9):
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=64))
        track.append(mido.Message("note_off", channel=0, note=pitch, time=480))
        track.append(mido.MetaMessage("end_of_track", time=3 * 480))  # the drum is never let go
        midi.tracks.append(track)
    out = io.BytesIO()
    midi.save(file=out)
    score = parse_midi(out.getvalue(), "x")
    assert score.length == 8.0
    assert [track.channel for track in score.tracks] == [0, 9]
    line, drums = ([(n.pitch, n.start, n.duration) for n in track.notes] for track in score.tracks)
    assert line == [(60, 0.0, 1.0), (64, 4.0, 1.0)]
    assert drums == [(60, 0.0, 4.0), (64, 4.0, 4.0)]
    assert score.tempo == pytest.approx(100)
    assert score.tempo_changes == (pytest.approx((4.0, 140.0), abs=1e-3),)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MidiFileError, match=r"nothing\.mid: expected a readable MIDI file"):
        read_midi(tmp_path / "nothing.mid")


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.mid"
    bars = Bars((Note(60, 0, 1, 64),), 4.0)
    write_midi(path, bars, channels={0: 0}, track_name="x")
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(MidiFileError, match="No space left"):
        write_midi(path, Bars((Note(61, 0, 1, 64),), 4.0), channels={0: 0}, track_name="x")
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == ["a.mid"]
