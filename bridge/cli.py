"""The command line: one thin function per command of contract section 1.

What a command needs is imported inside it, so that `--help` costs no more than argparse. Exit codes: 0 done, 1 failed
while running, 2 bad input (one line a fault on stderr, nothing half-written), 3 the port, the session folder or
that of a training run is taken. This is the one module that prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.arguments import UsageError, in_one_line, parser_of_commands, shared_parser

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.file_options import FileOptions

BAD_INPUT: Final = 2
TAKEN: Final = 3
_BY_SIGNAL: Final = 128  # and its number is what a shell reports of a program that a signal has ended
#: How often a thread of torch's looks again for work before it sleeps: some 50 us of it. The 300,000 of libgomp (Linux)
#: last so long that on a core which somebody else needs too they take nearly all of the time: steps of `train` with two
#: threads on two cores, one of them taken, took 6.1 to 6.4 s, and so 0.3 to 0.7 s; with both cores free 3 to 5 % more.
_SPINS: Final = "4000"
_MOST_TEST_WORKERS: Final = 4  # more would only wait for one another: whole bridges and MIDI servers run in them


class _OneLine(logging.Formatter):
    """What is logged in one line each, whatever a file is called."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record without its traceback."""
        return in_one_line(super().formatMessage(record))


class _EndedError(KeyboardInterrupt):
    """A signal has come that is to end this process."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """Within, whoever ends this process, or closes its terminal, interrupts it as Ctrl-C does: a bridge that it has
    started for itself ends with it, and of what it writes nothing half-written is left.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no handler can be set elsewhere
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}

    def interrupt(number: int, _frame: object) -> None:
        raise _EndedError(number)

    for number, handler in before.items():
        if handler is signal.SIG_DFL:  # not one that nohup has told to be ignored
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stderr is None:  # closed by whoever started us: what is meant for it would come out on stdout
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as we live
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Windows console may not have every sign
    logged = logging.StreamHandler(sys.stderr)
    logged.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[logged])
    try:
        with _ended_as_interrupted():
            return _run(given)
    except KeyboardInterrupt as end:
        return _BY_SIGNAL + (end.number if isinstance(end, _EndedError) else signal.SIGINT)
    except BrokenPipeError:  # whoever read our output has enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the flush at exit
        return 1
    except (ValueError, RuntimeError, OSError) as fault:
        if "train" in given and {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            from bridge.model.training import ranks  # as `torchrun` has started us

            return ranks.failed_together(partial(_told, fault))
        return _told(fault)


def _told(fault: Exception) -> int:
    """Say what was wrong; the exit code. Raises it where it is a fault of the program."""
    # A type of our own says in its message what the user is to know.
    if not isinstance(fault, OSError) and not type(fault).__module__.startswith("bridge."):
        raise fault
    if isinstance(fault, UsageError):
        print(fault, file=sys.stderr)
        return BAD_INPUT
    for line in getattr(fault, "faults", (str(fault),)):
        print(f"barline: {in_one_line(line)}", file=sys.stderr)
    return _exit_code_of(fault)


def _exit_code_of(fault: Exception) -> int:
    if type(fault).__name__ in ("AlreadyRunningError", "FolderTakenError"):
        return TAKEN
    return BAD_INPUT if isinstance(fault, ValueError) else 1


def _share_cores() -> None:
    """Let the threads of torch, which is not loaded yet, leave their cores to others where they only wait, unless the
    user has said how they are to wait.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def _run(arguments: list[str]) -> int:
    _share_cores()
    shared = shared_parser()
    settings_given, rest = shared.parse_known_args(arguments)
    if rest[:1] == ["test"] and not {"-h", "--help"} & set(rest):
        return _test(rest[1:])
    given = parser_of_commands(shared).parse_args(rest)

    def settings() -> Settings:
        from bridge.config_file import load

        return load(settings_given.config, settings_given.set)

    return _COMMANDS[given.run](given, settings)


def _seed_of(given: argparse.Namespace) -> int:
    return secrets.randbelow(2**31) if given.seed is None else int(given.seed)


def _options(given: argparse.Namespace, settings: Settings, seed: int) -> FileOptions:
    """What a command on files was told; the temperature is a voice's of that model where none is given."""
    from bridge.config import Voice, default_knobs
    from bridge.family import MODEL_PARTS
    from bridge.model.file_options import FileOptions, parse_attributes, parse_key

    knobs = default_knobs(MODEL_PARTS.get(given.model, ()))
    temperature = given.temperature or knobs.get("temperature", Voice.model_fields["temperature"].default)
    key = None if given.key is None else parse_key(given.key)
    return FileOptions(seed, float(temperature), key, parse_attributes(given.attribute), settings.engine.own_models)


# -- what is written to the terminal ----------------------------------------------------------------------------------


def _say(line: str) -> None:
    """One line for the user, at once and in one piece: the other processes write to the same place. A terminal that is
    gone, or never was, is no reason to stop the music.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(f"{line}\n")  # print writes the end by itself where Python's output is unbuffered
        sys.stdout.flush()


@contextlib.contextmanager
def _clean_stdout() -> Iterator[None]:
    """Whatever is printed in here, by whichever library, goes to stderr: stdout is for the answer alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _show(result: Any, as_json: bool, table: Callable[[Any], str]) -> None:
    print(json.dumps(result, indent=2, ensure_ascii=False) if as_json else table(result))


def _wrote(paths: Sequence[Path], given: argparse.Namespace | None = None, seed: int = 0) -> int:
    """Name the files; and the seed, where chance chose it."""
    for path in paths:
        print(path)
    if given is not None and given.seed is None:
        print(f"barline: --seed {seed} gives this again", file=sys.stderr)
    return 0


# -- the commands -----------------------------------------------------------------------------------------------------


def _start(_: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    from bridge.paths import check_own_models
    from bridge.supervisor import Supervisor

    wanted = settings()
    check_own_models(wanted.engine.own_models)
    Supervisor(wanted, _say).run()
    return 0


def _demo(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    from bridge import demo

    return demo.run(given.out, settings(), _say)


def _doctor(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    from bridge import doctor, tables

    with _clean_stdout():
        report = doctor.examine(settings(), given.loopback)
    _show(report, given.json, tables.of_checks)
    return 0 if report["ok"] else 1


def _models(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    own_models = settings().engine.own_models
    from bridge import tables
    from bridge.model.file_options import RequestError
    from bridge.model.nets import registry

    told = given.report is not None or given.wav is not None
    if given.only and not told:
        raise RequestError(f"--only {given.only[0]}: expected --report or --wav with it")
    if given.data and given.report is None:
        raise RequestError(f"--data {given.data[0]}: expected --report with it")
    if given.json and told:
        raise RequestError("--json: expected no --report or --wav with it")
    if told:
        return _models_told(given)
    with _clean_stdout():
        cards, faults = registry.cards_and_faults(own_models)
    _show(cards, given.json, tables.of_models)
    if faults:
        raise registry.ModelFileError(*faults)
    return 0


def _models_told(given: argparse.Namespace) -> int:
    """The report about the models and their WAVs."""
    from bridge import recital
    from bridge.model.data.corpus import open_collections
    from bridge.model.nets.registry import read_card
    from bridge.model.reporting import report
    from bridge.paths import models_folder
    from bridge.whole_file import refuse_unwritable

    for path in given.data:
        open_collections(path)
    for name in given.only:
        read_card(name)
    into = Path(given.report) if given.report else models_folder()
    if given.report is not None:
        refuse_unwritable(into, [into / report.PAGE], "--report")
    if given.wav is not None:
        refuse_unwritable(given.wav, [given.wav / "a.wav"], "--wav")
    logging.getLogger("bridge").setLevel(logging.INFO)
    paths: list[Path] = []
    with _clean_stdout():
        if given.report is not None:
            paths += report.write_report(models_folder(), into, given.data, names=given.only)
        if given.wav is not None:
            paths += recital.perform(given.wav, given.only)
    return _wrote(paths)


def _sample(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    seed = _seed_of(given)
    options = _options(given, settings(), seed)
    from bridge.model import file_commands

    made = file_commands.sample_files(given.model, given.count, given.out, options)
    return _wrote(made, given, seed)


def _continue(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    seed = _seed_of(given)
    options = _options(given, settings(), seed)
    from bridge.model import file_commands

    made = file_commands.continue_file(given.model, given.in_path, given.bars, given.out, options)
    return _wrote([made], given, seed)


def _interpolate(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    options = _options(given, settings(), given.seed or 0)
    from bridge.model import file_commands

    return _wrote(file_commands.interpolate_files(given.model, given.a, given.b, given.steps, given.out, options))


def _reconstruct(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    seed = _seed_of(given)
    options = _options(given, settings(), seed)
    from bridge.model import file_commands

    made = file_commands.reconstruct_file(given.model, given.in_path, given.out, options)
    return _wrote([made], given, seed)


def _evaluate(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    own_models = settings().engine.own_models
    from bridge import tables
    from bridge.model import file_commands

    with _clean_stdout():
        scores = file_commands.evaluate_path(given.model, given.path, given.seed or 0, own_models)
    _show(scores, given.json, tables.of_evaluation)
    return 0


#: What the other kinds of training make no use of.
_TRAINED_WITHOUT: Final = {
    "prior_only": ("minutes", "steps", "resume", "batch", "device"),
    "leave_out": ("steps", "resume", "batch", "device"),
    "beside_flat": ("steps", "resume", "device"),
}


def _train(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    with contextlib.suppress(ModuleNotFoundError):  # a machine that only trains need not have what reads them
        settings()
    from bridge.model import file_commands
    from bridge.model.file_options import RequestError
    from bridge.model.training import ranks

    logging.getLogger("bridge").setLevel(logging.INFO)
    minutes = given.minutes or file_commands.DEFAULT_MINUTES
    for kind, without in _TRAINED_WITHOUT.items():
        unfit = [f"--{name}" for name in without if getattr(given, name) not in (None, False, "auto")]
        if getattr(given, kind) and unfit:
            raise RequestError(f"--{kind.replace('_', '-')}: expected no {', '.join(unfit)} with it")
    if given.prior_only:
        return _wrote([file_commands.train_prior(given.model, given.data, given.seed)])
    if given.leave_out:
        return _wrote([file_commands.train_without(given.model, given.leave_out, given.data, minutes, given.seed)])
    if given.beside_flat:
        return _wrote([file_commands.train_beside_flat(given.model, given.data, minutes, given.batch, given.seed)])
    made = file_commands.train_model(
        given.model, given.data, given.minutes, steps=given.steps, resume=given.resume, fine_tune=given.fine_tune,
        device=given.device, batch_size=given.batch, seed=given.seed,
    )  # fmt: skip
    return _wrote([made] if ranks.is_first() else [])


def _bench(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    from bridge import tables
    from bridge.bench import runner

    with _clean_stdout():
        report = runner.run(settings(), given.soak, _say)
    _show(report, given.json, tables.of_bench)
    return 0


def _test(arguments: list[str]) -> int:
    from bridge import paths

    tests = paths.tests_folder()
    if tests is None:
        print("barline: test: the tests are in the source tree; expected a checkout", file=sys.stderr)
        return BAD_INPUT
    import pytest

    os.chdir(tests.parent)
    workers = str(min(_MOST_TEST_WORKERS, os.cpu_count() or 1))
    return int(pytest.main(arguments or ["-n", workers, "--dist", "loadfile"]))


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace, Callable[[], Settings]], int]]] = {
    "start": _start,
    "demo": _demo,
    "doctor": _doctor,
    "models": _models,
    "sample": _sample,
    "continue": _continue,
    "interpolate": _interpolate,
    "reconstruct": _reconstruct,
    "evaluate": _evaluate,
    "train": _train,
    "bench": _bench,
}
