"""run_bridge.py with real venvs and a real pip, on a small checkout whose one package is a wheel made here."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: The Python under the venv that the tests run in: one without our packages.
STOCK_PYTHON = getattr(sys, "_base_executable", sys.executable)

PYPROJECT = """
[project]
name = "small"
dependencies = ["tiny-dep==1.0.*"]
[project.optional-dependencies]
test = ["tiny-extra>=2,<3"]
"""
CLI = """
import json, sys
def main(arguments):
    import tiny_dep
    print(json.dumps({"arguments": arguments, "prefix": sys.prefix, "extra": has("tiny_extra")}))
    return 7
def has(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
"""


def make_wheel(folder: Path, name: str, version: str) -> None:
    """A wheel with one empty module."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


class Checkout:
    """A checkout in miniature, whose packages come from a folder of wheels and from nowhere else."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.wheels = root / "wheels"
        self.wheels.mkdir()
        (self.root / "bridge").mkdir(parents=True)
        (self.root / "bridge" / "__init__.py").touch()
        (self.root / "bridge" / "cli.py").write_text(CLI)
        (self.root / "pyproject.toml").write_text(PYPROJECT)
        shutil.copy(ROOT / "run_bridge.py", self.root)

    def command(self, *arguments: str) -> list[str]:
        return [STOCK_PYTHON, str(self.root / "run_bridge.py"), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        ours = ("PIP_", "PYTHON", "VIRTUAL_ENV")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return {**clean, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull, **more}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            env=self.environment(**environment),
            cwd=self.root.parent,
            check=False,
        )


@pytest.fixture(scope="module", autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """As at a terminal: what a shell starts in the background would ignore it, and so would all that we start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@dataclasses.dataclass
class FirstRuns:
    """A checkout's first runs: one when there were no packages to be had, then two at once."""

    checkout: Checkout
    failed: subprocess.CompletedProcess[str]
    both: list[tuple[int, str, str]]


@pytest.fixture(scope="module")
def first_runs(tmp_path_factory: pytest.TempPathFactory) -> FirstRuns:
    """Making a venv takes seconds, so these runs are shared by the tests that look at them from different sides."""
    checkout = Checkout(tmp_path_factory.mktemp("first_runs"))
    failed = checkout.run("demo")
    make_wheel(checkout.wheels, "tiny-dep", "1.0.3")
    make_wheel(checkout.wheels, "tiny-extra", "2.5")
    environment = checkout.environment()
    both = [
        subprocess.Popen(
            checkout.command("models", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=100) for process in both]
    ended = [(process.returncode, *words) for process, words in zip(both, told, strict=True)]
    return FirstRuns(checkout, failed, ended)


@pytest.fixture(scope="module")
def front_door() -> ModuleType:
    """run_bridge.py as a module."""
    spec = importlib.util.spec_from_file_location("run_bridge", ROOT / "run_bridge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_packages_to_be_had_it_says_so_in_one_line(first_runs: FirstRuns) -> None:
    failed = first_runs.failed
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "Traceback" not in failed.stderr
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith("barline: set-up stopped: ")
    assert "tiny-dep" in last


def test_an_interrupted_set_up_is_begun_again_once_though_two_ask_for_it(first_runs: FirstRuns) -> None:
    assert [code for code, _, _ in first_runs.both] == [7, 7], first_runs.both
    told = [stderr for _, _, stderr in first_runs.both]
    assert sum("interrupted; beginning again" in one for one in told) == 1
    assert sum("setting up .venv, once" in one for one in told) == 1
    assert sum("fetching tiny_dep" in one for one in told) == 1
    assert sum("another set-up is at work" in one for one in told) == 1


def test_the_command_runs_in_the_venv_with_stdout_to_itself(first_runs: FirstRuns) -> None:
    for _, stdout, _ in first_runs.both:
        told = json.loads(stdout)
        assert told["arguments"] == ["models", "--json"]
        assert Path(told["prefix"]) == first_runs.checkout.root / ".venv"


def test_later_runs_go_straight_on_and_extras_come_at_their_first_use(first_runs: FirstRuns) -> None:
    checkout = first_runs.checkout
    later = checkout.run("--set", "osc.port=1", "start")
    assert (later.returncode, later.stderr) == (7, "")
    assert not json.loads(later.stdout)["extra"]
    test = checkout.run("--config", "x", "test", "-k", "name")
    assert json.loads(test.stdout)["extra"], test.stderr
    assert "fetching tiny_extra" in test.stderr
    assert checkout.run("test").stderr == ""
    unknown = checkout.run("setup", "tset")
    assert unknown.returncode == 1
    assert "no extra called tset; there is test" in unknown.stderr


def test_changed_requirements_are_brought_in(first_runs: FirstRuns) -> None:
    checkout = first_runs.checkout
    make_wheel(checkout.wheels, "tiny-dep", "1.2")
    (checkout.root / "pyproject.toml").write_text(PYPROJECT.replace("==1.0.*", ">=1.1"))
    try:
        changed = checkout.run("setup")
        assert changed.returncode == 0
        assert "fetching tiny_dep-1.2" in changed.stderr
        assert checkout.run("start").stderr == ""
    finally:
        (checkout.root / "pyproject.toml").write_text(PYPROJECT)


def test_a_python_without_venv_is_told_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")
    refused = checkout.run("demo", PYTHONPATH=str(hiding))
    assert refused.returncode == 1
    assert re.fullmatch(r"barline: this Python 3\.1[12] comes without venv: .*python3\.1[12]-venv.*\n", refused.stderr)
    assert not (checkout.root / ".venv").exists()


def test_a_python_that_has_the_packages_is_used_as_it_is(checkout: Checkout, tmp_path: Path) -> None:
    make_wheel(checkout.wheels, "tiny-dep", "1.0")
    with zipfile.ZipFile(next(checkout.wheels.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    told = checkout.run("models", PYTHONPATH=str(tmp_path / "site"))
    assert told.returncode == 7
    assert told.stderr == ""
    assert not (checkout.root / ".venv").exists()


def test_help_needs_no_set_up() -> None:
    told = subprocess.run(
        [STOCK_PYTHON, "-S", str(ROOT / "run_bridge.py"), "--help"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "run the bridge until Ctrl-C" in told.stdout
    assert told.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="needs signals that a process can send to itself")
@pytest.mark.parametrize("imported", ["tomllib.py", "bridge/cli.py"])
def test_ctrl_c_while_all_is_being_imported_ends_it_quietly(checkout: Checkout, tmp_path: Path, imported: str) -> None:
    make_wheel(checkout.wheels, "tiny-dep", "1.0")
    with zipfile.ZipFile(next(checkout.wheels.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    (checkout.root / imported).write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    told = checkout.run("start", PYTHONPATH=str(tmp_path / "site"))
    assert (told.returncode, told.stdout, told.stderr) == (130, "", "")


@pytest.mark.skipif(os.name == "nt", reason="needs exec")
def test_ctrl_c_between_two_pythons_waits_for_the_second_and_ends_it_quietly(
    front_door: ModuleType, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked: list[bool] = []

    def in_its_place(*_command: object) -> None:
        blocked.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT}))
        raise SystemExit  # an exec does not come back

    monkeypatch.setattr(os, "execv", in_its_place)
    with pytest.raises(SystemExit):
        front_door.go_on_in_venv(["start"])
    assert blocked == [True]

    def pressed() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)

    command, environment = checkout.command("start"), checkout.environment()
    told = subprocess.run(command, capture_output=True, env=environment, preexec_fn=pressed, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (130, b"", b"")


@pytest.mark.parametrize(
    ("version", "clauses", "right"),
    [
        ("2.13.0+cpu", "==2.13.*", True),
        ("2.13", "==2.13.*", True),
        ("2.14.1", "==2.13.*", False),
        ("2.1", "==2.13.*", False),
        ("1.26.4", ">=2.0,<3", False),
        ("2.0", ">=2.0,<3", True),
        ("2.4.6", ">=2.0,<3", True),
        ("3.0.0", ">=2.0,<3", False),
        ("10.0", ">=9,<11", True),
        ("odd", ">=1", False),
    ],
)
def test_versions_are_compared_as_numbers(front_door: ModuleType, version: str, clauses: str, right: bool) -> None:
    assert front_door.meets(version, clauses) is right


def test_every_requirement_of_ours_is_one_that_the_front_door_can_read(front_door: ModuleType) -> None:
    requirements = front_door.wanted_requirements(["test", "dev"])
    assert front_door.missing_from([], requirements) == [line for lines in requirements.values() for line in lines]
    assert "torch==2.13.*" in requirements[""]
    assert not front_door.missing_from(sys.path, {"": requirements[""], "test": requirements["test"]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "test", "demo"], ["demo"]),
        (["demo", "--out", "test"], ["demo", "test"]),
        (["--json", "models"], ["models"]),
        ([], []),
    ],
)
def test_the_command_is_found_among_the_options(front_door: ModuleType, arguments: list[str], words: list[str]) -> None:
    assert front_door.command_words(arguments) == words


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Collecting torch==2.13.* (from x)\n", "  fetching torch"),
        ("  Downloading https://h/p/torch-2.13.0-cp311-none-any.whl.metadata (28 kB)\n", ""),
        ("  Downloading torch-2.13.0-cp311-none-any.whl (191.4 MB)\n", "  downloading torch-2.13.0, 191.4 MB"),
        ("Installing collected packages: a, b, c\n", "  installing: a, b, c"),
        ("Processing /opt/wheels/a_b-1.0+cpu-cp311-none-any.whl\n", "  fetching a_b-1.0+cpu"),
        ("WARNING: something\n", ""),
    ],
)
def test_what_pip_says_is_told_in_plain_words(front_door: ModuleType, line: str, told: str) -> None:
    assert front_door.progress_of(line) == told
