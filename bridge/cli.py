"""The command line: one thin function per command of contract section 1.

What a command needs is imported inside it, so that `--help` costs no more than argparse. Exit codes: 0 done, 1 failed
while running, 2 bad input (one line a fault on stderr, nothing half-written), 3 the port or the session folder is
taken. This is the one module that prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from bridge import __version__, limits

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.file_options import FileOptions

BAD_INPUT: Final = 2
TAKEN: Final = 3
INTERRUPTED: Final = 130  # what a shell reports of a program ended by Ctrl-C

_MODELS: Final = "melody-2bar, bass-2bar, drums-2bar, melody-16bar, drums-16bar or trio-16bar"
_EPILOG: Final = """\
--set takes any key of config.yaml, as often as you like: --set osc.port=9200 --set voices.melody.launch=now
What --set says goes before the file of --config, that before ./config.yaml, that before the built-in defaults.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments: one line on stderr, exit code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Windows console may not have every sign
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return _run(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the flush at exit
        return 1
    except (ValueError, RuntimeError, OSError) as fault:
        # A type of our own says in its message what the user is to know; anything else is a fault of the program.
        if not isinstance(fault, OSError) and not type(fault).__module__.startswith("bridge."):
            raise
        for line in str(fault).splitlines():
            print(f"barline: {line}", file=sys.stderr)
        return _exit_code_of(fault)


def _exit_code_of(fault: Exception) -> int:
    if type(fault).__name__ == "AlreadyRunningError":
        return TAKEN
    return BAD_INPUT if isinstance(fault, ValueError) else 1


def _run(arguments: list[str]) -> int:
    shared = _Parser(prog="barline", add_help=False, allow_abbrev=False)
    group = shared.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="a file of settings, like config.yaml")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: osc.port=9200")
    settings_given, rest = shared.parse_known_args(arguments)
    if rest[:1] == ["test"] and not {"-h", "--help"} & set(rest):
        return _test(rest[1:])
    given = _parser(shared).parse_args(rest)

    def settings() -> Settings:
        from bridge.config_file import load

        return load(settings_given.config, settings_given.set)

    command: Callable[[argparse.Namespace, Callable[[], Settings]], int] = given.run
    return command(given, settings)


# -- the arguments ----------------------------------------------------------------------------------------------------


def _number(kind: type[int | float], low: float, high: float) -> Callable[[str], Any]:
    def convert(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text}: expected {what} from {low:g} to {high:g}")
        return value

    return convert


_MOST_TEST_WORKERS: Final = 4  # more would only wait for one another: whole bridges and MIDI servers run in them
_SEED: Final = _number(int, 0, 2**31 - 1)
_TEMPERATURE: Final = _number(float, 0.05, 2.0)


class _NoneOrTwo(argparse.Action):
    """Takes no values or two."""

    def __call__(self, parser: Any, given: argparse.Namespace, values: Any, option: str | None = None) -> None:
        if len(values) not in (0, 2):
            parser.error(f"{option} {' '.join(values)}: expected an output and an input, or nothing")
        setattr(given, self.dest, values)


