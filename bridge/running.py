"""Which bridge runs where: the lock and run.json of a session folder, and who holds a port.

run.json (contract section 5) tells others what runs; it is written beside and renamed, and goes away at the end. It may
be left over from a bridge that was killed, so whether one lives is told by a lock, which the system releases with its
process.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import time
from pathlib import Path
from typing import IO, Any, Final

from bridge import whole_file
from bridge.addresses import near, resolve
from bridge.file_lock import try_lock

#: An OSC message without arguments: `/bridge/ping`, padded to a multiple of four, and an empty type tag string.
_PING: Final = b"/bridge/ping\0\0\0\0,\0\0\0"
_PONG: Final = b"/bridge/pong\0"
_PING_TIMEOUT_S: Final = 0.5  # a bridge answers in a few ms; on a machine that is overloaded it may take some more
_LEFTOVER_S: Final = 3.0  # processes of a killed supervisor end within STOP_TIMEOUT_S; they hold the port until then


class AlreadyRunningError(RuntimeError):
    """The port or the session folder is somebody else's; the message names who, as far as that can be told."""


class AddressError(ValueError):
    """An address that this machine does not have, or a port that it does not give us; the message begins with the key
    of the config that says so.
    """


class SessionLock:
    """A session folder taken by this process, and its run.json."""

    def __init__(self, folder: Path) -> None:
        """Take `folder`, making it where it is missing.

        Raises:
            AlreadyRunningError: a living bridge has it.
            OSError: it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._run_file = folder / "run.json"
        self._lock: IO[str] = (folder / "run.lock").open("a+", encoding="utf-8")
        if not try_lock(self._lock):
            self._lock.close()
            raise AlreadyRunningError(f"session.folder = {folder}: {_who_runs(self._run_file)} is at work there")
        #: What a bridge that was killed left behind; its processes may still be ending.
        self.leftover = self._run_file.exists()
        self._run_file.unlink(missing_ok=True)

    def write(self, running: dict[str, int | str | None]) -> None:
        """Say in run.json what runs now: written beside and renamed, so that a reader never sees half of it."""
        whole_file.write(self._run_file, json.dumps(running, indent=1) + "\n")

    def release(self) -> None:
        """Remove run.json and let others have the folder."""
        self._run_file.unlink(missing_ok=True)
        self._lock.close()


def folder_holder(folder: Path) -> str | None:
    """The living bridge that has a session folder, in words; None where nobody has. Changes nothing.

    Raises:
        OSError: its lock cannot be opened.
    """
    if not (folder / "run.lock").exists():
        return None
    with (folder / "run.lock").open("a+", encoding="utf-8") as lock:
        return None if try_lock(lock) else _who_runs(folder / "run.json")


def processes_of(folder: Path) -> list[tuple[str, int]]:
    """Role and process id of all that works in a session folder; empty where no bridge does. Changes nothing.

    Raises:
        OSError: its lock cannot be opened.
    """
    if folder_holder(folder) is None:
        return []
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return [(role, pid) for role, pid in told.items() if isinstance(pid, int)]
    except (OSError, ValueError, AttributeError):
        return []  # it is just starting


def _who_runs(run_file: Path) -> str:
    try:
        told: Any = json.loads(run_file.read_text(encoding="utf-8"))
        return f"another Barline (process {told['supervisor']}, OSC {told['osc']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another Barline, just starting,"


def claim_port(host: str, port: int, *, leftover: bool) -> None:
    """See that a UDP port can be had; with `leftover`, wait for the processes of a killed bridge to let go of it.

    Raises:
        AlreadyRunningError: it is taken; names the bridge that has it, if it is one.
        AddressError: no such address on this machine.
    """
    patience_ends = time.monotonic() + (_LEFTOVER_S if leftover else 0.0)
    while not can_bind(host, port):
        if time.monotonic() >= patience_ends:
            raise AlreadyRunningError(f"osc.port = {port}: {port_holder(host, port)} has {host}:{port} (UDP)")
        time.sleep(0.05)


def can_bind(host: str, port: int) -> bool:
    """Whether a UDP port can be had for OSC, found out by taking it for a moment; port 0 always can.

    Raises:
        AddressError: no such address on this machine, or a port that only others may have.
    """
    try:
        family, kind, protocol, place = resolve(host, port, socket.SOCK_DGRAM)
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(place)
    except PermissionError as fault:
        why = f"osc.port = {port} is not ours to take ({fault.strerror}); expected 1024 or above"
        raise AddressError(why) from fault
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            return False
        why = f"osc.host = {host} is not an address of this machine ({fault.strerror or fault}); expected one that is"
        raise AddressError(f"{why}, as 127.0.0.1") from fault
    return True


def port_holder(host: str, port: int) -> str:
    """Who has a UDP port, in words: a Barline (with its process, where the system tells), or another program."""
    if not is_bridge(host, port):
        return "another program"
    holder = _process_on_port(port)
    return f"another Barline (process {holder})" if holder else "another Barline"


def is_bridge(host: str, port: int) -> bool:
    """Whether a bridge answers on a UDP port of this machine."""
    with contextlib.suppress(OSError):
        family, kind, protocol, place = resolve(near(host), port, socket.SOCK_DGRAM)
        with socket.socket(family, kind, protocol) as probe:
            probe.settimeout(_PING_TIMEOUT_S)
            probe.connect(place)
            probe.send(_PING)
            return probe.recv(256).startswith(_PONG)
    return False


def _process_on_port(port: int) -> int | None:
    """The process that has a UDP port; None where the system does not tell (Linux does, of our own processes)."""
    inodes = set()
    for table in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
            inodes |= {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return _supervisor_of(int(process.name))
    return None


def _supervisor_of(pid: int) -> int:
    """The process to end if one wants to end a bridge: the parent of the one that has the port."""
    with contextlib.suppress(OSError, ValueError):
        if "bridge.main" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace"):
            return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return pid
