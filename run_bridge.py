#!/usr/bin/env python3
"""Barline's front door: needs nothing but a stock Python 3.11 or 3.12.

Where the packages of pyproject.toml are missing it makes `.venv` beside itself (once, marked finished only when it is)
and goes on in there; then it hands over to `bridge.cli`. One command is its own: `run_bridge.py setup [EXTRA ...]`
makes the set-up and nothing else. This file is kept readable to older Pythons, so that they get a sentence and not a
syntax error.
"""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130  # what a shell reports of a program ended by Ctrl-C

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # nothing is begun yet that would have to be closed
    if os.name != "nt":  # a Ctrl-C that came while `go_on_in_venv` put this Python in the place of another
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

if sys.version_info[:2] not in ((3, 11), (3, 12)):
    sys.exit(
        "barline: this is Python {}.{} ({}); Python 3.11 or 3.12 is needed: run it with `python3.11 run_bridge.py` or "
        "`python3.12 run_bridge.py` (from python.org or your system's packages)".format(
            *sys.version_info[:2], sys.executable
        )
    )

import tomllib

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
FINISHED = VENV / "barline-setup.json"  # what was installed: {extra or "": hash of its requirements}
BEGUN = VENV / "barline-setup-begun"  # there while we are at it: a set-up that left it behind was interrupted
LOG = VENV / "barline-setup.log"
NEEDS_NOTHING = ("-h", "--help", "--version")

Requirements = dict[str, list[str]]


class SetupError(Exception):
    """The set-up cannot be made; the message is one line for the user."""


def wanted_requirements(extras: list[str]) -> Requirements:
    """The requirement lists of pyproject.toml by extra, `""` being those of the program itself."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    optional = project["optional-dependencies"]
    unknown = [extra for extra in extras if extra not in optional]
    if unknown:
        raise SetupError(f"setup: no extra called {unknown[0]}; there is {', '.join(optional)}")
    return {"": project["dependencies"], **{extra: optional[extra] for extra in extras}}


def fingerprint(requirements: list[str]) -> str:
    """A hash that changes when the requirements do."""
    return hashlib.sha256(json.dumps(requirements).encode()).hexdigest()


def release_numbers(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` as (2, 13, 0)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in leading.group().split(".")) if leading else ()


def meets(version: str, clauses: str) -> bool:
    """Whether a version meets the clauses that pyproject.toml uses: `==X.Y.*`, `>=X` and `<X`, with commas between."""
    have = release_numbers(version)
    for clause in clauses.split(","):
        operator, wanted = re.fullmatch(r"(==|>=|<)([\d.]+?)(?:\.\*)?", clause.strip()).groups()
        want = release_numbers(wanted)
        if operator == "==" and have[: len(want)] != want:
            return False
        if operator == ">=" and have < want:
            return False
        if operator == "<" and have >= want:
            return False
    return True


def missing_from(search_path: list[str], requirements: Requirements) -> list[str]:
    """The requirements that the packages found on `search_path` do not meet."""
    installed = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower(): found.version
        for found in importlib.metadata.distributions(path=search_path)
    }
    missing = []
    for requirement in (line for lines in requirements.values() for line in lines):
        name, clauses = re.fullmatch(r"([\w.-]+?)((?:==|>=|<).*)", requirement).groups()
        version = installed.get(name.lower())
        if version is None or not meets(version, clauses):
            missing.append(requirement)
    return missing


def venv_packages() -> list[str]:
    """The folders of .venv where packages are installed."""
    if os.name == "nt":
        return [str(VENV / "Lib" / "site-packages")]
    return [str(folder) for folder in VENV.glob("lib/python3.*/site-packages")]


def is_finished(requirements: Requirements) -> bool:
    """Whether .venv is marked as holding just these requirements."""
    try:
        marked = json.loads(FINISHED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    right = all(marked.get(extra) == fingerprint(lines) for extra, lines in requirements.items())
    return right and VENV_PYTHON.exists() and not BEGUN.exists()


def mark_finished(requirements: Requirements) -> None:
    """Write the mark beside and rename it, keeping the marks of other extras."""
    try:
        marked = json.loads(FINISHED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        marked = {}
    marked.update({extra: fingerprint(lines) for extra, lines in requirements.items()})
    beside = FINISHED.with_suffix(".tmp")
    beside.write_text(json.dumps(marked, indent=1) + "\n", encoding="utf-8")
    beside.replace(FINISHED)
    BEGUN.unlink(missing_ok=True)


@contextlib.contextmanager
def only_one():
    """Hold the set-up lock; a second set-up waits here for the first. The system lets go of it when a process dies."""
    try:
        lock = (ROOT / ".venv.lock").open("a+")
    except OSError as fault:
        why = f"cannot write in {ROOT} ({fault.strerror}): the packages are to be installed there, in .venv"
        raise SetupError(why) from fault
    with lock:
        told = False
        while not try_lock(lock):
            if not told:
                say("another set-up is at work here; waiting for it")
                told = True
            time.sleep(0.2)
        yield


def try_lock(file) -> bool:
    """Take the lock of an open file if it is free."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def say(text: str) -> None:
    """One line of progress, on stderr: stdout belongs to the command's own answer."""
    print(f"barline: {text}", file=sys.stderr, flush=True)


