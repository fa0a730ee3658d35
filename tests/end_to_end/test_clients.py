"""Programs of others as clients: Pure Data, Max's sibling, which sends every number as a float; and liblo's tools."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from needs import need
from whole_bridge import PATIENCE_S, eventually, rows, subscribed

from bridge.hosted import HostedBridge

PATCH = Path(__file__).with_name("barline.pd")


class Client:
    """A program that prints what it gets, until it is ended."""

    def __init__(self, *command: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(line.rstrip() for line in iter(self._process.stdout.readline, ""))

    def wait_for(self, *start: str) -> list[str]:
        """The words after `start` in the first line that has it, however the program decorates its lines."""

        def found() -> tuple[list[str]] | None:
            for words in (line.split() for line in list(self.lines)):
                for at in range(len(words)):
                    if tuple(words[at : at + len(start)]) == start:
                        return (words[at + len(start) :],)
            return None

        return list(eventually(found, what=f"{start} did not come")[0])

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._thread.join(5.0)
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_a_pure_data_patch_gets_its_two_bars(bridge: HostedBridge) -> None:
    port = f"bridge-port {bridge.osc[1]}"
    with subscribed(bridge) as user:
        user.send("/clock/stop")
        user.settle()
    pd = Client(need("pd"), "-nogui", "-noaudio", "-nomidi", "-stderr", "-send", port, "-open", str(PATCH))
    try:
        assert pd.wait_for("bridge", "welcome")[1] == "3"
        assert pd.wait_for("bridge", "ready") == ["1"]
        number, count, start, bars = pd.wait_for("melody", "bars", "begin")
        assert (start, bars) == ("-1", "2"), "the clock stands"
        notes = rows([float(word) for word in pd.wait_for("melody", "bars", "notes", number)])
        assert len(notes) == min(int(count), 30)
        assert all(0 <= note.pitch <= 127 and 0 <= note.start < 8 for note in notes)
        assert float(pd.wait_for("melody", "bars", "end", number)[0]) > 0
        pd.wait_for("bridge", "heartbeat")
        assert not [line for line in pd.lines if "error" in line]
    finally:
        pd.end()


def test_oscsend_asks_and_oscdump_hears(bridge: HostedBridge, free_udp_port: int) -> None:
    oscsend = need("oscsend")

    def send(*request: str) -> None:
        host, port = bridge.osc
        subprocess.run([oscsend, host, str(port), *request], check=True, timeout=PATIENCE_S)

    dump = Client(need("oscdump"), "-L", str(free_udp_port))
    try:
        eventually(lambda: is_bound(free_udp_port))
        send("/bridge/subscribe", "i", str(free_udp_port))
        dump.wait_for("/bridge/welcome")
        for numbers in (("i", "2"), ("f", "2.0"), ("d", "2.0"), ("h", "2")):
            dump.lines.clear()
            send("/drums/next", *numbers)
            kinds, number, count, _, bars = dump.wait_for("/drums/bars/begin")
            assert (kinds, bars) == ("iifi", "2")
            if int(count):
                assert dump.wait_for("/drums/bars/notes")[1] == number
            assert dump.wait_for("/drums/bars/end")[:2] == ["if", number]
        send("/melody/next", "s", "two")  # its sender has gone before the error comes
        send("/melody/mute", "T")
        with subscribed(bridge) as user:
            assert user.state("melody")["muted"] == 1
    finally:
        dump.end()


def is_bound(port: int) -> bool:
    tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("udp", "udp6")]
    return any(f":{port:04X} " in row.split("rem_address")[-1] for table in tables for row in table.splitlines())
