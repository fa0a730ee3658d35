"""The preview voice as it plays along: the same sound as the offline one, to the frame, whatever comes when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.preview import synth
from bridge.preview.live import BLOCK_FRAMES, MAX_KEYS, FrameClock, LiveVoice
from bridge.preview.synth import SAMPLE_RATE, Audio, TimedNote
from bridge.preview.wire import CLICK_ACCENT_PITCH, KINDS, ROLES, Sounded, pack, unpack

TOKEN = bytes(range(16))


def blocks(voice: LiveVoice, seconds: float) -> Audio:
    return np.concatenate([voice.block() for _ in range(round(seconds * SAMPLE_RATE / BLOCK_FRAMES))])


def played(notes: list[TimedNote], seconds: float) -> Audio:
    voice = LiveVoice(SAMPLE_RATE)
    for note in notes:
        voice.strike(round(note.start_s * SAMPLE_RATE), note.role, note.pitch, note.velocity)
        voice.release(round((note.start_s + note.duration_s) * SAMPLE_RATE), note.role, note.pitch)
    return blocks(voice, seconds)


def test_it_sounds_as_the_offline_voice_does() -> None:
    notes = [
        TimedNote(0.05, 0.4, 64, 90, "melody"),
        TimedNote(0.31, 0.3, 67, 60, "melody"),
        TimedNote(0.1, 0.5, 36, 110, "bass"),
        TimedNote(0.2, 0.1, 46, 100, "drums"),  # an open hi-hat, choked by the closed one
        TimedNote(0.45, 0.1, 42, 100, "drums"),
        TimedNote(0.5, 0.1, 38, 120, "drums"),
        TimedNote(0.5, 0.1, CLICK_ACCENT_PITCH, 100, "click"),
    ]
    live = played(notes, 1.4)
    offline = synth.render(notes, seconds=2.0)[: len(live)]
    assert float(np.abs(live).max()) > 0.2
    assert np.allclose(live, offline, atol=2e-4)


def test_a_stroke_that_comes_too_late_sounds_at_once_and_is_counted() -> None:
    voice = LiveVoice(SAMPLE_RATE)
    blocks(voice, 0.5)
    voice.strike(100, "melody", 64, 100)
    assert voice.late == 1
    assert float(np.abs(voice.block()).max()) > 0.0


def test_silence_ends_one_role_within_30_ms() -> None:
    voice = LiveVoice(SAMPLE_RATE)
    voice.strike(0, "melody", 64, 100)
    voice.strike(0, "drums", 49, 120)
    blocks(voice, 0.2)
    assert voice.sounding == 2
    voice.silence(voice.frame, "melody")
    blocks(voice, 0.03)
    assert voice.sounding == 1


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS), st.sampled_from(ROLES), st.integers(0, 127), st.integers(0, 127),
            st.integers(-2000, 9000),
        ),
        max_size=80,
    )
)  # fmt: skip
def test_whatever_is_played_the_sound_stays_within_full_scale(events: list[tuple[str, str, int, int, int]]) -> None:
    voice = LiveVoice(SAMPLE_RATE)
    heard = [voice.block()]
    for kind, role, pitch, velocity, frame in events:
        if kind == "strike":
            voice.strike(frame, role, pitch, velocity)  # type: ignore[arg-type]
        elif kind == "release":
            voice.release(frame, role, pitch)  # type: ignore[arg-type]
        else:
            voice.silence(frame, role)  # type: ignore[arg-type]
    heard += [voice.block() for _ in range(20)]
    audio = np.concatenate(heard)
    assert np.isfinite(audio).all()
    assert float(np.abs(audio).max()) <= 0.97 + 1e-6


def test_a_flood_of_keys_is_bounded() -> None:
    voice = LiveVoice(SAMPLE_RATE)
    for frame in range(3 * MAX_KEYS):
        voice.strike(frame, "melody", frame % 128, 100)
    voice.block()
    assert voice.sounding <= MAX_KEYS


def test_the_frame_clock_follows_a_crystal_that_is_50_ppm_fast_to_a_tenth_of_a_millisecond() -> None:
    clock, noise = FrameClock(SAMPLE_RATE), np.random.default_rng(1)
    for block in range(6000):  # a minute
        frame = block * BLOCK_FRAMES
        true_ns = round(7e9 + frame * 1e9 / (SAMPLE_RATE * (1 + 50e-6)))
        clock.told(frame, true_ns + round(noise.normal(0.0, 200_000)))
    assert abs(clock.frame_at_ns(true_ns) - frame) < 0.0001 * SAMPLE_RATE


def test_after_a_leap_of_the_device_the_frame_clock_is_there_at_once() -> None:
    clock = FrameClock(SAMPLE_RATE)
    assert not clock.known
    clock.told(0, 1_000_000_000)
    clock.told(BLOCK_FRAMES, 3_000_000_000)
    assert clock.frame_at_ns(3_000_000_000) == BLOCK_FRAMES


@given(st.sampled_from(KINDS), st.sampled_from(ROLES), st.integers(0, 127), st.integers(0, 127), st.integers(0, 2**62))
def test_a_datagram_comes_back_as_it_was(kind: str, role: str, pitch: int, velocity: int, moment_ns: int) -> None:
    sounded = Sounded(kind, role, pitch, velocity, moment_ns)  # type: ignore[arg-type]
    assert unpack(TOKEN, pack(TOKEN, sounded)) == sounded
    assert unpack(bytes(16), pack(TOKEN, sounded)) is None


@pytest.mark.parametrize("datagram", [b"", b"x", TOKEN, TOKEN + b"\xff" * 12, TOKEN + b"\x00" * 13])
def test_other_datagrams_are_none_of_ours(datagram: bytes) -> None:
    assert unpack(TOKEN, datagram) is None
