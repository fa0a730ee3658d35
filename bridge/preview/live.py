"""The preview voice as it plays along: strokes and releases by frame in, blocks of sound out. Knows no device."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from typing import Final

import numpy as np

from bridge.preview import drum_kit, room, synth
from bridge.preview.synth import CHOKE_S, GAINS, RELEASE_S, ROOM_SENDS, Audio
from bridge.preview.wire import Role

BLOCK_FRAMES: Final = 512  # 10.7 ms at 48 kHz: the room costs one partition each, and a late block is soon made good
MAX_KEYS: Final = 48  # more keys than that at once are a flood: the oldest lets go
_CUT_S: Final = 0.02
_LONGEST_KEY_S: Final = 12.0


@dataclasses.dataclass(slots=True)
class _Key:
    """A key of a pitched voice; `released` and `fall` in frames."""

    role: Role
    pitch: int
    step: int
    gain: np.float32
    start: int
    released: int | None = None
    fall: int = 0


@dataclasses.dataclass(slots=True)
class _Hit:
    """A drum that rings; `choked`: the frame from which a fall of `CHOKE_S` ends it."""

    kind: int
    role: Role
    gain: np.float32
    start: int
    choked: int | None = None


class LiveVoice:
    """All roles at once. Events may be given for any frame that has not been rendered; earlier ones sound at once."""

    def __init__(self, sample_rate: int) -> None:
        """Nothing sounds; drums are rendered now, once."""
        self.frame = 0
        self._rate = sample_rate
        self._hits = {kind: drum_kit.hit(kind, sample_rate) for kind in range(drum_kit.ACCENT + 1)}
        self._room = room.StreamingRoom(sample_rate, BLOCK_FRAMES)
        self._due: list[tuple[int, int, str, Role, int, int]] = []
        self._order = itertools.count()
        self._keys: list[_Key] = []
        self._ringing: list[_Hit] = []
        self.late = 0

    @property
    def sounding(self) -> int:
        """How many keys are down and drums ring."""
        return sum(key.released is None for key in self._keys) + len(self._ringing)

    def strike(self, frame: int, role: Role, pitch: int, velocity: int) -> None:
        """A key or drum is struck at `frame`."""
        self._put(frame, "strike", role, pitch, velocity)

    def release(self, frame: int, role: Role, pitch: int) -> None:
        """A key is let go at `frame`; drums ring on."""
        self._put(frame, "release", role, pitch, 0)

    def silence(self, frame: int, role: Role) -> None:
        """All of a role ends at `frame`, quickly."""
        self._put(frame, "silence", role, 0, 0)

    def _put(self, frame: int, what: str, role: Role, pitch: int, velocity: int) -> None:
        if frame < self.frame:
            self.late += what == "strike"
            frame = self.frame
        heapq.heappush(self._due, (frame, next(self._order), what, role, pitch, velocity))

    def block(self) -> Audio:
        """The next `BLOCK_FRAMES` frames (n, 2), float32 within -0.97 to 0.97."""
        end = self.frame + BLOCK_FRAMES
        while self._due and self._due[0][0] < end:
            frame, _, what, role, pitch, velocity = heapq.heappop(self._due)
            self._act(frame, what, role, pitch, velocity)
        dry = np.zeros((BLOCK_FRAMES, 2), dtype=np.float32)
        send = np.zeros((BLOCK_FRAMES, 2), dtype=np.float32)
        self._keys = [key for key in self._keys if self._add(self._key_sound(key), key.start, key.role, dry, send)]
        self._ringing = [
            hit for hit in self._ringing if self._add(self._hit_sound(hit), hit.start, hit.role, dry, send)
        ]
        dry += self._room.answer(send)
        room.limit(dry)
        self.frame = end
        return dry

    def _act(self, frame: int, what: str, role: Role, pitch: int, velocity: int) -> None:
        if what == "silence":
            self._end_role(frame, role)
        elif what == "release":
            for key in self._keys:
                if key.role == role and key.pitch == pitch and key.released is None:
                    key.released, key.fall = frame, round(RELEASE_S[role] * self._rate)
        elif role in RELEASE_S:
            while len(self._keys) >= MAX_KEYS:
                del self._keys[0]
            gain = synth.pitched_gain(velocity) * np.float32(GAINS[role])
            self._keys.append(_Key(role, pitch, synth.brightness_step(velocity), gain, frame))
        else:
            self._strike_drum(frame, role, pitch, velocity)

    def _strike_drum(self, frame: int, role: Role, pitch: int, velocity: int) -> None:
        kind = synth.struck_kind(role, pitch)
        if kind in (drum_kit.CLOSED_HAT, drum_kit.OPEN_HAT):
            for hit in self._ringing:
                if hit.kind == drum_kit.OPEN_HAT and hit.choked is None:
                    hit.choked = frame
        self._ringing.append(_Hit(kind, role, synth.struck_gain(velocity) * np.float32(GAINS[role]), frame))

    def _end_role(self, frame: int, role: Role) -> None:
        for key in self._keys:
            if key.role == role and key.released is None:
                key.released, key.fall = frame, round(_CUT_S * self._rate)
        for hit in self._ringing:
            if hit.role == role and hit.choked is None:
                hit.choked = frame

    def _key_sound(self, key: _Key) -> Audio | None:
        """This block's share of a key, from its start on; None when it is over."""
        begin = max(self.frame, key.start)
        if key.released is not None and begin >= key.released + key.fall:
            return None
        age, frames = begin - key.start, self.frame + BLOCK_FRAMES - begin
        if age > _LONGEST_KEY_S * self._rate:
            return None
        sound = synth.tone(key.role, key.pitch, key.step, age, frames, self._rate) * key.gain
        if key.released is not None and key.released < begin + frames:
            place = max(0, key.released - begin)
            sound[place:] *= synth.fall(begin + place - key.released, frames - place, key.fall)
        return sound

    def _hit_sound(self, hit: _Hit) -> Audio | None:
        begin = max(self.frame, hit.start)
        whole = self._hits[hit.kind]
        if begin - hit.start >= len(whole):
            return None
        sound = whole[begin - hit.start : self.frame + BLOCK_FRAMES - hit.start] * hit.gain
        if hit.choked is None:
            return sound
        length = round(CHOKE_S * self._rate)
        if begin >= hit.choked + length:
            return None
        if hit.choked < begin + len(sound):
            place = max(0, hit.choked - begin)
            sound[place:] *= synth.fall(begin + place - hit.choked, len(sound) - place, length)
        return sound

    def _add(self, sound: Audio | None, start: int, role: Role, dry: Audio, send: Audio) -> bool:
        if sound is None:
            return False
        place = max(0, start - self.frame)
        dry[place : place + len(sound)] += sound
        if ROOM_SENDS[role]:
            send[place : place + len(sound)] += sound * np.float32(ROOM_SENDS[role])
        return True


class FrameClock:
    """Which frame sounds when: a line through what the device says of its blocks.

    The device's crystal is not the computer's: the line's offset follows slowly, so that notes stay where the player
    puts them and nothing is ever resampled or skipped for it.
    """

    _GAIN: Final = 0.02
    _LEAP_NS: Final = 5_000_000

    def __init__(self, sample_rate: int) -> None:
        """Nothing heard yet."""
        self._rate = sample_rate
        self._offset_ns: float | None = None

    @property
    def known(self) -> bool:
        """Whether the device has spoken."""
        return self._offset_ns is not None

    def told(self, frame: int, sounds_ns: int) -> None:
        """The device says that `frame` sounds at a moment of perf_counter_ns."""
        offset_ns = sounds_ns - frame * 1e9 / self._rate
        if self._offset_ns is None or abs(offset_ns - self._offset_ns) > self._LEAP_NS:
            self._offset_ns = offset_ns
        else:
            self._offset_ns += self._GAIN * (offset_ns - self._offset_ns)

    def frame_at_ns(self, moment_ns: int) -> int:
        """The frame that sounds at a moment; 0 before the device has spoken."""
        return 0 if self._offset_ns is None else round((moment_ns - self._offset_ns) * self._rate / 1e9)
