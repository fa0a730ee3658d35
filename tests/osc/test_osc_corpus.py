"""Packets that are not OSC, by hand: nothing is answered, nothing is done, nothing is thrown; each is counted.

Among them are the nine of design note C2 that hang or crash python-osc 1.10.2, and the shapes of liblo's own invalid
messages. What is well-formed OSC but wrong for us is in the second list: it gets an answer.
"""

import struct
import time

import pytest

from bridge import limits

HEAD = b"#bundle\0"
NOW = struct.pack(">Q", 1)
PING = b"/bridge/ping\0\0\0\0,\0\0\0"
MORPH = b"/melody/morph\0\0\0,f\0\0\x3f\0\0\0"
NAN = b"\x7f\xc0\0\0"
FAR = struct.pack(">Q", (1_795_000_000 + 2_208_988_800 + 3600) << 32)


def sized(element, size=None):
    return struct.pack(">i", len(element) if size is None else size) + element


def bundle(*elements, tag=NOW):
    return HEAD + tag + b"".join(sized(element) for element in elements)


def nested(depth, core=PING):
    for _ in range(depth):
        core = bundle(core)
    return core


def tagged(tags, data=b""):
    raw = b"," + tags
    return b"/melody/morph\0\0\0" + raw + b"\0" * (4 - len(raw) % 4) + data


