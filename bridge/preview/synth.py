"""The built-in preview voice, rendered offline: timed notes in, a stereo recording out.

Nobody should need a synthesiser to hear what a model plays. A minute of three voices takes about a second.
"""

from __future__ import annotations

import math
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.music.grids import DRUM_CLASS_OF_PITCH
from bridge.preview import drum_kit, room, tones
from bridge.preview.wire import CLICK_ACCENT_PITCH, Role
from bridge.whole_file import in_place_of

Audio = NDArray[np.float32]

SAMPLE_RATE: Final = 48_000
MAX_SECONDS: Final = 3600.0  # an hour takes 2.8 GB while it is rendered; longer is a mistake in the times

GAINS: Final[dict[str, float]] = {"melody": 0.29, "bass": 0.28, "drums": 0.82, "click": 0.5}
ROOM_SENDS: Final[dict[str, float]] = {"melody": 0.22, "bass": 0.03, "drums": 0.10, "click": 0.0}
RELEASE_S: Final[dict[str, float]] = {"melody": 0.11, "bass": 0.05}
CHOKE_S: Final = 0.012  # how fast a closing hi-hat ends an open one
_BRIGHTNESS_STEPS: Final = 3  # tones rendered per key: soft, middle, hard
_TONE_STEP_S: Final = 0.5  # tones are kept in whole multiples of this, so that few are rendered twice
_FADE_S: Final = 0.03
_LONGEST_HIT_S: Final = 2.5  # the crash of the kit


@dataclass(frozen=True, slots=True)
class TimedNote:
    """A note in seconds from the beginning of the recording; `velocity` 1-127. Drums ignore the duration."""

    start_s: float
    duration_s: float
    pitch: int
    velocity: int
    role: Role


class _Renderer:
    """Renders notes of one recording, each tone and drum once."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._tones: dict[tuple[str, int, int], Audio] = {}
        self._hits: dict[int, Audio] = {}

    def pitched(self, note: TimedNote) -> Audio:
        """A key pressed and let go: the tone until the note's end, then a release."""
        held = max(1, round(note.duration_s * self._rate))
        release = round(RELEASE_S[note.role] * self._rate)
        sound = self._tone(note.role, note.pitch, brightness_step(note.velocity), held + release)
        sound = sound[: held + release].copy()
        sound[held:] *= fall(0, release, release)
        return sound * pitched_gain(note.velocity)

    def struck(self, note: TimedNote, choke_s: float) -> Audio:
        """A drum hit or a click; `choke_s` is how long it may ring."""
        kind = struck_kind(note.role, note.pitch)
        if kind not in self._hits:
            self._hits[kind] = drum_kit.hit(kind, self._rate)
        sound = self._hits[kind] * struck_gain(note.velocity)
        fade = round(CHOKE_S * self._rate)
        if choke_s * self._rate + fade < len(sound):
            ring = round(choke_s * self._rate)
            sound = sound[: ring + fade]
            sound[ring:] *= fall(0, fade, fade)
        return sound

    def _tone(self, role: str, pitch: int, step: int, frames: int) -> Audio:
        key = (role, pitch, step)
        known = self._tones.get(key)
        if known is None or len(known) < frames:
            whole = round(math.ceil(frames / self._rate / _TONE_STEP_S) * _TONE_STEP_S * self._rate)
            known = self._tones[key] = tone(role, pitch, step, 0, whole, self._rate)
        return known


def drum_kind(pitch: int) -> int:
    """The drum of the kit that plays a General MIDI percussion pitch; a woodblock for what the kit has not."""
    return DRUM_CLASS_OF_PITCH.get(pitch, drum_kit.WOODBLOCK)


def struck_kind(role: str, pitch: int) -> int:
    """What is struck by a pitch of the roles "drums" and "click"."""
    if role == "click":
        return drum_kit.ACCENT if pitch == CLICK_ACCENT_PITCH else drum_kit.CLICK
    return drum_kind(pitch)


def brightness_step(velocity: int) -> int:
    """Which of the few brightnesses a key struck at a velocity has."""
    return min(_BRIGHTNESS_STEPS - 1, velocity * _BRIGHTNESS_STEPS // 128)


def tone(role: str, pitch: int, step: int, start: int, frames: int, sample_rate: int) -> Audio:
    """Frames `start` on of a key of "melody" or "bass" held for ever: (n, 2)."""
    voice = tones.electric_piano if role == "melody" else tones.round_bass
    return voice(pitch, (step + 0.5) / _BRIGHTNESS_STEPS, start, frames, sample_rate)


def pitched_gain(velocity: int) -> np.float32:
    """How loud a key is at a velocity."""
    return np.float32((velocity / 127.0) ** 1.2)


def struck_gain(velocity: int) -> np.float32:
    """How loud a hit is at a velocity."""
    return np.float32((velocity / 127.0) ** 1.5)


def fall(start: int, frames: int, length: int) -> Audio:
    """Frames `start` on of a fall from 1 to 0 that takes `length` frames: (n, 1)."""
    place = np.minimum(np.arange(start + 1, start + frames + 1) / length, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * place)).astype(np.float32)[:, None]


