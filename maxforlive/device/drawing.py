"""A drawing of the device as SVG, from the presentation rects of the built patch: what the documentation shows."""

from __future__ import annotations

from typing import Any, Final
from xml.sax.saxutils import escape

from device.controls import FLOAT, HEIGHT, PERCENT

_BACK: Final = "#c8c8c8"
_FACE: Final = "#e6e6e6"
_LINE: Final = "#8a8a8a"
_TEXT: Final = "#222222"
_ON: Final = "#f2a33a"
_FONT: Final = 'font-family="Arial, Helvetica, sans-serif"'


def svg(patcher: dict[str, Any]) -> str:
    """The drawing, one pixel of Live to one unit."""
    top = patcher["patcher"]
    width, height = int(top["devicewidth"]), HEIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    parts = [
        head + 'role="img" aria-label="Barline, the Max for Live device">',
        f'<rect width="{width}" height="{height}" fill="{_BACK}"/>',
    ]
    for entry in top["boxes"]:
        box = entry["box"]
        if box.get("presentation"):
            parts += _draw(box)
    return "\n".join([*parts, "</svg>", ""])


def _draw(box: dict[str, Any]) -> list[str]:
    x, y, width, height = box["presentation_rect"]
    valueof = box.get("saved_attribute_attributes", {}).get("valueof", {})
    match box["maxclass"]:
        case "live.comment":
            return [_text(x + 2, y + height / 2 + 3, box["text"], 9.5, "start")]
        case "live.dial":
            return _dial(x, y, width, valueof)
        case "live.tab":
            labels, on = valueof["parameter_enum"], valueof["parameter_initial"][0]
            step = width / len(labels)
            return [
                part
                for index, label in enumerate(labels)
                for part in _cell(x + index * step, y, step, height, label, index == on)
            ]
        case "live.menu":
            label = valueof["parameter_enum"][valueof["parameter_initial"][0]]
            return _cell(x, y, width, height, label, False)
        case "live.numbox":
            return _cell(x, y, width, height, _number(valueof), False)
    on = box.get("mode") == 1 and valueof["parameter_initial"][0] == 1
    return _cell(x, y, width, height, box["texton"] if on else box["text"], on, box.get("fontsize", 9.5))


def _cell(x: float, y: float, width: float, height: float, label: str, on: bool, size: float = 9.5) -> list[str]:
    fill = _ON if on else _FACE
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    rect = f'<rect {place} fill="{fill}" stroke="{_LINE}" stroke-width="0.7"/>'
    size = min(size, 1.75 * width / max(1, len(label)))
    return [rect, _text(x + width / 2, y + height / 2 + size * 0.36, label, size, "middle")]


def _dial(x: float, y: float, width: float, valueof: dict[str, Any]) -> list[str]:
    middle = x + width / 2
    arc = f"M {middle - 8:g} {y + 33:g} A 11 11 0 1 1 {middle + 8:g} {y + 33:g}"
    return [
        _text(middle, y + 9, valueof["parameter_shortname"], 9, "middle"),
        f'<path d="{arc}" fill="none" stroke="{_TEXT}" stroke-width="2.4"/>',
        _text(middle, y + 45, _number(valueof), 8.5, "middle"),
    ]


def _number(valueof: dict[str, Any]) -> str:
    value, unit = valueof["parameter_initial"][0], valueof["parameter_unitstyle"]
    return f"{value:g} %" if unit == PERCENT else f"{value:.2f}" if unit == FLOAT else f"{value:.0f}"


def _text(x: float, y: float, text: str, size: float, anchor: str) -> str:
    look = f'font-size="{size:.3g}" {_FONT} fill="{_TEXT}" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {look}>{escape(text)}</text>'