def set_up(requirements: Requirements) -> None:
    """Bring .venv to hold the requirements, unless it does by now; one process at a time.

    Raises:
        SetupError: it could not be done; the next run begins again.
    """
    with only_one():
        if is_finished(requirements):
            return
        if BEGUN.exists() or (VENV.exists() and not VENV_PYTHON.exists()):
            if Path(sys.prefix).resolve() == VENV.resolve():
                raise SetupError("the set-up of .venv was interrupted: run this with the system's Python")
            say("an earlier set-up was interrupted; beginning again")
            shutil.rmtree(VENV)
        if not VENV.exists():
            make_venv()
        missing = missing_from(venv_packages(), requirements)
        if missing:
            install(missing)
        mark_finished(requirements)
        if missing:
            say("set-up finished")


def make_venv() -> None:
    """An empty .venv of the running Python, marked as begun."""
    version = "{}.{}".format(*sys.version_info[:2])
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise SetupError(
            f"this Python {version} comes without venv: install the system package python{version}-venv (Debian and "
            f"Ubuntu: `sudo apt install python{version}-venv`; elsewhere a Python from python.org has it), then run "
            "this again"
        )
    say("first run: setting up .venv, once. PyTorch is large: this takes some minutes and 1 to 2 GB of disk")
    VENV.mkdir()
    BEGUN.touch()
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        raise SetupError(f"python -m venv {VENV} failed: {last_line(made.stdout + made.stderr)}")


def install(requirements: list[str]) -> None:
    """Install with the pip of .venv, telling each step in plain words; all that pip said is kept in .venv."""
    if FINISHED.exists():
        BEGUN.touch()  # ours, finished once and now to be changed: if this is interrupted, begin anew
    command = [str(VENV_PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *requirements]
    lines = []
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    with LOG.open("w", encoding="utf-8") as log, subprocess.Popen(command, **options) as pip:
        for line in pip.stdout:
            log.write(line)
            lines.append(line)
            told = progress_of(line)
            if told:
                say(told)
    if pip.returncode:
        offline = any("Retrying" in line or "establish a new connection" in line for line in lines)
        why = "the package index cannot be reached (no network?)" if offline else "pip could not install all packages"
        said = last_line("".join(lines), "ERROR")
        raise SetupError(f"set-up stopped: {why}. Mend that and run this again. (pip: {said}; more in {LOG})")


def progress_of(line: str) -> str:
    """What a line of pip's output means to the user; empty where it means nothing."""
    collecting = re.match(r"Collecting ([\w.-]+)|Processing \S*[/\\]([\w.]+-[\w.+]+)", line)
    if collecting:
        return f"  fetching {collecting[1] or collecting[2]}"
    size = re.search(r"Downloading \S*?([\w.]+-[\w.+]+?)-\S* \(([\d.]+ [MG]B)\)", line)
    if size:
        return f"  downloading {size.group(1)}, {size.group(2)}"
    if line.startswith("Installing collected packages:"):
        return "  installing: " + line.partition(":")[2].strip()
    return ""


def last_line(text: str, start: str = "") -> str:
    """The last line with anything on it, of those that begin with `start` if there are such."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(start)] or lines
    return marked[-1] if marked else "it said nothing"


def go_on_in_venv(arguments: list[str]) -> int:
    """Run this file again with .venv's Python: in this very process where the system can, else as a child."""
    command = [str(VENV_PYTHON), str(ROOT / "run_bridge.py"), *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until that Python has read its first lines
        os.execv(command[0], command)  # noqa: S606 - our own Python, our own file
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console tells the child too; it ends, and we pass on how
    return subprocess.run(command, check=False).returncode


def command_words(arguments: list[str]) -> list[str]:
    """The arguments without options: the command first, if one is named."""
    words = []
    skip = False
    for argument in arguments:
        if not (skip or argument.startswith("-")):
            words.append(argument)
        skip = argument in ("--config", "--set")
    return words


def prepare(words: list[str]) -> bool:
    """See to it that the packages a command needs are there; whether it is .venv, and not this Python, that has them.

    Raises:
        SetupError: they could not be installed.
    """
    extras = words[1:] if words[:1] == ["setup"] else [word for word in words[:1] if word == "test"]
    requirements = wanted_requirements(extras)
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    if inside and is_finished(requirements):
        return False
    if not missing_from(sys.path, requirements):
        return False
    if not is_finished(requirements):
        set_up(requirements)
    return not inside


def main(arguments: list[str]) -> int:
    """Make sure of the packages, then run the command; the exit code."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(arguments)
    except KeyboardInterrupt:  # before the command could see to it
        return INTERRUPTED


def run(arguments: list[str]) -> int:
    """What `main` does; Ctrl-C comes out of it as it is."""
    words = command_words(arguments)
    if not set(NEEDS_NOTHING) & set(arguments):
        try:
            elsewhere = prepare(words)
        except SetupError as fault:
            say(str(fault))
            return 1
        except KeyboardInterrupt:
            if BEGUN.exists():
                say("set-up interrupted; the next run begins it again")
            return INTERRUPTED
        if words[:1] == ["setup"]:
            return 0
        if elsewhere:
            return go_on_in_venv(arguments)
    sys.path.insert(0, str(ROOT))
    from bridge.cli import main as command

    return command(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