NOT_OSC: dict[str, bytes] = {
    # -- too small, too large, not a multiple of four
    "nothing": b"",
    "one nul": b"\0",
    "two nuls": b"\0\0",
    "three nuls": b"\0\0\0",
    "four nuls": b"\0\0\0\0",
    "eight nuls": b"\0" * 8,
    "8 KiB of nuls": b"\0" * 8192,
    "a slash": b"/",
    "a slash and a nul": b"/\0",
    "a slash and two nuls": b"/\0\0",
    "a slash and six nuls": b"/\0\0\0\0\0\0",
    "a slash and eight nuls": b"/\0\0\0\0\0\0\0\0",
    "one byte less": PING[:-1],
    "two bytes less": PING[:-2],
    "three bytes less": PING[:-3],
    "one byte more": PING + b"\0",
    "two bytes more": PING + b"\0\0",
    "three bytes more": PING + b"\0\0\0",
    "larger than a datagram may be": b"/a\0\0,s\0\0" + b"x" * 8184 + b"\0\0\0\0",
    "64 KiB of pings": PING * 3000,
    "8 KiB of 0xff": b"\xff" * 8192,
    "8 KiB of slashes": b"/" * 8192,
    "8 KiB of commas": b"," * 8192,
    "8 KiB of hashes": b"#" * 8192,
    # -- other protocols that find their way to a port
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\0",
    "a DNS query": b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1\0\0\0",
    "a SIP line": b"OPTIONS sip:100@1.1.1.1 SIP/2.0\n",
    "an NTP packet": b"\x1b" + b"\0" * 47,
    "a STUN request": b"\0\1\0\0\x21\x12\xa4\x42" + b"\0" * 12,
    "an RTP-MIDI invitation": b"\xff\xffIN\0\0\0\2\0\0\0\1\0\0\0\2Live\0\0\0\0",
    "raw MIDI": b"\x90\x3c\x64\0",
    "SLIP-framed OSC": b"\xc0" + PING + b"\xc0\0\0",
    "OSC with a TCP length before it": sized(PING),
    "JSON": b'{"address": "/bridge/ping"} \0',
    "an mDNS answer": b"\0\0\x84\0\0\0\0\1\0\0\0\0\4_osc\4_udp\5local\0\0\0",
    "a camera's discovery (SuperCollider 7326)": b'<?xml version="1.0" encoding="utf-8"?><Envelope/>\0\0',
    "an SSDP search": b'M-SEARCH * HTTP/1.1\r\nMAN: "ssdp:discover"\r\n\r\n\0\0\0',
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    # -- addresses
    "no slash at the front": b"bridge/ping\0,\0\0\0",
    "a space before the slash": b" /bridge/ping\0\0\0,\0\0\0",
    "a nul before the slash": b"\0/bridge/ping\0\0\0",
    "a comma in place of an address": b",\0\0\0",
    "type tags in place of an address": b",i\0\0\0\0\0\1",
    "an address without an end": b"/bridge/ping",
    "an 8 KiB address without an end": b"/" + b"a" * 8191,
    "an address with padding that is not nul": b"/bridge/ping\0abc,\0\0\0",
    "an address with one byte of padding that is not nul": b"/bridge/ping\0\0\0\1,\0\0\0",
    "an address padded with spaces": b"/bridge/pin\0    ,\0\0\0",
    "an address with too much padding": b"/bridge/ping\0\0\0\0\0\0\0\0,\0\0\0",
    "an address in Latin-1 (C2: UnicodeDecodeError)": b"/m\xe9lody\0,\0\0\0",
    "an address that is not UTF-8 (C2)": b"/\xff\xfe\xfd\0\0\0\0,\0\0\0",
    "an address with an umlaut in UTF-8": b"/m\xc3\xa4dchen\0\0,\0\0\0",
    "an address in Japanese": "/音".encode() + b"\0\0\0\0",
    "an address with an overlong slash": b"/a\xc0\xafb\0\0\0,\0\0\0",
    "an address with a surrogate": b"/\xed\xa0\x80\0\0\0\0,\0\0\0",
    "an address with a line feed": b"/a\nb\0\0\0\0,\0\0\0",
    "an address with a carriage return": b"/a\rb\0\0\0\0,\0\0\0",
    "an address with a tab": b"/a\tb\0\0\0\0,\0\0\0",
    "an address with a bell": b"/a\x07b\0\0\0\0,\0\0\0",
    "an address with an escape sequence": b"/\x1b[2J\0\0\0,\0\0\0",
    "an address with DEL": b"/a\x7f\0,\0\0\0",
    # -- type tags
    "type tags without a comma": b"/bridge/ping\0\0\0\0i\0\0\0\0\0\0\1",
    "arguments without type tags": b"/bridge/ping\0\0\0\0\0\0\0\1",
    "nuls in place of type tags": PING[:16] + b"\0\0\0\0" * 2,
    "type tags without an end": PING[:16] + b",iii",
    "type tags without an end, long": PING[:16] + b"," + b"i" * 255,
    "type tags with padding that is not nul": PING[:16] + b",\0\0\1",
    "type tags padded with commas": PING[:16] + b",\0,,",
    "type tags with too much padding": PING[:16] + b",\0\0\0\0\0\0\0",
    "two strings of type tags": PING[:16] + b",i\0\0,i\0\0\0\0\0\1",
    "unknown tag q": tagged(b"q", b"\0" * 8),
    "unknown tag x": tagged(b"x"),
    "unknown tag space": tagged(b" f", b"\0\0\0\0"),
    "unknown tag asterisk": tagged(b"*"),
    "unknown tag comma": tagged(b",f", b"\0\0\0\0"),
    "unknown tag slash": tagged(b"/"),
    "unknown tag 0x80": tagged(b"\x80"),
    "unknown tag 0xff": tagged(b"\xff"),
    "unknown tag DEL": tagged(b"\x7f"),
    "unknown tag 1": tagged(b"1"),
    "unknown tag after a good one": tagged(b"fk", b"\x3f\0\0\0"),
    "a tag in UTF-8": tagged("é".encode()),
    "capital tags": tagged(b"IFHD", b"\0" * 24),
    # -- arguments too short
    "an int without its bytes": tagged(b"i"),
    "a float without its bytes (C2: delivered as 0.0)": tagged(b"f"),
    "a long without its bytes": tagged(b"h"),
    "half a long": tagged(b"h", b"\0\0\0\0"),
    "half a double": tagged(b"d", b"\0\0\0\0"),
    "a double without its bytes": tagged(b"d"),
    "half a time tag": tagged(b"t", b"\0\0\0\0"),
    "a time tag without its bytes": tagged(b"t"),
    "a char without its bytes": tagged(b"c"),
    "a colour without its bytes": tagged(b"r"),
    "MIDI without its bytes": tagged(b"m"),
    "the second of two floats is missing": tagged(b"ff", b"\x3f\0\0\0"),
    "the last of 150 is missing": tagged(b"i" * 150, b"\0\0\0\0" * 149),
    "a float after truth is missing": tagged(b"Tf"),
    "a float after a string is missing": tagged(b"sf", b"abc\0"),
    "250 tags and no bytes": tagged(b"f" * 250),
    # -- arguments left over
    "an int too many": tagged(b"f", b"\x3f\0\0\0\0\0\0\0"),
    "bytes after truth": tagged(b"T", b"\0\0\0\1"),
    "bytes after a string": tagged(b"s", b"abc\0\0\0\0\0"),
    "bytes after a blob": tagged(b"b", b"\0\0\0\4abcd\0\0\0\0"),
    "a message after the message": PING + PING,
    "a bundle after the message": PING + bundle(PING),
    "8 KiB after the message": PING + b"\0" * 8000,
    # -- strings
    "a string without bytes": tagged(b"s"),
    "a string without an end": tagged(b"s", b"abcd"),
    "a long string without an end": tagged(b"s", b"abcd" * 1000),
    "a string with padding that is not nul": tagged(b"s", b"ab\0x"),
    "a string padded with 0xff": tagged(b"s", b"a\0\xff\xff"),
    "the second string has no end": tagged(b"ss", b"abc\0defg"),
    "a symbol without an end": tagged(b"S", b"abcd"),
    # -- blobs
    "a blob without bytes": tagged(b"b"),
    "a blob of size -1": tagged(b"b", b"\xff\xff\xff\xff"),
    "a blob of size -4": tagged(b"b", b"\xff\xff\xff\xfc" + b"\0" * 8),
    "a blob of the least size there is": tagged(b"b", b"\x80\0\0\0" + b"\0" * 8),
    "a blob of the largest size there is": tagged(b"b", b"\x7f\xff\xff\xff" + b"\0" * 8),
    "a blob one byte longer than there is": tagged(b"b", b"\0\0\0\5abcd"),
    "a blob of four bytes with none": tagged(b"b", b"\0\0\0\4"),
    "a blob without its padding": tagged(b"b", b"\0\0\0\1"),
    "a blob with padding that is not nul": tagged(b"b", b"\0\0\0\1axyz"),
    "the second blob is too long": tagged(b"bb", b"\0\0\0\0\0\0\0\1"),
    # -- the head of a bundle
    "#": b"#\0\0\0",
    "#bundle alone": HEAD,
    "#bundle and half a time tag": HEAD + b"\0\0\0\0",
    "#bundle without its nul": b"#bundle/" + NOW,
    "#bundl": b"#bundl\0\0" + NOW,
    "#Bundle": b"#Bundle\0" + NOW,
    "#bundle with a space": b"#bundle " + NOW,
    "##bundle": b"##bundle" + NOW,
    "#bundle!": b"#bundle!" + NOW + sized(PING),
    # -- the elements of a bundle
    "size without element": bundle() + b"\0\0\0\x14",
    "element of size 0": bundle() + sized(b"", 0),
    "element of size 0, then a good one": bundle() + sized(b"", 0) + sized(PING),
    "element of size -1": bundle() + sized(PING, -1),
    "element of size -4 (C2: endless loop)": bundle() + b"\xff\xff\xff\xfc",
    "element of size -16": bundle() + sized(PING, -16),
    "element of the least size there is": bundle() + sized(PING, -(2**31)),
    "element of the largest size there is": bundle() + sized(PING, 2**31 - 1),
    "element one byte too long": bundle() + sized(PING, len(PING) + 1),
    "element four bytes too long": bundle() + sized(PING, len(PING) + 4),
    "element one byte too short": bundle() + sized(PING, len(PING) - 1),
    "element four bytes too short": bundle() + sized(PING, len(PING) - 4),
    "element of size 1": bundle() + sized(PING, 1),
    "element of size 2": bundle() + sized(PING, 2),
    "element of size 3": bundle() + sized(PING, 3),
    "element of odd size": bundle() + sized(PING + b"\0\0\0\0", 21),
    "element that is neither message nor bundle": bundle(b"hello, world\0\0\0\0"),
    "element of nuls": bundle(b"\0" * 16),
    "element that is four nuls": bundle(b"\0\0\0\0"),
    "element that is a size": bundle(b"\0\0\0\x14"),
    "element that is a bundle's head alone": bundle(HEAD),
    "element that is a bundle with a broken element": bundle(bundle() + b"\xff\xff\xff\xfc"),
    "element that goes beyond the bundle around it": HEAD + NOW + sized(bundle() + sized(PING, 40), 20) + PING,
    "a good element, then a broken one": bundle(MORPH, b"/a\0\0,i\0\0"),
    "a good element, then bytes left over": bundle(MORPH) + b"\0\0\0\0",
    "a broken element, then a good one": bundle(b"/a\0\0,i\0\0", MORPH),
    "later: a broken element": bundle(b"/a\0\0,i\0\0", tag=FAR),
    # -- too much of it
    "one bundle deeper than allowed": nested(limits.MAX_BUNDLE_DEPTH + 1),
    "100 bundles deep": nested(100),
    "400 bundles deep": nested(400),
    "900 bundles deep (C2: RecursionError)": nested(900),
    "one element more than allowed": bundle(*[b"/a\0\0"] * (limits.MAX_BUNDLE_ELEMENTS + 1)),
    "600 elements": bundle(*[b"/a\0\0,\0\0\0"] * 600),
    "8 KiB of empty bundles": bundle(*[bundle()] * 400),
}