def _parser(shared: _Parser) -> _Parser:
    name = "run_bridge.py" if sys.argv[0].endswith("run_bridge.py") else "barline"
    parser = _Parser(
        prog=name,
        description="Barline: a model that plays along in Ableton Live. Without a command it runs the bridge.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"Barline {__version__}")
    parser.set_defaults(run=_start)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    def command(word: str, run: Callable[..., int], text: str) -> _Parser:
        made = commands.add_parser(word, help=text, description=text, parents=[shared])
        made.set_defaults(run=run)
        return made

    command("start", _start, "run the bridge until Ctrl-C (the default)")
    demo = command("demo", _demo, "hear and see it without a DAW or a sound card: a MIDI file, a picture, a WAV")
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="where to write (default: demo)")
    doctor = command("doctor", _doctor, "check this machine, and say what to do where it is not well")
    doctor.add_argument(
        "--loopback", nargs="*", metavar="PORT", action=_NoneOrTwo,
        help="measure the way out of a MIDI port and back into another: parts of the names of an output and an input "
        "that are connected; without names, ports are made for you to connect",
    )  # fmt: skip
    models = command("models", _models, "list the models; make the report about them, or hear them")
    models.add_argument("--report", nargs="?", const="", metavar="DIR",
                        help="write README.md and pictures about them (default: where they are)")  # fmt: skip
    models.add_argument("--data", type=Path, nargs="+", default=[], metavar="PATH",
                        help="with --report: songs to measure on what has changed (folders or .zips)")  # fmt: skip
    models.add_argument("--only", nargs="+", default=[], metavar="MODEL", help="with --report or --wav: of these alone")
    models.add_argument("--wav", type=Path, metavar="DIR", help="write what the report shows as WAV and MIDI files")
    _add_model_commands(command)
    bench = command("bench", _bench, "measure latency, lateness and throughput on this machine")
    bench.add_argument("--soak", type=_number(float, 0.01, 100000), metavar="MINUTES", help="play so long, count notes")
    command("test", _start, "run the tests; takes pytest's arguments")
    for json_too in (doctor, models, bench):
        json_too.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _add_model_commands(command: Callable[..., _Parser]) -> None:
    """The commands that work on files with a model, and training."""
    sample = command("sample", _sample, "write new bars from a model's prior")
    go_on = command("continue", _continue, "write the bars that follow a MIDI file")
    interpolate = command("interpolate", _interpolate, "write the way from one MIDI file to another")
    reconstruct = command("reconstruct", _reconstruct, "send a MIDI file through encoder and decoder")
    evaluate = command("evaluate", _evaluate, "score a model on a folder or .zip of MIDI files")
    train = command("train", _train, "train a model on MIDI files; may be stopped and resumed")
    for made in (sample, go_on, interpolate, reconstruct, evaluate, train):
        made.add_argument("model", metavar="MODEL", help=_MODELS)
    for made, names in ((go_on, ("in_path",)), (reconstruct, ("in_path",)), (interpolate, ("a", "b"))):
        for name in names:
            made.add_argument(name, type=Path, metavar=f"{name.removesuffix('_path').upper()}.mid")
    evaluate.add_argument("path", type=Path, metavar="PATH", help="a folder or .zip of MIDI files")
    train.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH", help="folders or .zips of MIDI")
    train.add_argument("--minutes", type=_number(float, 0.01, 1e6), metavar="M", help="how long to train")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    kind = train.add_mutually_exclusive_group()
    kind.add_argument("--fine-tune", action="store_true", help="begin with the weights there are; takes minutes")
    kind.add_argument("--prior-only", action="store_true", help="only what new bars are drawn from; takes minutes")
    kind.add_argument("--leave-out", metavar="SOURCE", help="train without this collection, and score on it: no model")
    kind.add_argument("--beside-flat", action="store_true", help="train a flat decoder too, and score both: no model")
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if any")
    train.add_argument("--batch", type=_number(int, 1, 65536), metavar="N", help="windows a step")
    train.add_argument("--seed", type=_SEED, default=0, metavar="S", help="for the same run again (default: 0)")
    sample.add_argument("--count", type=_number(int, 1, 999), default=8, metavar="N", help="how many (default: 8)")
    go_on.add_argument(
        "--bars", type=_number(int, 1, limits.MAX_BARS), default=2, metavar="N", help="how many (default: 2)"
    )
    interpolate.add_argument("--steps", type=_number(int, 2, 999), default=7, metavar="N", help="files (default: 7)")
    for made in (sample, go_on, interpolate, reconstruct, evaluate):
        made.add_argument("--seed", type=_SEED, metavar="S", help="for the same result again")
    for made in (sample, go_on, interpolate, reconstruct):
        made.add_argument("--temperature", type=_TEMPERATURE, metavar="T", help="0.05-2: low is plain, high is bold")
        made.add_argument("--key", metavar="KEY", help="nothing outside it: 'A minor', 'F# dorian', 'C' (major)")
        made.add_argument("--attribute", action="append", default=[], metavar="NAME=AMOUNT",
                          help="-1 to 1, may be repeated: density=0.5")  # fmt: skip
    for made in (sample, interpolate):
        made.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    for made in (go_on, reconstruct):
        made.add_argument("--out", type=Path, required=True, metavar="OUT.mid", help="the file to write")
    evaluate.add_argument("--json", action="store_true", help="one JSON document on stdout")


