"""The preview voice: pitch, balance, clean edges, and files that are whole."""

from __future__ import annotations

import math
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.music.grids import DRUM_PITCHES
from bridge.preview import drum_kit, room, synth, tones
from bridge.preview.synth import SAMPLE_RATE, Audio, TimedNote, render, write_wav
from bridge.preview.wire import Role

ROOT = Path(__file__).resolve().parents[2]
RATE = 44_100


def strongest_hz(audio: Audio, sample_rate: int = SAMPLE_RATE) -> float:
    mono = audio.mean(axis=1) * np.hanning(len(audio))
    return float(np.abs(np.fft.rfft(mono)).argmax() * sample_rate / len(mono))


def centroid_hz(audio: Audio) -> float:
    power = np.abs(np.fft.rfft(audio.mean(axis=1))) ** 2
    return float((power * np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)).sum() / power.sum())


def rms(audio: Audio) -> float:
    return float(np.sqrt(np.mean(audio.astype(np.float64) ** 2)))


@pytest.mark.parametrize("sample_rate", [44_100, 48_000])
@pytest.mark.parametrize("pitch", [48, 57, 69, 76, 88])
def test_a_melody_note_has_its_pitch(pitch: int, sample_rate: int) -> None:
    audio = render([TimedNote(0.0, 1.5, pitch, 100, "melody")], sample_rate=sample_rate, seconds=1.5)
    assert strongest_hz(audio, sample_rate) == pytest.approx(tones.frequency_hz(pitch), rel=0.004)


@pytest.mark.parametrize("pitch", [28, 33, 40, 52])
def test_a_bass_note_has_its_pitch(pitch: int) -> None:
    audio = render([TimedNote(0.0, 1.5, pitch, 100, "bass")], seconds=1.5)
    assert strongest_hz(audio) == pytest.approx(tones.frequency_hz(pitch), abs=1.0)


def test_nothing_sounds_before_its_time_nor_long_after_its_end() -> None:
    audio = render([TimedNote(1.0, 0.5, 64, 110, "melody")])
    onset = round(1.0 * SAMPLE_RATE)
    assert np.max(np.abs(audio[:onset])) < 1e-6  # rounding of the room's Fourier transforms
    assert rms(audio[onset : onset + 4800]) > 0.02
    assert rms(audio[round(2.1 * SAMPLE_RATE) :]) < 0.002
    assert 1.5 < len(audio) / SAMPLE_RATE < 3.0
    assert np.max(np.abs(audio[-8:])) < 1e-4


@pytest.mark.parametrize(("role", "pitch"), [("melody", 60), ("melody", 84), ("bass", 33), ("bass", 45)])
@pytest.mark.parametrize("duration_s", [0.02, 0.1, 0.377])
def test_the_end_of_a_note_does_not_click(role: Role, pitch: int, duration_s: float) -> None:
    """A click is a bend: the signal's second difference would be larger there than while the note sounds."""
    audio = render([TimedNote(0.1, duration_s, pitch, 127, role)])
    bend = np.abs(np.diff(audio.astype(np.float64), 2, axis=0)).max(axis=1)
    end = round((0.1 + duration_s) * SAMPLE_RATE)
    sounding = bend[end - round(min(duration_s, 0.05) * SAMPLE_RATE) : end - 2].max()
    assert bend[end - 2 :].max() <= 1.1 * sounding


def test_every_drum_stops_where_it_is_silent() -> None:
    for pitch in DRUM_PITCHES:
        audio = render([TimedNote(0.0, 0.1, pitch, 127, "drums")])
        assert np.abs(np.diff(audio[-2000:], axis=0)).max() < 1e-3
        assert np.max(np.abs(audio)) > 0.05


def test_drums_are_told_apart_by_their_colour() -> None:
    by_pitch = {pitch: centroid_hz(render([TimedNote(0.0, 0.1, pitch, 110, "drums")])) for pitch in DRUM_PITCHES}
    kick, snare, closed_hat, open_hat, low_tom, mid_tom, high_tom, crash, ride = by_pitch.values()
    assert kick < low_tom < mid_tom < high_tom < 1000 < snare < ride < closed_hat
    assert kick < 150
    assert min(open_hat, crash) > 5000


def test_every_general_midi_drum_makes_a_sound() -> None:
    for pitch in range(27, 88):
        assert rms(render([TimedNote(0.0, 0.1, pitch, 100, "drums")], seconds=0.1)) > 1e-3


def test_a_closing_hat_ends_an_open_one() -> None:
    opened = TimedNote(0.0, 0.1, 46, 120, "drums")
    closed = TimedNote(0.15, 0.1, 42, 1, "drums")
    window = slice(round(0.25 * SAMPLE_RATE), round(0.35 * SAMPLE_RATE))
    assert rms(render([opened, closed])[window]) < 0.3 * rms(render([opened])[window])


@pytest.mark.parametrize(("role", "pitch"), [("melody", 64), ("bass", 40), ("drums", 38)])
def test_harder_is_louder(role: Role, pitch: int) -> None:
    levels = [rms(render([TimedNote(0.0, 0.3, pitch, velocity, role)], seconds=0.5)) for velocity in (20, 64, 127)]
    assert levels[0] < 0.6 * levels[1] < 0.6 * levels[2]


def test_harder_is_brighter() -> None:
    soft, hard = (render([TimedNote(0.0, 0.3, 60, velocity, "melody")], seconds=0.5) for velocity in (20, 127))
    assert centroid_hz(hard) > 1.2 * centroid_hz(soft)


