"""What the command line takes: the commands of contract section 1, with their arguments and what these may be.

`--help` costs no more than argparse.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from bridge import __version__, limits
from bridge.family import MODEL_PARTS

_MODELS: Final = " or ".join(", ".join(MODEL_PARTS).rsplit(", ", 1))
#: Characters that end a line somewhere, and all others that control a terminal.
_BREAKS: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
_EPILOG: Final = """\
--set takes any key of config.yaml, as often as you like: --set osc.port=9200 --set voices.melody.launch=now
What --set says goes before the file of --config, that before ./config.yaml, that before the built-in defaults.
"""


def in_one_line(text: str) -> str:
    """A message as one line: what would break it in a file's name, or move the cursor, stands there by its code."""
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class UsageError(ValueError):
    """Arguments that no command takes; the message is the whole line for the user."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments with a `UsageError`."""
        raise UsageError(f"{self.prog}: {in_one_line(message)} (see {self.prog} --help)")


def shared_parser() -> Parser:
    """What every command takes, before it and after."""
    shared = Parser(prog="barline", add_help=False, allow_abbrev=False)
    group = shared.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="a file of settings, like config.yaml")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: osc.port=9200")
    return shared


def _number(kind: type[int | float], low: float, high: float) -> Callable[[str], Any]:
    def convert(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text}: expected {what} from {low:.10g} to {high:.10g}")
        return value

    return convert


def _file(text: str) -> Path:
    """A path that is to become a file: a `Path` has forgotten a separator at its end. A folder that is there is refused
    later, as without one.
    """
    if text.endswith(("/", os.sep)) and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a file, not a folder: {text}OUT.mid")
    return Path(text)


_SEED: Final = _number(int, 0, 2**31 - 1)
_TEMPERATURE: Final = _number(float, limits.MIN_TEMPERATURE, limits.MAX_TEMPERATURE)


class _NoneOrTwo(argparse.Action):
    """Takes no values or two."""

    def __call__(self, parser: Any, given: argparse.Namespace, values: Any, option: str | None = None) -> None:
        if len(values) not in (0, 2):
            parser.error(f"{option} {' '.join(values)}: expected an output and an input, or nothing")
        setattr(given, self.dest, values)


