"""The house holds: who imports whom, which library is imported where, and the shape that a newcomer can rely on."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bridge"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: The floors of the house: a module may import from its own part and from lower floors, never upwards or sideways.
FLOORS = {
    "bridge": 0,  # the version
    "music": 0,
    "addresses": 0,
    "channel": 0,
    "config": 0,
    "config_file": 0,
    "engine_messages": 0,
    "family": 0,
    "file_lock": 0,
    "limits": 0,
    "messages": 0,
    "paths": 0,
    "strict_yaml": 0,
    "whole_file": 0,
    "wire": 0,
    "model": 1,
    "preview": 1,
    "timing": 1,
    "engine": 2,
    "player": 2,
    "session": 3,
    "osc": 4,
    "panel": 4,
    "bench": 5,
    "demo": 5,
    "doctor": 5,
    "hosted": 5,
    "main": 5,
    "peers": 5,
    "recital": 5,
    "running": 5,
    "supervisor": 5,
    "tables": 5,
    "arguments": 6,
    "cli": 6,
    "__main__": 6,
}
#: The floors inside the model; its commands and releases stand above all of them.
MODEL_FLOORS = {"nets": 0, "data": 1, "playing": 2, "evaluation": 2, "training": 3, "reporting": 4}
#: Parts of one floor that may know one another, besides what is below them: single modules that were split for size.
NEIGHBOURS = {
    ("channel", "wire"), ("wire", "messages"), ("wire", "engine_messages"), ("engine_messages", "messages"),
    ("channel", "limits"), ("config", "limits"), ("config_file", "limits"),
    ("config_file", "config"), ("config_file", "strict_yaml"), ("music", "limits"), ("__main__", "cli"),
    ("cli", "arguments"), ("panel", "osc"), ("config", "family"), ("config_file", "family"),
}  # fmt: skip
_FIFTH = ("bench", "demo", "doctor", "hosted", "main", "peers", "recital", "running", "supervisor", "tables")
NEIGHBOURS |= {(one, other) for one in _FIFTH for other in _FIFTH}
#: Everything that any part may import, whatever its floor.
FOR_ALL = {"bridge", "limits", "paths", "whole_file"}

#: Libraries with weight or with quirks, and the parts that may import them.
CONFINED = {
    "torch": {"model", "engine", "bench"},
    "safetensors": {"model"},
    "rtmidi": {"player"},
    "link": {"player"},
    "isobar": {"bench"},
    "pythonosc": {"osc"},
    "sounddevice": {"preview"},
    "numba": {"music", "bench"},
    "numpy": {"music", "model", "engine", "preview", "demo", "bench"},
    "mido": {"music"},
    "PIL": {"music"},
    "pydantic": {"config", "config_file"},
    "yaml": {"strict_yaml"},
    "tqdm": {"model"},
    "starlette": {"panel"},
    "uvicorn": {"panel"},
}


def part_of(module: Path) -> str:
    """The part of the house that a file belongs to: a folder of bridge/, or a module beside them."""
    inside = module.relative_to(PACKAGE).parts
    name = inside[0].removesuffix(".py")
    return "bridge" if name == "__init__" else name


def imports_of(module: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a file imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are written out in full"
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}"


def house_imports(module: Path) -> Iterator[tuple[int, str]]:
    """Line and part of what a file imports from the house itself."""
    for line, name in imports_of(module):
        head, *rest = name.split(".")
        if head == "bridge":
            known = rest and (rest[0] in FLOORS or (PACKAGE / rest[0]).exists() or (PACKAGE / f"{rest[0]}.py").exists())
            yield line, rest[0] if known else "bridge"


def test_every_part_of_the_house_has_a_floor() -> None:
    assert {part_of(module) for module in MODULES} <= set(FLOORS)


def test_the_walk_sees_imports_at_the_top_inside_functions_and_of_names() -> None:
    assert "session" in {part for _, part in house_imports(PACKAGE / "main.py")}
    assert {"supervisor", "doctor", "model"} <= {part for _, part in house_imports(PACKAGE / "cli.py")}
    assert "torch" in {name.split(".")[0] for _, name in imports_of(PACKAGE / "engine" / "describe.py")}


def test_imports_run_downwards_only() -> None:
    wrong = []
    for module in MODULES:
        part = part_of(module)
        for line, other in house_imports(module):
            downwards = FLOORS[other] < FLOORS[part]
            if not (other == part or downwards or other in FOR_ALL or (part, other) in NEIGHBOURS):
                wrong.append(f"{module.relative_to(ROOT)}:{line}: {part} (floor {FLOORS[part]}) imports {other}")
    assert not wrong, "\n".join(wrong)


def test_the_model_s_own_imports_run_downwards_only() -> None:
    wrong = []
    for room, floor in MODEL_FLOORS.items():
        modules = sorted((PACKAGE / "model" / room).glob("*.py"))
        assert len(modules) > 1
        for module in modules:
            for line, name in imports_of(module):
                head, *rest = name.removeprefix("bridge.").split(".")
                inside = head == "model"
                if inside and rest[0] != room and MODEL_FLOORS.get(rest[0], floor) >= floor:
                    wrong.append(f"{module.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_stay_where_they_belong() -> None:
    wrong = []
    for module in MODULES:
        for line, name in imports_of(module):
            library = name.split(".")[0]
            if library in CONFINED and part_of(module) not in CONFINED[library]:
                wrong.append(f"{module.relative_to(ROOT)}:{line}: {library} belongs in {sorted(CONFINED[library])}")
    assert not wrong, "\n".join(wrong)


def test_music_itself_imports_nothing() -> None:
    assert not list(imports_of(PACKAGE / "music" / "__init__.py"))


def test_only_the_command_line_prints() -> None:
    calls = [
        f"{module.relative_to(ROOT)}:{node.lineno}"
        for module in MODULES
        if module.name != "cli.py"
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls


def test_modules_are_one_job_long() -> None:
    long = {str(module.relative_to(ROOT)): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert not {name: lines for name, lines in long.items() if lines > 400}


def test_functions_fit_on_a_page() -> None:
    long = [
        f"{module.relative_to(ROOT)}:{node.lineno} {node.name}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own that finds the house and nothing else of ours."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("name", sorted({part_of(module) for module in MODULES} - {"bridge", "__main__"}))
def test_each_part_can_be_imported_first(name: str) -> None:
    result = fresh(f"import bridge.{name}")
    assert result.returncode == 0, result.stderr
    assert not result.stdout


def test_the_player_carries_no_weight() -> None:
    """What it imports when it runs: everything reachable from its main module."""
    names = sorted(f"bridge.player.{module.stem}" for module in (PACKAGE / "player").glob("[a-z]*.py"))
    imports = "\n".join(f"import {name}" for name in ["bridge.player.__main__", *names])
    heavy = "[name for name in ('torch', 'numba', 'numpy', 'pydantic', 'yaml', 'asyncio') if name in sys.modules]"
    result = fresh(f"import sys\n{imports}\nprint({heavy})")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_training_needs_few_libraries() -> None:
    """So that it runs on a machine with a GPU and little else."""
    rest = "[n for n in ('numba', 'pydantic', 'yaml', 'PIL', 'rtmidi', 'pythonosc') if n in sys.modules]"
    result = fresh(f"import sys, bridge.model.training.train\nprint({rest})")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


@pytest.mark.parametrize("process", ["main", "supervisor"])
def test_the_bridge_answers_before_torch_is_there(process: str) -> None:
    result = fresh(f"import sys, bridge.{process}; print('torch' in sys.modules, 'numba' in sys.modules)")
    assert result.stdout.strip() == "False False", result.stdout + result.stderr


def test_help_costs_no_more_than_argparse() -> None:
    code = "import sys, bridge.cli\ntry: bridge.cli.main(['--help'])\nexcept SystemExit: pass\n"
    heavy = "[name for name in ('torch', 'numba', 'numpy', 'pydantic', 'yaml', 'asyncio') if name in sys.modules]"
    result = fresh(f"{code}print('heavy', {heavy})")
    assert result.stdout.strip().endswith("heavy []"), result.stdout + result.stderr