def test_the_accented_click_is_higher() -> None:
    plain, accent = (render([TimedNote(0.0, 0.1, pitch, 100, "click")], seconds=0.1) for pitch in (77, 76))
    assert strongest_hz(accent) > 1.3 * strongest_hz(plain)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.builds(
            TimedNote,
            st.floats(0, 1.5),
            st.floats(0, 0.8),
            st.integers(0, 127),
            st.integers(1, 127),
            st.sampled_from(["melody", "bass", "drums", "click"]),
        ),
        max_size=12,
    )
)
def test_whatever_is_played_stays_within_full_scale(notes: list[TimedNote]) -> None:
    audio = render(notes)
    assert audio.dtype == np.float32
    assert np.all(np.isfinite(audio))
    assert np.max(np.abs(audio), initial=0.0) < 0.98
    assert np.allclose(audio, render(reversed(notes)), atol=1e-5)


def test_a_wall_of_sound_is_bent_and_not_cut() -> None:
    wall = [TimedNote(0.0, 1.0, pitch, 127, "melody") for pitch in range(40, 90, 2)]
    audio = render(wall, seconds=1.0)
    assert 0.9 < np.max(np.abs(audio)) < 0.98
    flat = (np.diff(audio[:, 0]) == 0) & (np.abs(audio[:-1, 0]) > 0.5)
    assert flat.mean() < 0.01


def test_the_limiter_leaves_what_is_below_its_knee() -> None:
    audio = np.linspace(-0.7, 0.7, 2001, dtype=np.float32)[:, None].repeat(2, axis=1)
    before = audio.copy()
    room.limit(audio)
    assert np.array_equal(audio, before)
    loud = np.linspace(-4, 4, 8001, dtype=np.float32)[:, None].repeat(2, axis=1)
    room.limit(loud)
    assert np.all(np.diff(loud[:, 0]) >= 0)
    assert np.max(np.abs(loud)) <= 0.97 + 1e-6


def test_the_room_answers_alike_wherever_a_block_begins() -> None:
    n = room._BLOCK * 2
    for at in (0, 100, room._BLOCK - room.tail_frames(RATE) - 1, room._BLOCK, n - 50):
        dry, send = np.zeros((n, 2), dtype=np.float32), np.zeros((n, 2), dtype=np.float32)
        send[at] = 1.0
        room.add_room(dry, send, RATE)
        answer = room._answer(RATE)[: n - at]
        assert np.allclose(dry[at : at + len(answer)], answer, atol=1e-5)
        assert np.allclose(dry[:at], 0.0, atol=1e-5)
    assert np.sum(room._answer(RATE).astype(np.float64) ** 2, axis=0) == pytest.approx([1.0, 1.0], rel=1e-4)


def test_a_tone_is_rendered_once_however_often_it_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    real = tones.electric_piano

    def counted(pitch: int, brightness: float, start: int, frames: int, sample_rate: int) -> Audio:
        rendered.append(pitch)
        return real(pitch, brightness, start, frames, sample_rate)

    monkeypatch.setattr(tones, "electric_piano", counted)
    render([TimedNote(index * 0.1, 0.1, 60 + index % 3, 100, "melody") for index in range(60)])
    assert sorted(rendered) == [60, 61, 62]


def test_the_length_is_what_was_asked_for_and_ends_in_silence() -> None:
    audio = render([TimedNote(0.0, 5.0, 60, 100, "melody"), TimedNote(9.0, 1.0, 60, 100, "melody")], seconds=1.25)
    assert audio.shape == (round(1.25 * SAMPLE_RATE), 2)
    assert audio[-1] == pytest.approx([0.0, 0.0])
    assert render([], seconds=0.0).shape == (0, 2)
    assert not np.any(render([]))


@pytest.mark.parametrize(("start_s", "duration_s"), [(-0.1, 1.0), (math.nan, 1.0), (0.0, math.inf), (4000.0, 1.0)])
def test_times_outside_an_hour_are_refused(start_s: float, duration_s: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to 3600 s"):
        render([TimedNote(start_s, duration_s, 60, 100, "melody")])
    with pytest.raises(ValueError, match="expected 0 to 3600 s"):
        render([], seconds=-1.0)


def test_a_wav_file_holds_what_was_rendered(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    audio = render([TimedNote(0.0, 0.4, 60, 100, "melody"), TimedNote(0.0, 0.1, 36, 127, "drums")], sample_rate=RATE)
    write_wav(path, audio, RATE)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        back = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    assert back.shape == audio.shape
    assert np.max(np.abs(back / 32767.0 - audio)) <= 1.6 / 32767.0


def test_full_scale_does_not_wrap_round(tmp_path: Path) -> None:
    write_wav(tmp_path / "take.wav", np.array([[1.0, -1.0], [1.2, -1.2]] * 50, dtype=np.float32), RATE)
    with wave.open(str(tmp_path / "take.wav")) as file:
        back = np.frombuffer(file.readframes(100), dtype="<i2").reshape(-1, 2)
    assert back[:, 0].min() > 32_000
    assert back[:, 1].max() < -32_000


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "take.wav"
    path.write_bytes(b"the old one")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(wave.Wave_write, "writeframes", fail)
    with pytest.raises(OSError, match="disk full"):
        write_wav(path, np.zeros((100, 2), dtype=np.float32))
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_importing_the_synth_imports_no_sound_card_and_no_model() -> None:
    code = (
        "import sys, bridge.preview.synth\n"
        "assert not {'sounddevice', 'torch', 'numba', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_percussion_that_the_kit_has_not_is_played_on_the_woodblock() -> None:
    assert synth.drum_kind(36) == drum_kit.KICK
    assert synth.drum_kind(76) == drum_kit.WOODBLOCK