def _seed_of(given: argparse.Namespace) -> int:
    return secrets.randbelow(2**31) if given.seed is None else int(given.seed)


def _options(given: argparse.Namespace, seed: int) -> FileOptions:
    """What a command on files was told; the temperature is a voice's of that model where none is given."""
    from bridge.config import MODEL_PARTS, Voice, default_knobs
    from bridge.model.file_options import FileOptions, parse_attributes, parse_key

    knobs = default_knobs(MODEL_PARTS.get(given.model, ()))
    temperature = given.temperature or knobs.get("temperature", Voice.model_fields["temperature"].default)
    key = None if given.key is None else parse_key(given.key)
    return FileOptions(seed, float(temperature), key, parse_attributes(given.attribute))


# -- what is written to the terminal ----------------------------------------------------------------------------------


def _say(line: str) -> None:
    """One line for the user, at once; a terminal that is gone is no reason to stop the music."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


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
    from bridge.supervisor import Supervisor

    Supervisor(settings(), _say).run()
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
    settings()  # wrong settings are refused by every command alike
    if given.report is not None or given.wav is not None:
        return _models_told(given)
    from bridge import tables
    from bridge.model.nets import registry

    with _clean_stdout():
        cards = registry.list_models()
    _show(cards, given.json, tables.of_models)
    return 0


def _models_told(given: argparse.Namespace) -> int:
    """The report about the models and their WAVs."""
    from bridge import recital
    from bridge.model.reporting import report
    from bridge.paths import models_folder

    logging.getLogger("bridge").setLevel(logging.INFO)
    paths: list[Path] = []
    with _clean_stdout():
        if given.report is not None:
            into = Path(given.report) if given.report else models_folder()
            paths += report.write_report(models_folder(), into, given.data, names=given.only)
        if given.wav is not None:
            paths += recital.perform(given.wav, given.only)
    return _wrote(paths)


def _sample(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    settings()
    from bridge.model import file_commands

    seed = _seed_of(given)
    made = file_commands.sample_files(given.model, given.count, given.out, _options(given, seed))
    return _wrote(made, given, seed)


def _continue(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    settings()
    from bridge.model import file_commands

    seed = _seed_of(given)
    options = _options(given, seed)
    made = file_commands.continue_file(given.model, given.in_path, given.bars, given.out, options)
    return _wrote([made], given, seed)


def _interpolate(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    settings()
    from bridge.model import file_commands

    seed = given.seed or 0
    options = _options(given, seed)
    return _wrote(file_commands.interpolate_files(given.model, given.a, given.b, given.steps, given.out, options))


def _reconstruct(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    settings()
    from bridge.model import file_commands

    seed = _seed_of(given)
    made = file_commands.reconstruct_file(given.model, given.in_path, given.out, _options(given, seed))
    return _wrote([made], given, seed)


def _evaluate(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    settings()
    from bridge import tables
    from bridge.model import file_commands

    with _clean_stdout():
        scores = file_commands.evaluate_path(given.model, given.path, given.seed or 0)
    _show(scores, given.json, tables.of_evaluation)
    return 0


def _train(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    settings()
    from bridge.model import file_commands
    from bridge.model.file_options import RequestError

    logging.getLogger("bridge").setLevel(logging.INFO)
    if given.prior_only:
        for option in ("minutes", "resume", "batch"):
            if getattr(given, option):
                raise RequestError(f"--prior-only: expected no --{option} with it, it takes what it takes")
        return _wrote([file_commands.train_prior(given.model, given.data, given.seed)])
    if given.leave_out:
        minutes = given.minutes or file_commands.DEFAULT_MINUTES
        return _wrote([file_commands.train_without(given.model, given.leave_out, given.data, minutes, given.seed)])
    if given.beside_flat:
        minutes = given.minutes or file_commands.DEFAULT_MINUTES
        return _wrote([file_commands.train_beside_flat(given.model, given.data, minutes, given.batch, given.seed)])
    made = file_commands.train_model(
        given.model, given.data, given.minutes, resume=given.resume, fine_tune=given.fine_tune, device=given.device,
        batch_size=given.batch, seed=given.seed,
    )  # fmt: skip
    return _wrote([made])


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
