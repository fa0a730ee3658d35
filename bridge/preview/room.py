"""What stands between the voices and the file: a small room and a soft limiter."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

_SECONDS = 0.9
_PRE_DELAY_S = 0.011
_BLOCK = 1 << 17  # of the Fourier transforms; the room's answer takes about a third of one
_KNEE = 0.7
_CEILING = 0.97


def tail_frames(sample_rate: int) -> int:
    """How many frames the room goes on after the sound."""
    return round(_SECONDS * sample_rate)


@lru_cache(maxsize=4)
def _answer(sample_rate: int) -> Audio:
    """The room's answer to a clap (n, 2): noise that fades, the treble first, with an energy of 1 in each ear."""
    n = tail_frames(sample_rate)
    time = np.arange(n) / sample_rate
    noise = np.random.default_rng(7).standard_normal((n, 2))
    spectrum = np.fft.rfft(noise, axis=0)
    at_hz = np.fft.rfftfreq(n, 1.0 / sample_rate)[:, None]
    dark = np.fft.irfft(spectrum / (1.0 + (at_hz / 1800.0) ** 2) * (at_hz > 180.0), n, axis=0)
    bright = np.fft.irfft(spectrum / (1.0 + (at_hz / 7000.0) ** 2) * (at_hz > 180.0), n, axis=0)
    answer = dark * np.exp(-time / 0.17)[:, None] + 0.5 * bright * np.exp(-time / 0.06)[:, None]
    answer *= (
        np.clip((time - _PRE_DELAY_S) / 0.004, 0.0, 1.0)[:, None] * np.clip((_SECONDS - time) / 0.1, 0.0, 1.0)[:, None]
    )
    return np.asarray(answer / np.sqrt(np.sum(answer**2, axis=0)), dtype=np.float32)


def add_room(dry: Audio, send: Audio, sample_rate: int) -> None:
    """Add the room's answer to `send` (n, 2) to `dry` (n, 2), in place; what goes on beyond the end is cut."""
    answer = _answer(sample_rate)
    step = _BLOCK - len(answer) + 1
    colour = np.fft.rfft(answer, _BLOCK, axis=0)
    for start in range(0, len(send), step):
        piece = send[start : start + step]
        if np.any(piece):
            heard = np.fft.irfft(np.fft.rfft(piece, _BLOCK, axis=0) * colour, _BLOCK, axis=0)
            room = min(_BLOCK, len(dry) - start)
            dry[start : start + room] += heard[:room].astype(np.float32)


class StreamingRoom:
    """The same room, block by block: convolution in partitions of one block each, overlapped and added."""

    def __init__(self, sample_rate: int, block: int) -> None:
        """`block` frames at a time."""
        answer = _answer(sample_rate)
        parts = -(-len(answer) // block)
        padded = np.zeros((parts * block, 2), dtype=np.float32)
        padded[: len(answer)] = answer
        self._colours = np.fft.rfft(padded.reshape(parts, block, 2), 2 * block, axis=1).astype(np.complex64)
        self._heard = np.zeros_like(self._colours)  # spectra of the last blocks, the newest at `_at`
        self._at = 0
        self._over = np.zeros((block, 2), dtype=np.float32)
        self._block = block
        self._quiet = parts

    def answer(self, send: Audio) -> Audio:
        """The room's answer (block, 2) at the time of the next block of what is sent into it (block, 2)."""
        parts = len(self._colours)
        self._at = (self._at - 1) % parts
        self._quiet = 0 if np.any(send) else self._quiet + 1
        if self._quiet > parts:  # nothing rings any more
            self._heard[self._at] = 0
            out, self._over = self._over, np.zeros_like(self._over)
            return out
        self._heard[self._at] = np.fft.rfft(send, 2 * self._block, axis=0)
        turned = np.roll(self._colours, self._at, axis=0)
        both = np.fft.irfft(np.einsum("pfe,pfe->fe", self._heard, turned), 2 * self._block, axis=0)
        out = self._over + both[: self._block].astype(np.float32)
        self._over = both[self._block :].astype(np.float32)
        return out


def limit(audio: Audio) -> None:
    """Bend what is louder than the knee so that nothing reaches full scale, in place; the rest is untouched."""
    loud = np.abs(audio) > _KNEE
    peaks = audio[loud]
    span = _CEILING - _KNEE
    audio[loud] = np.sign(peaks) * (_KNEE + span * np.tanh((np.abs(peaks) - _KNEE) / span))
