"""What we send, read back by python-osc and by our own decoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from bridge.osc.decoder import Message, decode
from bridge.osc.encoder import encode

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
values = st.one_of(st.integers(-(2**31), 2**31 - 1), st.floats(width=32, allow_nan=False), texts)


@given(st.lists(values, max_size=20))
def test_it_is_what_python_osc_would_have_built_and_reads_back(arguments):
    datagram = encode("/melody/bars/notes", tuple(arguments))
    builder = OscMessageBuilder("/melody/bars/notes")
    for value in arguments:
        builder.add_arg(value, {int: "i", float: "f", str: "s"}[type(value)])
    assert datagram == builder.build().dgram
    assert OscPacket(datagram).messages[0].message.params == arguments
    assert decode(datagram, 0, 0) == Message("/melody/bars/notes", tuple(arguments))


def test_truth_is_sent_as_a_whole_number():
    assert encode("/a", (True, False)) == encode("/a", (1, 0))


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1e39, "a\0b", "\ud800", None, b"x", [1]])
def test_what_cannot_be_sent_is_a_bug_and_says_so(value):
    with pytest.raises(ValueError, match="/a: cannot send"):
        encode("/a", (value,))
