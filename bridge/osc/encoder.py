"""Messages we send, as datagrams; python-osc writes the types."""

from __future__ import annotations

from typing import Final

from pythonosc.parsing.osc_types import BuildError, write_float, write_int, write_string

Sendable = int | float | str | bool
_NUL: Final = "\0"


def encode(address: str, arguments: tuple[Sendable, ...]) -> bytes:
    """One message: whole numbers and truth as ``i``, other numbers as ``f``, text as ``s``.

    Raises:
        ValueError: an integer beyond 32 bits, a float beyond 32-bit floats, text with a NUL, or no type of ours: a
            bug of the caller, for all that we send is ours.
    """
    tags = ","
    parts = []
    try:
        for value in arguments:
            if isinstance(value, int):  # bool is one
                tags += "i"
                parts.append(write_int(value))
            elif isinstance(value, float):
                tags += "f"
                parts.append(write_float(value))
            elif isinstance(value, str) and _NUL not in value:
                tags += "s"
                parts.append(write_string(value))
            else:
                raise ValueError(f"{address}: cannot send {value!r}")
        return b"".join((write_string(address), write_string(tags), *parts))
    except (BuildError, OverflowError) as fault:
        raise ValueError(f"{address}: cannot send {arguments!r}: {fault}") from fault
