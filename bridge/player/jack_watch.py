"""A tiny JACK client that only looks: has the server died, is a port still there, is somebody connected to it.

RtMidi tells none of this; and it connects the input to a port that comes later. It goes through the very libjack that
RtMidi has loaded (the wheel carries its own), because two copies in one process would each have a state of their own.
Only `connect` asks the server anything: else libjack answers from shared memory in microseconds, so the player's loop
may call it. It never starts a server.
"""

from __future__ import annotations

import ctypes
import errno
import pathlib
from typing import Any, Final

_NO_START_SERVER: Final = 1
_IS_OUTPUT: Final = 2
_MIDI_TYPE: Final = b"8 bit raw midi"
_TEXT_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_SHUTDOWN_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _loaded_library() -> str:
    """The path of the libjack that this process has mapped already, else its usual name."""
    maps = pathlib.Path("/proc/self/maps")
    listing = maps.read_text(encoding="utf-8", errors="replace") if maps.exists() else ""
    for line in listing.splitlines():
        path = line[line.find("/") :] if "/" in line else ""
        if "libjack" in path:
            return path
    return "libjack.so.0"


def _library() -> Any:
    """The JACK library, silent, with the functions that are used here declared.

    Raises:
        OSError: there is none.
    """
    library: Any = ctypes.CDLL(_loaded_library())
    # libjack calls back on threads of its own, while RtMidi may hold Python's lock and wait for that very thread: a
    # callback in Python would be a deadlock. So these are functions of the C library: `labs` does nothing with its
    # argument, and `time` writes a number that is not 0 where its argument points.
    c_library = ctypes.CDLL(None)
    ignore = _TEXT_CALLBACK(("labs", c_library))
    library.write_time = _SHUTDOWN_CALLBACK(("time", c_library))
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.jack_client_open.restype = pointer
    library.jack_client_open.argtypes = [text, ctypes.c_int, pointer]
    library.jack_client_close.argtypes = [pointer]
    library.jack_on_shutdown.argtypes = [pointer, _SHUTDOWN_CALLBACK, pointer]
    library.jack_port_by_name.restype = pointer
    library.jack_port_by_name.argtypes = [pointer, text]
    library.jack_port_get_all_connections.restype = ctypes.POINTER(text)
    library.jack_port_get_all_connections.argtypes = [pointer, pointer]
    library.jack_free.argtypes = [pointer]
    library.jack_get_ports.restype = ctypes.POINTER(text)
    library.jack_get_ports.argtypes = [pointer, text, text, ctypes.c_ulong]
    library.jack_connect.argtypes = [pointer, text, text]
    library.jack_get_buffer_size.argtypes = [pointer]
    library.jack_get_sample_rate.argtypes = [pointer]
    library.jack_set_error_function(ignore)
    library.jack_set_info_function(ignore)
    return library


class JackWatch:
    """One looking client; when it is no longer `alive`, make a new one."""

    def __init__(self, name: str) -> None:
        """Connect to the running server.

        Raises:
            OSError: no libjack, or no server runs.
        """
        self._library = _library()
        status = ctypes.c_int()
        self._client = self._library.jack_client_open(name.encode(), _NO_START_SERVER, ctypes.byref(status))
        if not self._client:
            raise OSError("no JACK server runs")
        self._ended = ctypes.c_int64(0)
        self._library.jack_on_shutdown(self._client, self._library.write_time, ctypes.byref(self._ended))

    @property
    def alive(self) -> bool:
        """False once the server has ended."""
        return self._ended.value == 0

    def has_port(self, name: str) -> bool:
        """Whether a port of that full name ("client:port") exists."""
        return self.alive and bool(self._library.jack_port_by_name(self._client, name.encode()))

    def connections(self, name: str) -> int:
        """How many ports are connected to a port; 0 where it does not exist."""
        port = self._library.jack_port_by_name(self._client, name.encode()) if self.alive else None
        names = self._library.jack_port_get_all_connections(self._client, port) if port else None
        if not names:
            return 0
        count = 0
        while names[count] is not None:
            count += 1
        self._library.jack_free(names)
        return count

    def period_ms(self) -> float:
        """The length of the server's cycle: RtMidi stamps what comes in with the beginning of one."""
        rate = self._library.jack_get_sample_rate(self._client) if self.alive else 0
        return 1000.0 * self._library.jack_get_buffer_size(self._client) / rate if rate else 0.0

    def midi_sources(self) -> list[str]:
        """Full names of all ports that MIDI comes out of."""
        if not self.alive:
            return []
        names = self._library.jack_get_ports(self._client, None, _MIDI_TYPE, _IS_OUTPUT)
        found: list[str] = []
        while names and names[len(found)] is not None:
            found.append(names[len(found)].decode(errors="replace"))
        if names:
            self._library.jack_free(names)
        return found

    def connect(self, source: str, target: str) -> bool:
        """Connect two ports by their full names: whether they are. The server answers within a cycle or two."""
        if not self.alive:
            return False
        return self._library.jack_connect(self._client, source.encode(), target.encode()) in (0, errno.EEXIST)

    def close(self) -> None:
        """Leave the server; when that has died there is nothing to leave: libjack frees the client at its next open."""
        if self.alive:
            self._library.jack_client_close(self._client)
            self._ended.value = 1
