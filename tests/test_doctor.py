"""doctor on this machine as it is, and with things missing."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from bridge import doctor
from bridge.config_file import load
from bridge.model.nets import registry
from bridge.osc.encoder import encode
from bridge.running import SessionLock


def examined(tmp_path: Path, *sets: str) -> dict[str, Any]:
    return doctor.examine(load(sets=["osc.port=0", *sets], folder=tmp_path))


def check(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["checks"] if one["name"] == name)


def test_this_machine_can_run_it_and_nothing_is_touched(tmp_path: Path) -> None:
    report = examined(tmp_path, "midi.backend=none")
    assert report["ok"], report
    assert set(report["checks"][0]) == {"name", "ok", "value", "advice", "essential"}
    names = [one["name"] for one in report["checks"]]
    assert names[:3] == ["Python", "PyTorch", "model melody-2bar"]
    assert names[-8:] == ["MIDI", "audio", "Ableton Link", "OSC port", "session folder", "memory", "clock", "timer"]
    assert all(bool(one["advice"]) != one["ok"] for one in report["checks"]), report
    assert not list(tmp_path.iterdir())


def test_memory_is_that_of_the_processes_that_work_in_the_folder(tmp_path: Path) -> None:
    settings = load(folder=tmp_path)
    assert "GB free; no bridge runs here" in doctor._memory(settings).value
    lock = SessionLock(settings.session_folder())
    assert "no bridge runs here" in doctor._memory(settings).value, "it is just starting"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    running = {"supervisor": os.getpid(), "bridge.engine": os.getpid(), "bridge.main": ended.pid}
    lock.write({**running, "osc": "127.0.0.1:9100"})
    found = doctor._memory(settings)
    lock.release()
    assert found.ok
    own_mb = psutil.Process().memory_info().rss / 1e6
    taken = re.fullmatch(r"supervisor (\d+) MB, engine (\d+) MB; [\d.]+ of [\d.]+ GB free", found.value)
    assert taken is not None, found.value
    assert all(abs(int(size) - own_mb) < 20 for size in taken.groups())


def test_a_port_that_another_program_has_is_fatal(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        report = examined(tmp_path, f"osc.port={port}", "midi.backend=none")
    found = check(report, "OSC port")
    assert not report["ok"]
    assert not found["ok"]
    assert found["value"] == f"another program has 127.0.0.1:{port}"
    assert "osc.port" in found["advice"]


def test_an_address_of_another_machine_is_fatal(tmp_path: Path) -> None:
    settings = load(sets=["osc.host=192.0.2.1"], folder=tmp_path)
    found = doctor._osc(settings)
    assert not found.ok
    assert "192.0.2.1" in found.value
    assert found.advice == "set osc.host to 127.0.0.1"


def test_a_port_that_only_others_may_have_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_socket: socket.socket, _place: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    found = doctor._osc(load(sets=["osc.port=80"], folder=tmp_path))
    assert not found.ok
    assert found.value.startswith("osc.port = 80 ")
    assert found.advice == "set osc.port to 9100"


def test_a_folder_in_use_is_well_and_says_who(tmp_path: Path) -> None:
    lock = SessionLock(tmp_path / "sessions")
    lock.write({"supervisor": 4711, "osc": "127.0.0.1:9100"})
    found = doctor._session(load(folder=tmp_path))
    assert found.ok
    assert "process 4711" in found.value
    lock.release()


def test_a_folder_that_is_a_file_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("in the way")
    found = doctor._session(load(folder=tmp_path))
    assert (found.ok, found.essential) == (False, True)
    assert "session.folder" in found.advice


def test_a_missing_model_is_told_and_fatal_only_if_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "trio-16bar").mkdir(parents=True)
    sets = ["voices={a: {}, b: {model: trio-16bar}}", "engine.own_models=own"]
    one_of_two = doctor._models(load(sets=sets, folder=tmp_path))
    assert [found.ok for found in one_of_two] == [True, False]
    assert not any(found.essential for found in one_of_two)
    assert "voice b" in one_of_two[1].advice
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path)
    none = doctor._models(load(folder=tmp_path))
    assert [(found.ok, found.essential) for found in none] == [(False, True)] * 3


def test_changed_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = registry.models_folder() / "melody-2bar"
    copy = tmp_path / "models" / "melody-2bar"
    copy.mkdir(parents=True)
    for file in ("card.json", "weights.safetensors"):
        (copy / file).write_bytes((source / file).read_bytes())
    weights = bytearray((copy / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(weights)
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path / "models")
    found = doctor._models(load(sets=["voices={a: {}}"], folder=tmp_path))[0]
    assert not found.ok
    assert "sha256" in found.value


def test_midi_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    found = doctor._midi(load(sets=["midi.backend=winmm"], folder=tmp_path))
    assert found.ok is (doctor.sys.platform == "win32")
    assert found.ok or found.advice
    assert not found.essential


def test_link_that_is_asked_for_and_missing_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.timing.link.installed", lambda: False)
    for wanted in ("clock.source=link", "clock.link=true"):
        found = doctor._link(load(sets=[wanted], folder=tmp_path))
        assert (found.ok, found.essential) == (False, False)
        assert "run_bridge.py setup link" in found.advice
    found = doctor._link(load(folder=tmp_path))
    assert found.ok
    assert "not installed" in found.value


def test_a_device_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = doctor._torch(load(sets=["engine.device=mps"], folder=tmp_path))
    assert found.ok is (doctor.sys.platform == "darwin")
    assert "torch 2." in found.value


def test_an_audio_device_of_no_such_name_is_told(tmp_path: Path) -> None:
    found = doctor._audio(load(sets=["audio.device=no such thing"], folder=tmp_path))
    assert not found.ok
    assert "preview voice" in found.advice


@pytest.mark.parametrize(("error_ms", "well"), [(1.25, True), (35.0, False)])
def test_a_running_bridge_is_asked_how_well_it_follows(tmp_path: Path, error_ms: float, well: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bridge:
        bridge.bind(("127.0.0.1", 0))

        def answer() -> None:
            while (received := bridge.recvfrom(1024))[0]:
                told: dict[bytes, bytes] = {
                    b"/bridge/ping": encode("/bridge/pong", (0, "1", 1.0, 1)),
                    b"/bridge/state": encode("/clock/state", ("midi", 1, 120.0, 4.5, 4, 4, error_ms)),
                }
                bridge.sendto(told[received[0].split(b"\0")[0]], received[1])

        answering = threading.Thread(target=answer)
        answering.start()
        found = doctor._clock(load(sets=[f"osc.port={bridge.getsockname()[1]}"], folder=tmp_path))
        bridge.sendto(b"", bridge.getsockname())
        answering.join()
    assert found.ok is well
    assert found.value.startswith("midi, 120.0 BPM, playing, phase error")
    assert bool(found.advice) is not well
