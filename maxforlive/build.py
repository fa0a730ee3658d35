#!/usr/bin/env python3
"""Makes Barline.amxd and its drawing from the sources beside this file: `python3 maxforlive/build.py`.

Standard library only. The same sources give the same bytes, whenever and wherever they are built.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from device.container import frozen, unfrozen
from device.controls import CONTROLS, Control
from device.drawing import svg
from device.patch import patcher

HERE = Path(__file__).resolve().parent
NAME = "Barline.amxd"
#: In this order: each file uses what is before it.
SCRIPTS = ("base", "scales", "notes", "link", "params", "live", "clips", "player", "status", "device")


def script() -> str:
    """The device's js: the table of controls and all files of js/, as one."""
    sources = {name: (HERE / "js" / f"{name}.js").read_text(encoding="ascii") for name in SCRIPTS}
    lines = ["", "// Made by build.py from device/controls.py.", "", "B.CONTROLS = {};"]
    lines += [f"B.CONTROLS.{control.key} = {_row(control)};" for control in CONTROLS if not control.is_button]
    order = [control.key for control in CONTROLS if not control.is_button]
    lines += ["B.ORDER = " + json.dumps(order).replace(", ", ",\n    ") + ";", "", ""]
    first, *rest = (sources[name] for name in SCRIPTS)
    return first + "\n".join(lines) + "\n".join(rest)


def _row(control: Control) -> str:
    row: dict[str, object] = {"initial": control.initial, "scale": control.scale}
    row |= {name: value for name in ("verb", "state", "attribute") if (value := getattr(control, name))}
    if control.choices:
        row["choices"] = list(control.choices)
    return json.dumps(row, indent=4, ensure_ascii=True)


def build(out: Path, unfrozen_out: Path | None) -> list[Path]:
    """Write the device and its drawing into `out`, and its unfrozen form, if wanted; the files written.

    Max keeps scripts by file name for as long as Live runs: the name tells the content, so an update is never the old.
    """
    code = script().encode("ascii")
    name = f"barline_{hashlib.sha256(code).hexdigest()[:10]}.js"
    device = patcher(name)
    files = {out / NAME: frozen(NAME, device, [(name, code)]), out / "barline.svg": svg(device).encode("utf-8")}
    if unfrozen_out is not None:
        files |= {unfrozen_out / NAME: unfrozen(device), unfrozen_out / name: code}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write into (default: beside this file)")
    parser.add_argument("--unfrozen", type=Path, help="write the unfrozen device and its script into this folder, too")
    arguments = parser.parse_args()
    for path in build(arguments.out, arguments.unfrozen):
        sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
