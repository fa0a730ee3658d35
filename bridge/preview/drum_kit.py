"""The preview drum kit: nine drums and a click, made of sines and filtered noise. Pure numpy, no samples.

A hit is a stereo array (n, 2) at full velocity that begins and ends in silence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Signal = NDArray[np.float64]

_TAU = 2.0 * np.pi
_RISE_S = 0.0006
_FALL_S = 0.02
#: Frequencies of an inharmonic plate, in Hz: what makes a cymbal of a sum of sines.
_PLATE_HZ = (2053.0, 3107.0, 3671.0, 4129.0, 5233.0, 6311.0, 7793.0, 9397.0, 11213.0)
_TOM_HZ = (92.0, 124.0, 168.0)

KICK, SNARE, CLOSED_HAT, OPEN_HAT, LOW_TOM, MID_TOM, HIGH_TOM, CRASH, RIDE = range(9)
#: Beside the classes of `grids.DRUM_NAMES`: any other percussion, and the metronome.
WOODBLOCK, CLICK, ACCENT = range(9, 12)
#: Where each sits from left (-1) to right (1), seen from the drummer's stool, and how loud it is in the kit.
_PLACES = {
    KICK: (0.0, 0.95),
    SNARE: (0.05, 0.62),
    CLOSED_HAT: (-0.3, 0.30),
    OPEN_HAT: (-0.3, 0.30),
    LOW_TOM: (0.45, 0.62),
    MID_TOM: (0.1, 0.60),
    HIGH_TOM: (-0.25, 0.58),
    CRASH: (-0.5, 0.42),
    RIDE: (0.5, 0.26),
    WOODBLOCK: (0.2, 0.30),
    CLICK: (0.0, 0.40),
    ACCENT: (0.0, 0.55),
}


def hit(kind: int, sample_rate: int) -> Audio:
    """One hit of a drum class (or of the click), at full velocity: (n, 2) float32."""
    noise = np.random.default_rng(1000 + kind)  # each drum its own noise, the same at every rendering
    if kind == KICK:
        mono = _kick(noise, sample_rate)
    elif kind == SNARE:
        mono = _snare(noise, sample_rate)
    elif kind in (LOW_TOM, MID_TOM, HIGH_TOM):
        mono = _tom(noise, _TOM_HZ[kind - LOW_TOM], sample_rate)
    elif kind in (WOODBLOCK, CLICK, ACCENT):
        mono = _blip({WOODBLOCK: 820.0, CLICK: 1100.0, ACCENT: 1650.0}[kind], sample_rate)
    else:
        mono = _cymbal(noise, kind, sample_rate)
    pan, gain = _PLACES[kind]
    shaped = mono / np.max(np.abs(mono)) * gain * _edges(len(mono), sample_rate)
    angle = (pan + 1.0) * np.pi / 4.0  # constant power: the middle is 3 dB down in each ear
    return np.stack([shaped * np.cos(angle), shaped * np.sin(angle)], axis=1).astype(np.float32)


def _kick(noise: np.random.Generator, sample_rate: int) -> Signal:
    time = _time(0.42, sample_rate)
    sweep_hz = 46.0 + 95.0 * np.exp(-time / 0.035) + 210.0 * np.exp(-time / 0.006)
    body = np.sin(_TAU * np.cumsum(sweep_hz) / sample_rate) * np.exp(-time / 0.13)
    beater = _band(noise.standard_normal(len(time)), 900.0, 5000.0, sample_rate) * np.exp(-time / 0.004)
    return np.tanh(1.6 * body) + 0.25 * beater


def _snare(noise: np.random.Generator, sample_rate: int) -> Signal:
    time = _time(0.38, sample_rate)
    bend = 1.0 + 0.25 * np.exp(-time / 0.012)
    shell = sum(
        level * np.sin(_TAU * np.cumsum(tone_hz * bend) / sample_rate) * np.exp(-time / fade_s)
        for tone_hz, level, fade_s in ((182.0, 0.9, 0.07), (331.0, 0.5, 0.045))
    )
    wires = _band(noise.standard_normal(len(time)), 1400.0, 9500.0, sample_rate)
    rattle = wires * (0.65 * np.exp(-time / 0.075) + 0.5 * np.exp(-time / 0.012))
    return shell + rattle


def _tom(noise: np.random.Generator, tone_hz: float, sample_rate: int) -> Signal:
    time = _time(0.6, sample_rate)
    sweep_hz = tone_hz * (1.0 + 0.55 * np.exp(-time / 0.035))
    phase = _TAU * np.cumsum(sweep_hz) / sample_rate
    skin = np.sin(phase) * np.exp(-time / 0.17) + 0.25 * np.sin(1.59 * phase) * np.exp(-time / 0.06)
    return skin + 0.12 * _band(noise.standard_normal(len(time)), 400.0, 4000.0, sample_rate) * np.exp(-time / 0.012)


def _cymbal(noise: np.random.Generator, kind: int, sample_rate: int) -> Signal:
    seconds, fade_s, low_hz, metal = {
        CLOSED_HAT: (0.12, 0.022, 6500.0, 0.55),
        OPEN_HAT: (0.75, 0.17, 6000.0, 0.55),
        CRASH: (2.4, 0.55, 2600.0, 0.25),
        RIDE: (1.6, 0.42, 4200.0, 0.9),
    }[kind]
    time = _time(seconds, sample_rate)
    plate = np.zeros(len(time))
    for index, tone_hz in enumerate(_PLATE_HZ):
        stretch = 1.37 if kind == RIDE else 1.0 + 0.11 * index
        plate += np.sin(_TAU * tone_hz * stretch * time + index) * np.exp(-time / (fade_s * (1.3 - 0.08 * index)))
    hiss = _band(noise.standard_normal(len(time)), low_hz, 15500.0, sample_rate)
    wash = hiss * (np.exp(-time / fade_s) + 0.6 * np.exp(-time / (0.12 * fade_s)))
    ping = 0.9 * np.exp(-time / 0.03) * np.sin(_TAU * 5100.0 * time) if kind == RIDE else 0.0
    return wash * (1.0 - 0.5 * metal) + metal * (_band(plate, low_hz * 0.8, 15500.0, sample_rate) * 0.35 + ping)


def _blip(tone_hz: float, sample_rate: int) -> Signal:
    time = _time(0.06, sample_rate)
    return (np.sin(_TAU * tone_hz * time) + 0.3 * np.sin(_TAU * 2.7 * tone_hz * time)) * np.exp(-time / 0.011)


def _time(seconds: float, sample_rate: int) -> Signal:
    return np.arange(round(seconds * sample_rate)) / sample_rate


def _edges(n: int, sample_rate: int) -> Signal:
    """A rise short enough to be heard as a stroke, and a fall that ends in silence."""
    envelope = np.ones(n)
    rise, fall = round(_RISE_S * sample_rate), round(_FALL_S * sample_rate)
    envelope[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    envelope[-fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return envelope


def _band(signal: Signal, low_hz: float, high_hz: float, sample_rate: int) -> Signal:
    """`signal` between two frequencies, with slopes like those of a 12 dB filter, scaled to a deviation of 1."""
    spectrum = np.fft.rfft(signal)
    at_hz = np.fft.rfftfreq(len(signal), 1.0 / sample_rate)
    gain = 1.0 / np.sqrt((1.0 + (low_hz / np.maximum(at_hz, 1.0)) ** 4) * (1.0 + (at_hz / high_hz) ** 4))
    shaped = np.fft.irfft(spectrum * gain, len(signal))
    return np.asarray(shaped / np.std(shaped), dtype=np.float64)