def render(notes: Iterable[TimedNote], *, sample_rate: int = SAMPLE_RATE, seconds: float | None = None) -> Audio:
    """The recording of `notes`: (n, 2) float32 within -0.97 to 0.97.

    It lasts until everything has rung out, or exactly `seconds`, faded at the end. Raises ValueError for a note or a
    length outside 0 to `MAX_SECONDS`.
    """
    ordered = sorted(notes, key=lambda note: note.start_s)
    for note in ordered:
        if not (0.0 <= note.start_s <= MAX_SECONDS and 0.0 <= note.duration_s <= MAX_SECONDS):
            raise ValueError(f"note at {note.start_s} s for {note.duration_s} s: expected 0 to {MAX_SECONDS:g} s")
    if seconds is not None and not 0.0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"length {seconds} s: expected 0 to {MAX_SECONDS:g} s")
    renderer = _Renderer(sample_rate)
    last_s = max((note.start_s + note.duration_s for note in ordered), default=0.0)
    ring_frames = room.tail_frames(sample_rate) + round(_LONGEST_HIT_S * sample_rate)
    frames = round(seconds * sample_rate) if seconds is not None else round(last_s * sample_rate) + ring_frames
    dry = np.zeros((frames, 2), dtype=np.float32)
    send = np.zeros((frames, 2), dtype=np.float32)
    for note, choke_s in zip(ordered, _chokes(ordered), strict=True):
        struck = note.role in ("drums", "click")
        sound = renderer.struck(note, choke_s) if struck else renderer.pitched(note)
        start = round(note.start_s * sample_rate)
        sound = sound[: max(0, frames - start)] * np.float32(GAINS[note.role])
        dry[start : start + len(sound)] += sound
        if ROOM_SENDS[note.role]:
            send[start : start + len(sound)] += sound * np.float32(ROOM_SENDS[note.role])
    room.add_room(dry, send, sample_rate)
    room.limit(dry)
    fade = min(frames, round(_FADE_S * sample_rate))
    dry[frames - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)[:, None]
    return dry if seconds is not None else _without_silence(dry, last_s, sample_rate)


def _without_silence(audio: Audio, last_s: float, sample_rate: int) -> Audio:
    """`audio` up to where nothing can be heard any more (-80 dB), and a little more."""
    heard = np.flatnonzero(np.max(np.abs(audio), axis=1) > 1e-4)
    end = max(round(last_s * sample_rate), int(heard[-1]) + 1 if len(heard) else 0)
    return audio[: end + round(_FADE_S * sample_rate)]


def _chokes(ordered: list[TimedNote]) -> list[float]:
    """For each note how long it may ring: an open hi-hat until the hi-hat's next stroke, everything else for ever."""
    hats = (drum_kit.CLOSED_HAT, drum_kit.OPEN_HAT)
    rings = [math.inf] * len(ordered)
    next_stroke_s = math.inf
    for index in range(len(ordered) - 1, -1, -1):
        note = ordered[index]
        if note.role == "drums" and drum_kind(note.pitch) in hats:
            if drum_kind(note.pitch) == drum_kit.OPEN_HAT:
                rings[index] = next_stroke_s - note.start_s
            next_stroke_s = note.start_s
    return rings


def write_wav(path: Path, audio: Audio, sample_rate: int = SAMPLE_RATE) -> None:
    """Write `audio` (n, 2), -1 to 1, as a 16-bit WAV file, beside `path` first and then renamed.

    The rounding is dithered (triangular, one step), so that what fades away fades into hiss and not into a buzz.
    """
    noise = np.random.default_rng(1)
    with in_place_of(path) as beside, wave.open(str(beside), "wb") as file:
        file.setnchannels(audio.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        for start in range(0, len(audio), sample_rate):
            piece = audio[start : start + sample_rate]
            dither = noise.random(piece.shape, dtype=np.float32) - noise.random(piece.shape, dtype=np.float32)
            steps = np.clip(np.rint(piece * 32767.0 + dither), -32768, 32767)
            file.writeframes(steps.astype("<i2").tobytes())
