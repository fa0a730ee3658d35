"""The pitched preview voices: an electric piano for melodies, a round plucked bass. Pure numpy, no samples.

A tone is what a key held for ever would sound like; `synth` cuts it where the note ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Signal = NDArray[np.float64]

_TAU = 2.0 * np.pi
_ATTACK_S = 0.003
_BASS_ATTACK_S = 0.005
_DETUNE = 0.0006  # 1 cent up in one ear and down in the other: width without a beat that could be heard


def frequency_hz(pitch: int) -> float:
    """Equal temperament, pitch 69 = 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69) / 12.0))


def electric_piano(pitch: int, brightness: float, start: int, frames: int, sample_rate: int) -> Audio:
    """Two-operator FM for the body, a short high one for the tine: frames `start` on of a tone that began at frame 0,
    (n, 2), peak near 1, `brightness` 0-1.
    """
    time = np.arange(start, start + frames) / sample_rate
    pitch_hz = frequency_hz(pitch)
    # High keys ring shorter and need less modulation; a tine above a third of the sample rate would fold back.
    decay = np.exp(-time / float(np.clip(2.4 * (261.6 / pitch_hz) ** 0.5, 0.35, 3.0)))
    index = (0.35 + 1.5 * brightness) * min(1.0, (523.0 / pitch_hz) ** 0.5) * (0.25 + 0.75 * np.exp(-time / 0.35))
    tine_level = (0.05 + 0.16 * brightness) * max(0.0, 1.0 - 14.0 * pitch_hz * 3.0 / sample_rate)
    tine = tine_level * np.exp(-time / 0.07) * np.sin(_TAU * 14.0 * pitch_hz * time)
    envelope = 0.8 * decay * _attack(time, _ATTACK_S)
    out = np.empty((frames, 2), dtype=np.float32)
    for ear, bend in enumerate((1.0 - _DETUNE, 1.0 + _DETUNE)):
        phase = _TAU * pitch_hz * bend * time
        out[:, ear] = envelope * (np.sin(phase + index * np.sin(phase)) + tine)
    return out


def round_bass(pitch: int, brightness: float, start: int, frames: int, sample_rate: int) -> Audio:
    """Eight partials that fade the faster the higher they are, gently saturated: frames `start` on of a tone that
    began at frame 0, (n, 2), the same in both ears.
    """
    time = np.arange(start, start + frames) / sample_rate
    pitch_hz = frequency_hz(pitch)
    mix = np.zeros(frames)
    for partial in range(1, 9):
        if partial * pitch_hz > 0.4 * sample_rate:
            break
        level = (0.35 + 0.45 * brightness) ** (partial - 1) / partial**0.5
        mix += level * np.exp(-time * (0.55 + 1.4 * (partial - 1))) * np.sin(_TAU * partial * pitch_hz * time)
    mono = np.tanh(1.3 * mix) * _attack(time, _BASS_ATTACK_S)
    return np.repeat(mono.astype(np.float32)[:, None], 2, axis=1)


def _attack(time: Signal, seconds: float) -> Signal:
    """One, but for a raised-cosine rise at the beginning."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(time / seconds, 1.0)))