def parser_of_commands(shared: Parser) -> Parser:
    """The whole command line; `run` is then the word of the command to run, and `shared` what comes before it."""
    name = "run_bridge.py" if sys.argv[0].endswith("run_bridge.py") else "barline"
    parser = Parser(
        prog=name,
        description="Barline: a model that plays along in Ableton Live. Without a command it runs the bridge.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"Barline {__version__}")
    parser.set_defaults(run="start")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(word: str, text: str) -> Parser:
        made = commands.add_parser(word, help=text, description=text, parents=[shared])
        made.set_defaults(run=word)
        return made

    command("start", "run the bridge until Ctrl-C (the default)")
    demo = command("demo", "hear and see it without a DAW or a sound card: a MIDI file, a picture, a WAV")
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="where to write (default: demo)")
    doctor = command("doctor", "check this machine, and say what to do where it is not well")
    doctor.add_argument(
        "--loopback", nargs="*", metavar="PORT", action=_NoneOrTwo,
        help="measure the way out of a MIDI port and back into another: parts of the names of an output and an input "
        "that are connected; without names, ports are made for you to connect",
    )  # fmt: skip
    models = command("models", "list the models; make the report about them, or hear them")
    models.add_argument("--report", nargs="?", const="", metavar="DIR",
                        help="write README.md and pictures about them (default: where they are)")  # fmt: skip
    models.add_argument("--data", type=Path, nargs="+", default=[], metavar="PATH",
                        help="with --report: songs to measure on what has changed (folders or .zips)")  # fmt: skip
    models.add_argument("--only", nargs="+", default=[], metavar="MODEL", help="with --report or --wav: of these alone")
    models.add_argument("--wav", type=Path, metavar="DIR", help="write what the report shows as WAV and MIDI files")
    _add_model_commands(command)
    bench = command("bench", "measure latency, lateness and throughput on this machine")
    bench.add_argument("--soak", type=_number(float, 0.01, 100000), metavar="MINUTES", help="play so long, count notes")
    command("test", "run the tests; takes pytest's arguments")
    for json_too in (doctor, models, bench):
        json_too.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _add_model_commands(command: Callable[..., Parser]) -> None:
    """The commands that work on files with a model, and training."""
    sample = command("sample", "write new bars from a model's prior")
    go_on = command("continue", "write the bars that follow a MIDI file")
    interpolate = command("interpolate", "write the way from one MIDI file to another")
    reconstruct = command("reconstruct", "send a MIDI file through encoder and decoder")
    evaluate = command("evaluate", "score a model on a folder or .zip of MIDI files")
    train = command("train", "train a model on MIDI files; may be stopped and resumed")
    for made in (sample, go_on, interpolate, reconstruct, evaluate, train):
        made.add_argument("model", metavar="MODEL", help=_MODELS)
    for made, names in ((go_on, ("in_path",)), (reconstruct, ("in_path",)), (interpolate, ("a", "b"))):
        for name in names:
            made.add_argument(name, type=Path, metavar=f"{name.removesuffix('_path').upper()}.mid")
    evaluate.add_argument("path", type=Path, metavar="PATH", help="a folder or .zip of MIDI files")
    train.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH", help="folders or .zips of MIDI")
    length = train.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=_number(float, 0.01, 1e6), metavar="M",
                        help="how long to train (default: 60; with --fine-tune 5)")  # fmt: skip
    length.add_argument("--steps", type=_number(int, 1, 10**9), metavar="N",
                        help="train so many steps: with the same --seed the same weights, at any speed")  # fmt: skip
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    kind = train.add_mutually_exclusive_group()
    kind.add_argument("--fine-tune", action="store_true", help="begin with the weights there are; takes minutes")
    kind.add_argument("--prior-only", action="store_true", help="only what new bars are drawn from; takes minutes")
    kind.add_argument("--leave-out", metavar="SOURCE", help="train without this collection, and score on it: no model")
    kind.add_argument("--beside-flat", action="store_true", help="train a flat decoder too, and score both: no model")
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if any")
    train.add_argument("--batch", type=_number(int, 1, 65536), metavar="N",
                       help="windows a step (default: 256, of 16 bars 96; with --beside-flat 32)")  # fmt: skip
    train.add_argument("--seed", type=_SEED, default=0, metavar="S", help="what is drawn at random (default: 0)")
    sample.add_argument(
        "--count", type=_number(int, 1, limits.MAX_FILES), default=8, metavar="N", help="how many (default: 8)"
    )
    go_on.add_argument("--bars", type=_number(int, 1, limits.MAX_FILE_BARS), default=2, metavar="N",
                       help="how many (default: 2)")  # fmt: skip
    interpolate.add_argument(
        "--steps", type=_number(int, 2, limits.MAX_FILES), default=7, metavar="N", help="files (default: 7)"
    )
    for made in (sample, go_on, reconstruct):
        made.add_argument(
            "--seed", type=_SEED, metavar="S", help="for the same result again (default: by chance, told)"
        )
    for made in (interpolate, evaluate):
        made.add_argument("--seed", type=_SEED, metavar="S", help="for another result (default: 0)")
    for made in (sample, go_on, interpolate, reconstruct):
        made.add_argument("--temperature", type=_TEMPERATURE, metavar="T",
                          help="0.05-2: low is plain, high is bold (default: 0.6; drums 0.7)")  # fmt: skip
        made.add_argument("--key", metavar="KEY", help="nothing outside it: Am, 'A minor', 'F# dorian', C (major)")
        made.add_argument("--attribute", action="append", default=[], metavar="NAME=AMOUNT",
                          help="-1 to 1, may be repeated: density=0.5 (`models --json` has each model's)")  # fmt: skip
    for made in (sample, interpolate):
        made.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    for made in (go_on, reconstruct):
        made.add_argument("--out", type=_file, required=True, metavar="OUT.mid", help="the file to write")
    evaluate.add_argument("--json", action="store_true", help="one JSON document on stdout")
