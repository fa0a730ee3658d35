"""Makes REFERENCE.md, the page of the whole interface, from the table of routes: ``python -m bridge.osc.reference``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge import limits, whole_file
from bridge.osc.arguments import QUALITIES, Argument
from bridge.osc.routes import ERROR_CODES, EVENTS, ROUTES, VOICE, Route

PAGE: Final = Path(__file__).with_name("REFERENCE.md")

_HEAD: Final = f"""# OSC reference

Made from `bridge/osc/routes.py` by `python -m bridge.osc.reference`; change it there.

UDP, OSC 1.0. `VOICE` stands for a voice's name (`melody`, `bass`, `drums` unless the configuration says otherwise).
Arguments are written `name:type`; those in brackets may be left out (all of them together), `=` shows what they are
then.

- **Numbers** may come as `i f h d` wherever a number is wanted; a whole-valued float is an integer; truth is `T F` or
  0 1.
- **Values out of range are refused**, never clamped; so are NaN and infinity. (32-bit floats may miss a bound by
  {limits.NUMBER_SLACK:g}.)
- **Notes** are runs of five: `pitch` 0-127, `start` in beats (quarter notes) from 0 to below the loop's length,
  `duration` in beats above 0, `velocity` 1-127, `part` 0-2 (0 but in a trio: 0 melody, 1 bass, 2 drums).
  At most {limits.MAX_NOTES_PER_MESSAGE} in one message.
- **Chords** are runs of three: `beat` in the chord loop, `root` 0-11, `quality`
  ({", ".join(f"`{name}`" for name in QUALITIES)}); at most {limits.MAX_CHORDS}.
- **Address patterns** `? * [a-z] [!a] {{a,b}}` speak to every address they match: `/*/morph 0.5`,
  `/{{melody,bass}}/mute 1`. One packet may come to {limits.MAX_REQUESTS_PER_DATAGRAM} requests.
  A `*` in place of a voice matches `bridge` and `clock` too: `/*/stop` also stops the clock.
- **Bundles**: a time tag up to {limits.MAX_BUNDLE_AHEAD_S:g} s ahead is kept, past and immediate ones act at once.
  At most {limits.MAX_WAITING_BUNDLES} wait.
- **One datagram**: {limits.MAX_DATAGRAM_BYTES} bytes, {limits.MAX_BUNDLE_ELEMENTS} elements,
  bundles {limits.MAX_BUNDLE_DEPTH} deep.
- **Answers and errors** go to where a request came from, or to the port its sender named in `/bridge/subscribe`.
  **Events** go to all subscribers; a requester that has not subscribed gets the `bars/*`, `late` and `launched` of
  its own request.
"""
_SCOPES: Final = (("The bridge", "bridge"), ("The clock", "clock"), ("A voice", VOICE))


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for title, scope in _SCOPES:
        parts += [f"## {title}\n", *(_entry(route) for route in ROUTES if route.scope == scope)]
    parts += ["## What the bridge sends\n", "| message | when |\n|---|---|"]
    parts += [f"| `{f'{event.address} {event.arguments}'.strip()}` | {event.text} |" for event in EVENTS]
    parts += ["\n## Errors\n", "`/error code:i address:s message:s`, to the sender.\n", "| code | meaning |\n|---|---|"]
    parts += [f"| {code} | {meaning} |" for code, meaning in ERROR_CODES.items()]
    return "\n".join([*parts, ""])


def _entry(route: Route) -> str:
    lines = [f"### `{f'{route.address} {route.signature}'.strip()}`", "", route.text]
    bounds = [f"- `{spec.name}`: {_bounds(spec)}" for spec in route.arguments]
    if bounds:
        lines += ["", *bounds]
    if route.answers:
        lines += ["", f"Answer: {route.answers}."]
    if route.example:
        lines += ["", f"Example: `{route.example}`"]
    return "\n".join([*lines, ""])


def _bounds(spec: Argument) -> str:
    words = spec.allowed()
    if spec.kind == "choice":
        words = ", ".join(f"`{choice}`" for choice in spec.choices)
    if spec.kind in ("int", "float"):
        words = f"{'whole number' if spec.kind == 'int' else 'number'}, {words}"
    if spec.default is not None:
        words += f"; default {spec.default:g}"
    elif spec.optional:
        words += "; may be left out"
    return words


if __name__ == "__main__":
    whole_file.write(PAGE, page())