def test_there_are_enough_of_them():
    assert len(NOT_OSC) >= 150
    assert len(set(NOT_OSC.values())) == len(NOT_OSC)


@pytest.mark.parametrize("datagram", NOT_OSC.values(), ids=NOT_OSC)
def test_what_is_not_osc_is_counted_and_does_nothing(rig, datagram):
    assert not rig.send(datagram)
    assert rig.requests == []
    assert rig.errors == []
    assert len(rig.dispatcher.waiting) == 0
    assert (rig.dispatcher.counters.packets, rig.dispatcher.counters.malformed) == (1, 1)


@pytest.mark.parametrize("datagram", NOT_OSC.values(), ids=NOT_OSC)
def test_within_a_bundle_it_does_nothing_either(rig, datagram):
    padded = datagram[: len(datagram) // 4 * 4]
    rig.send(bundle(MORPH, padded))
    if rig.dispatcher.counters.malformed:
        assert rig.requests == []
    else:  # cut to four bytes it may have become OSC; then it is acted on like any other
        assert rig.requests[0].address == "/melody/morph"


def test_after_all_of_them_it_still_plays(rig):
    for datagram in NOT_OSC.values():
        rig.send(datagram)
    assert rig.send(MORPH)
    assert rig.requests[0].args == {"x": 0.5}


WELL_FORMED_BUT_WRONG: dict[str, tuple[bytes, int]] = {
    "NaN (C2: delivered)": (tagged(b"f", NAN), 3),
    "infinity": (tagged(b"f", b"\x7f\x80\0\0"), 3),
    "minus infinity": (tagged(b"f", b"\xff\x80\0\0"), 3),
    "a double NaN": (tagged(b"d", b"\x7f\xf8\0\0\0\0\0\0"), 3),
    "a blob": (tagged(b"b", b"\0\0\0\4abcd"), 2),
    "a nil": (tagged(b"N"), 2),
    "an impulse": (tagged(b"I"), 2),
    "an array": (tagged(b"[f]", b"\x3f\0\0\0"), 2),
    "an array without an end": (tagged(b"[[[["), 2),
    "a time tag": (tagged(b"t", b"\0" * 8), 2),
    "MIDI": (tagged(b"m", b"\0\x90\x40\x40"), 2),
    "a colour": (tagged(b"r", b"\0\0\0\0"), 2),
    "a character": (tagged(b"c", b"\0\0\0a"), 2),
    "8,000 truths": (tagged(b"T" * 8000), 2),
    "2,000 floats": (tagged(b"f" * 2000, b"\0" * 4), 2),
    "truth where a number is wanted": (tagged(b"T"), 2),
    "a string in Latin-1 (SuperCollider 5267)": (tagged(b"s", b"\xe7\xe3o\0"), 2),
    "a string cut in the middle of a character": (tagged(b"s", b"ab\xc3\0"), 2),
    "a string with a surrogate": (tagged(b"s", b"\xed\xa0\x80\0"), 2),
    "a string with an overlong nul": (tagged(b"s", b"a\xc0\x80\0"), 2),
    "a string beyond Unicode": (tagged(b"s", b"\xf5\x80\x80\x80\0\0\0\0"), 2),
    "a string of continuation bytes": (tagged(b"s", b"\x80\x80\x80\0"), 2),
    "a symbol that is not UTF-8": (tagged(b"S", b"\xff\xff\xff\0"), 2),
    "the address /": (b"/\0\0\0,\0\0\0", 1),
    "the address //": (b"//\0\0,\0\0\0", 1),
    "an address with a slash at the end": (b"/melody/morph/\0\0,f\0\0\x3f\0\0\0", 1),
    "an address with a space": (b"/a b\0\0\0\0,\0\0\0", 1),
    "an address with a hash": (b"/a#b\0\0\0\0,\0\0\0", 1),
    "an address with a comma": (b"/a,b\0\0\0\0,\0\0\0", 1),
    "an address of 8 KiB": (b"/" + b"a" * 8183 + b"\0\0\0\0,\0\0\0"[:8], 1),
    "a pattern without an end": (b"/melody/[mo\0,\0\0\0", 1),
    "a brace without an end": (b"/melody/{mo\0,\0\0\0", 1),
    "a bracket that was never open": (b"/melody/mo]\0,\0\0\0", 1),
    "a brace that was never open": (b"/melody/mo}\0,\0\0\0", 1),
    "24 stars (C2: 0.54 s)": (b"/" + b"*" * 24 + b"!\0\0,\0\0\0", 1),
    "30 stars (C2: 3.6 s)": (b"/" + b"*" * 30 + b"!\0\0\0\0,\0\0\0", 1),
    "40 stars (C2: more than 6 s)": (b"/" + b"*" * 40 + b"!\0\0,\0\0\0", 1),
    "a pattern of 4,000 stars": (b"/" + b"*" * 4000 + b"!\0\0,\0\0\0", 1),
    "an hour ahead (C2: the whole loop sleeps)": (bundle(PING, tag=FAR), 3),
    "the last time there is": (bundle(PING, tag=b"\xff" * 8), 3),
}


@pytest.mark.parametrize(("datagram", "code"), WELL_FORMED_BUT_WRONG.values(), ids=WELL_FORMED_BUT_WRONG)
def test_osc_that_is_wrong_for_us_is_answered_at_once(rig, datagram, code):
    before_ns = time.thread_time_ns()
    assert rig.send(datagram)
    assert time.thread_time_ns() - before_ns < 20_000_000
    assert rig.codes == [code]
    assert rig.requests == []
    assert len(rig.dispatcher.waiting) == 0


def test_a_string_that_is_not_utf_8_is_answered_and_named_and_what_is_beside_it_is_done(rig):
    store = b"/melody/store\0\0\0,s\0\0\xe4\0\0\0"
    assert rig.send(bundle(MORPH, store, MORPH))
    assert [request.verb for request in rig.requests] == ["morph", "morph"]
    (_, code, address, message) = rig.errors[0]
    assert (rig.codes, code, address) == ([2], 2, "/melody/store")
    assert message == "slot is a string that is not UTF-8, wanted a string"


def test_where_nobody_lives_that_is_told_whatever_the_strings_are(rig):
    assert rig.send(b"/nobody\0,s\0\0\xe4\0\0\0")
    assert rig.codes == [1]
