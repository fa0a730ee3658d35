"""The decoder against python-osc as the oracle, time tags, and what a datagram may cost."""

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from bridge import limits
from bridge.osc.decoder import Bundle, Malformed, Message, Unsupported, decode

NTP_UNIX_S = 2_208_988_800
WALL_NS = 1_795_000_000_000_000_000
ERA_TURN_NS = (2**32 - NTP_UNIX_S) * 10**9  # 2036-02-07 06:28:16, when NTP seconds start again at 0

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
argument = st.one_of(
    st.tuples(st.just("i"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("h"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("f"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("d"), st.floats(allow_nan=False)),
    st.tuples(st.just("s"), text),
    st.tuples(st.just("T"), st.just(True)),
    st.tuples(st.just("F"), st.just(False)),
)
address = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40).map(lambda name: "/" + name)


def built(address, arguments):
    builder = OscMessageBuilder(address)
    for tag, value in arguments:
        builder.add_arg(value, tag)
    return builder.build().dgram


def bundled(tag, *elements):
    sized = b"".join(struct.pack(">i", len(element)) + element for element in elements)
    return b"#bundle\0" + struct.pack(">Q", tag) + sized


def ntp(wall_ns):
    return (((wall_ns << 32) // 10**9) + (NTP_UNIX_S << 32)) % 2**64


@given(address, st.lists(argument, max_size=30))
def test_a_message_built_by_python_osc_comes_back_as_it_was(address, arguments):
    assert decode(built(address, arguments), 0, WALL_NS) == Message(address, tuple(value for _, value in arguments))


@given(address, st.lists(argument, max_size=30))
def test_we_and_python_osc_read_the_same(address, arguments):
    datagram = built(address, arguments)
    theirs = OscPacket(datagram).messages[0].message
    ours = decode(datagram, 0, WALL_NS)
    assert isinstance(ours, Message)
    assert (ours.address, list(ours.arguments)) == (theirs.address, theirs.params)


@given(st.lists(st.tuples(address, st.lists(argument, max_size=4)), min_size=1, max_size=8), st.booleans())
def test_a_bundle_built_by_python_osc_comes_back_as_it_was(messages, nested):
    outer = OscBundleBuilder(IMMEDIATELY)
    inner = OscBundleBuilder(IMMEDIATELY)
    for name, arguments in messages:
        builder = OscMessageBuilder(name)
        for tag, value in arguments:
            builder.add_arg(value, tag)
        (inner if nested else outer).add_content(builder.build())
    if nested:
        outer.add_content(inner.build())
    expected = tuple(Message(name, tuple(value for _, value in arguments)) for name, arguments in messages)
    if nested:
        expected = (Bundle(77, expected),)
    assert decode(outer.build().dgram, 77, WALL_NS) == Bundle(77, expected)


@given(st.binary(max_size=200))
def test_any_bytes_at_all_give_a_value(datagram):
    assert isinstance(decode(datagram, 0, WALL_NS), (Message, Bundle, Malformed))


@given(st.binary(max_size=60).map(lambda tail: b"/a\0\0," + tail))
def test_anything_after_an_address_gives_a_value(datagram):
    assert isinstance(decode(datagram, 0, WALL_NS), (Message, Malformed))


def test_nan_and_infinity_are_values_for_the_decoder():
    nan, infinity = decode(b"/a\0\0,ff\0" + b"\x7f\xc0\0\0" + b"\x7f\x80\0\0", 0, WALL_NS).arguments
    assert nan != nan
    assert infinity == float("inf")


def test_a_message_without_type_tags_has_no_arguments():
    assert decode(b"/bridge/ping\0\0\0\0", 0, WALL_NS) == Message("/bridge/ping", ())


@pytest.mark.parametrize(
    ("tags", "data"),
    [
        ("b", b"\0\0\0\x05hello\0\0\0"), ("b", b"\0\0\0\0"), ("t", b"\0" * 8), ("c", b"\0\0\0a"), ("r", b"\1\2\3\4"),
        ("m", b"\0\x90\x40\x40"), ("N", b""), ("I", b""), ("[", b""), ("]", b""),
    ],
)  # fmt: skip
def test_types_that_no_address_takes_are_known_by_their_size(tags, data):
    datagram = b"/a\0\0," + (tags + "i").encode() + b"\0" + data + b"\0\0\0\x07"
    assert decode(datagram, 0, WALL_NS) == Message("/a", (Unsupported(tags), 7))


def test_a_symbol_is_a_string():
    assert decode(b"/a\0\0,S\0\0hey\0", 0, WALL_NS) == Message("/a", ("hey",))


def test_too_many_arguments_are_not_read_but_still_too_many():
    many = limits.MAX_ARGUMENTS + 1
    message = decode(built("/a", [("i", 1)] * many), 0, WALL_NS)
    assert len(message.arguments) == many
    assert set(message.arguments) == {Unsupported("...")}
    assert decode(built("/a", [("i", 1)] * (many - 1)), 0, WALL_NS).arguments == (1,) * (many - 1)


# -- time tags --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_ms", [0.5, 10, 1000, 59_999, 60_001, 3_600_000])
def test_a_time_tag_ahead_is_due_that_much_after_the_arrival(ahead_ms):
    ahead_ns = round(ahead_ms * 1e6)
    bundle = decode(bundled(ntp(WALL_NS + ahead_ns)), 1000, WALL_NS)
    assert bundle.due_ns == pytest.approx(1000 + ahead_ns, abs=2)


@pytest.mark.parametrize("tag", [0, 1, 2, 5 << 32, ntp(0), ntp(WALL_NS - 1), ntp(WALL_NS - 10**18)])
def test_immediately_and_the_past_are_due_at_the_arrival(tag):
    assert decode(bundled(tag), 1000, WALL_NS) == Bundle(1000, ())


def test_the_last_time_tag_there_is_lies_far_ahead():
    assert decode(bundled(2**64 - 1), 0, WALL_NS).due_ns > 10**9 * 86400 * 365


@pytest.mark.parametrize("before_turn_ns", [5 * 10**8, -5 * 10**8])
def test_a_second_ahead_is_a_second_ahead_across_the_turn_of_the_ntp_era(before_turn_ns):
    now_ns = ERA_TURN_NS - before_turn_ns
    assert decode(bundled(ntp(now_ns + 10**9)), 0, now_ns).due_ns == pytest.approx(10**9, abs=2)
    assert decode(bundled(ntp(now_ns - 10**9)), 0, now_ns).due_ns == 0


def test_a_nested_bundle_is_due_at_its_own_time_but_not_before_the_one_around_it():
    second = ntp(WALL_NS + 10**9)
    two_seconds = ntp(WALL_NS + 2 * 10**9)
    later = decode(bundled(second, bundled(two_seconds)), 0, WALL_NS)
    assert later.elements[0].due_ns == pytest.approx(2e9, abs=2)
    for tag in (1, 0, ntp(WALL_NS)):
        assert decode(bundled(second, bundled(tag)), 0, WALL_NS).elements[0].due_ns == pytest.approx(1e9, abs=2)
    assert decode(bundled(1, bundled(second)), 0, WALL_NS).elements[0].due_ns == pytest.approx(1e9, abs=2)


# -- bounds -----------------------------------------------------------------------------------------------------------

SMALL = b"/a\0\0,\0\0\0"


def test_the_largest_datagram_is_taken_and_one_more_is_not():
    head = b"/a\0\0,s\0\0"
    fits = head + b"x" * (limits.MAX_DATAGRAM_BYTES - len(head) - 4) + b"\0\0\0\0"
    assert len(fits) == limits.MAX_DATAGRAM_BYTES
    assert isinstance(decode(fits, 0, WALL_NS), Message)
    assert isinstance(decode(fits + b"\0\0\0\0", 0, WALL_NS), Malformed)


def test_as_many_elements_as_allowed_and_one_more():
    assert isinstance(decode(bundled(1, *[SMALL] * limits.MAX_BUNDLE_ELEMENTS), 0, WALL_NS), Bundle)
    assert isinstance(decode(bundled(1, *[SMALL] * (limits.MAX_BUNDLE_ELEMENTS + 1)), 0, WALL_NS), Malformed)


def test_elements_are_counted_over_all_nested_bundles():
    half = bundled(1, *[SMALL] * (limits.MAX_BUNDLE_ELEMENTS // 2))
    assert isinstance(decode(bundled(1, half, half), 0, WALL_NS), Malformed)


def test_as_deep_as_allowed_and_one_deeper():
    nest = SMALL
    for depth in range(1, limits.MAX_BUNDLE_DEPTH + 2):
        nest = bundled(1, nest)
        assert isinstance(decode(nest, 0, WALL_NS), Bundle if depth <= limits.MAX_BUNDLE_DEPTH else Malformed)


def heaviest():
    def message(tags, data):
        return b"/a\0\0," + tags + b"\0" * (4 - (len(tags) + 1) % 4) + data

    full = limits.MAX_ARGUMENTS
    one_each = {
        "least messages": [SMALL] * limits.MAX_BUNDLE_ELEMENTS,
        "knobs": [built("/bass/xy", [("f", 0.5), ("f", 0.5)])] * limits.MAX_BUNDLE_ELEMENTS,
        "tags without bytes": [message(b"T" * full, b"")] * 30,
        "nils": [message(b"N" * full, b"")] * 30,
        "empty strings": [message(b"s" * full, b"\0\0\0\0" * full)] * 6,
        "numbers and truth": [message(b"fT" * (full // 2), b"\0\0\0\0" * (full // 2))] * 10,
        "blobs": [message(b"b" * full, b"\0\0\0\0" * full)] * 6,
        "nests": [bundled(1, bundled(1, bundled(1, b"/a\0\0")))] * 64,
        "last one broken": [SMALL] * (limits.MAX_BUNDLE_ELEMENTS - 1) + [b"/a\0\0,i\0\0"],
    }
    datagrams = {name: bundled(1, *elements) for name, elements in one_each.items()}
    datagrams["one long address"] = b"/" + b"a" * 8187 + b"\0\0\0\0"
    datagrams["one long tag string"] = b"/a\0\0," + b"N" * 8184 + b"\0\0\0"
    datagrams["one long string"] = b"/a\0\0,s\0\0" + b"\xc3\xa4" * 4090 + b"\0\0\0\0"
    return datagrams


@pytest.mark.parametrize(("name", "datagram"), heaviest().items(), ids=heaviest())
def test_no_datagram_takes_more_than_four_lines_a_byte(name, datagram):
    """A datagram can be made to cost more than another, but by no more than its bytes."""
    lines = 0

    def count(_frame, event, _value):
        nonlocal lines
        lines += event == "line"
        return count

    assert len(datagram) <= limits.MAX_DATAGRAM_BYTES
    before = sys.gettrace()
    sys.settrace(count)
    try:
        decode(datagram, 0, WALL_NS)
    finally:
        sys.settrace(before)
    assert 0 < lines < 4 * limits.MAX_DATAGRAM_BYTES
