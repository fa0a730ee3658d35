"""The preview process: hears what the player does, renders it ahead of the device, and counts what came too late.

The device's callback only copies blocks that lie ready; this loop keeps a few of them ready. Everything sounds by the
same short time after the ports, so that nothing has to be known beforehand and mutes, swaps and stops are heard as
they are played. Without PortAudio, or without a device, it says so, tries again now and then, and harms nothing.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from bridge.preview import wire
from bridge.preview.live import BLOCK_FRAMES, FrameClock, LiveVoice
from bridge.preview.synth import Audio

log = logging.getLogger(__name__)

READY_BLOCKS: Final = 4
_WAIT_S: Final = 0.005  # half a block
_SPARE_NS: Final = 12_000_000  # from the player's send to the block it belongs to
_TRY_AGAIN_S: Final = 3.0
_TOLD_EVERY_S: Final = 30.0
_SETTLE_BLOCKS: Final = 8


class Stream:
    """One run of a device: a queue of blocks that its callback empties, and what it says of time."""

    def __init__(self, sample_rate: int, open_device: Callable[[Callable[..., None]], Any]) -> None:
        """Open and start the device.

        Raises:
            OSError: it cannot be had.
        """
        self.voice = LiveVoice(sample_rate)
        self.clock = FrameClock(sample_rate)
        self.underruns = 0
        self.delay_ns = 0
        self._ready_ns = round(READY_BLOCKS * BLOCK_FRAMES * 1e9 / sample_rate)
        self._ready: collections.deque[Audio] = collections.deque()
        self._played = 0
        self._seen: list[int] = []
        self.fill()
        self._device = open_device(self._called)
        self._device.start()

    @property
    def active(self) -> bool:
        """Whether the device still asks for sound."""
        return bool(self._device.active)

    def fill(self) -> None:
        """Render until enough lies ready."""
        while len(self._ready) < READY_BLOCKS:
            self._ready.append(self.voice.block())

    def close(self) -> None:
        """Let the device go."""
        self._device.close()

    def _called(self, out: Any, frames: int, times: Any, status: Any) -> None:
        """The device's callback, on a thread of PortAudio's: copies, notes the time, and nothing else."""
        now_ns = time.perf_counter_ns()
        ahead_ns = max(0, round((times.outputBufferDacTime - times.currentTime) * 1e9))
        try:
            out[:] = self._ready.popleft()
        except IndexError:
            out.fill(0.0)
            self.underruns += 1
            return
        self.underruns += bool(status.output_underflow)
        self.clock.told(self._played, now_ns + ahead_ns)
        self._played += frames
        if len(self._seen) < _SETTLE_BLOCKS:
            self._seen.append(ahead_ns)
            self.delay_ns = max(self._seen) + self._ready_ns + _SPARE_NS


class Preview:
    """The process's loop."""

    def __init__(self, init: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        """`init` is the supervisor's first line; `say` tells it something.

        Raises:
            KeyError, ValueError: not what the supervisor makes.
        """
        self._token = bytes.fromhex(init["token"])
        self._device_name: str | int | None = init["device"]
        self._say = say
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._stream: Stream | None = None
        self._try_at_s = 0.0
        self._told = ""
        self._told_s = 0.0
        self._ended = threading.Event()

    @property
    def port(self) -> int:
        """Where the player's datagrams are awaited."""
        return int(self._socket.getsockname()[1])

    def run(self) -> None:
        """Play until standard input ends."""
        threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()
        while not self._ended.is_set():
            readable, _, _ = select.select([self._socket], [], [], _WAIT_S if self._stream else _TRY_AGAIN_S / 10)
            self._keep_stream()
            if readable:
                self._hear()
            if self._stream is not None:
                self._stream.fill()
            self._count()
        if self._stream is not None:
            self._stream.close()

    def _watch_lifeline(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._ended.set()

    def _hear(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as fault:  # Windows tells of a peer that is gone
                log.info("%s", fault)
                return
            sounded = wire.unpack(self._token, datagram)
            stream = self._stream
            if sounded is None or stream is None or not stream.clock.known:
                continue
            frame = stream.clock.frame_at_ns(sounded.intended_ns + stream.delay_ns)
            if sounded.kind == "strike":
                stream.voice.strike(frame, sounded.role, sounded.pitch, sounded.velocity)
            elif sounded.kind == "release":
                stream.voice.release(frame, sounded.role, sounded.pitch)
            else:
                stream.voice.silence(frame, sounded.role)

    def _keep_stream(self) -> None:
        """Open the device; open it again when it has gone."""
        if self._stream is not None and not self._stream.active:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._stream = None
            self._tell("the preview's audio device has gone; trying again")
        if self._stream is not None or time.monotonic() < self._try_at_s:
            return
        self._try_at_s = time.monotonic() + _TRY_AGAIN_S
        try:
            self._stream = self._opened()
        except (OSError, ValueError) as fault:
            self._tell(f"no preview voice: {fault} (audio.device = {self._device_name}); the notes go out all the same")

    def _opened(self) -> Stream:
        """The device, playing.

        Raises:
            OSError, ValueError: PortAudio or the device is missing.
        """
        try:
            import sounddevice  # raises OSError where the PortAudio library is missing
        except OSError as fault:
            raise OSError(f"{fault}; on Debian and Ubuntu: sudo apt install libportaudio2") from fault
        sounddevice._terminate()  # noqa: SLF001 - the only way to have PortAudio look at its devices anew
        sounddevice._initialize()  # noqa: SLF001
        try:
            found = sounddevice.query_devices(self._device_name, "output")
            rate = round(found["default_samplerate"])  # a JACK server has only the one
            stream = Stream(
                rate,
                lambda called: sounddevice.OutputStream(
                    samplerate=rate, blocksize=BLOCK_FRAMES, device=self._device_name, channels=2, dtype=np.float32,
                    callback=called,
                ),
            )  # fmt: skip
        except sounddevice.PortAudioError as fault:
            raise OSError(str(fault)) from fault
        self._tell(f"preview voice on {found['name']}, {rate} Hz")
        return stream

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._say({"say": line})

    def _count(self) -> None:
        """Tell of underruns, seldom, and only of new ones."""
        stream, now_s = self._stream, time.monotonic()
        if stream is None or now_s - self._told_s < _TOLD_EVERY_S:
            return
        self._told_s = now_s
        late, stream.voice.late = stream.voice.late, 0
        new, stream.underruns = stream.underruns, 0
        if new > 0 or late > 0:
            log.info("in the last %d s: %d underruns, %d notes too late for their block", _TOLD_EVERY_S, new, late)
