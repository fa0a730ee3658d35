"""Patterns against a naive oracle, the examples of the OSC 1.0 text, and what the worst of them cost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.limits import MAX_ADDRESS_CHARS
from bridge.osc.patterns import PatternMatcher, is_pattern
from bridge.osc.table import AddressTable

ADDRESSES = AddressTable(("melody", "bass", "drums")).addresses


def oracle(pattern, address):
    """Straight from the text of OSC 1.0, trying every way; None where the pattern is not well-formed."""
    if not pattern:
        return not address
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        longest = (address + "/").index("/")
        return any(oracle(rest, address[length:]) for length in range(longest + 1))
    if first == "?":
        return address[:1] not in ("", "/") and oracle(rest, address[1:])
    if first == "[":
        inside, closed, rest = rest.partition("]")
        if not closed or "/" in inside:
            return False
        return address[:1] not in ("", "/") and listed(address[0], inside) and oracle(rest, address[1:])
    if first == "{":
        inside, closed, rest = rest.partition("}")
        if not closed or "/" in inside:
            return False
        return any(address.startswith(one) and oracle(rest, address[len(one) :]) for one in inside.split(","))
    return first not in "]}" and address[:1] == first and oracle(rest, address[1:])


def listed(character, inside):
    negated = inside.startswith("!")
    rest = list(inside[1:] if negated else inside)
    members = set()
    while rest:
        if len(rest) > 2 and rest[1] == "-":
            members |= {chr(code) for code in range(ord(rest[0]), ord(rest[2]) + 1)}
            rest = rest[3:]
        else:
            members.add(rest.pop(0))
    return (character in members) != negated


pieces = st.one_of(
    st.sampled_from(["*", "?", "/", "a", "b", "c", "ab", "bc", "[ab]", "[!a]", "[a-b]", "[!b-c]", "[-a]"]),
    st.sampled_from(["[a-]", "[]", "[!]", "[c-a]", "[a-b-c]", "[a", "{b", "]", "}", "[/]"]),
    st.sampled_from(["{a,b}", "{ab,a}", "{a,}", "{}", "{abc,c}", "{a,b,c}"]),
)
patterns = st.lists(pieces, max_size=8).map(lambda parts: "/" + "".join(parts))
names = st.text("abc/-", max_size=7).map(lambda name: "/" + name)


@given(patterns, st.lists(names, min_size=1, max_size=12, unique=True))
def test_it_matches_what_the_oracle_matches(pattern, addresses):
    expected = tuple(address for address in addresses if oracle(pattern, address))
    assert PatternMatcher(addresses).match(pattern) == expected


@given(st.text("abcdemnorpxy?*[]{}!-,/", max_size=14).map(lambda tail: "/" + tail))
def test_any_pattern_on_the_real_addresses(pattern):
    expected = tuple(address for address in ADDRESSES if oracle(pattern, address))
    assert PatternMatcher(ADDRESSES).match(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/*/morph", ["/melody/morph", "/bass/morph", "/drums/morph"]),
        ("/{melody,bass}/mute", ["/melody/mute", "/bass/mute"]),
        ("/melody/mute", ["/melody/mute"]),
        ("/mel*/mor?h", ["/melody/morph"]),
        ("/[!m]*/xy", ["/bass/xy", "/drums/xy"]),
        ("/[a-c]*/xy", ["/bass/xy"]),
        ("/melody/seed/*", ["/melody/seed/begin", "/melody/seed/notes", "/melody/seed/end"]),
        ("/melody/seed*", ["/melody/seed"]),
        ("/clock/{pla,sto}?", ["/clock/play", "/clock/stop"]),
        ("/*", []),
        ("/melody", []),
        ("/melody/*morph*", ["/melody/morph"]),
        ("/*/?", []),
        ("/*/??", ["/melody/xy", "/bass/xy", "/drums/xy"]),
        ("*", []),
        ("//morph", []),
        ("/MELODY/*", []),
    ],
)
def test_by_hand(pattern, expected):
    assert sorted(PatternMatcher(ADDRESSES).match(pattern)) == sorted(expected)


def test_every_address_by_the_widest_patterns():
    matcher = PatternMatcher(ADDRESSES)
    assert sorted(matcher.match("/*/*") + matcher.match("/*/*/*")) == sorted(ADDRESSES)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_matches_itself_and_is_no_pattern(address):
    assert not is_pattern(address)
    assert PatternMatcher(ADDRESSES).match(address) == (address,)


def test_no_addresses_no_matches():
    assert PatternMatcher(()).match("/*") == ()


worst = {
    "stars": "/" + "*" * 126 + "!",
    "stars and question marks": "/*/" + "*?" * 62,
    "wide lists": "/" + "[ -~]" * 25,
    "ranges in a list": "/[" + "a-z" * 41 + "]",
    "negated lists": "/*/" + "[!~]" * 31,
    "alternatives": "/{" + "melody," * 17 + "m}",
    "empty alternatives": "/*/{" + "," * 120 + "}",
    "open brackets": "/" + "[" * 127,
    "all of it": "/*/" + "*[a-z]?{a,b,}" * 9,
}


@pytest.mark.parametrize("pattern", worst.values(), ids=worst)
def test_the_worst_patterns_cost_a_fraction_of_a_millisecond(pattern):
    assert len(pattern) <= MAX_ADDRESS_CHARS
    matcher = PatternMatcher(ADDRESSES)
    costs_ns = []
    for _ in range(10):
        before_ns = time.thread_time_ns()
        matcher.match(pattern)
        costs_ns.append(time.thread_time_ns() - before_ns)
    assert min(costs_ns) < 500_000


def test_cost_grows_with_the_pattern_not_with_its_square():
    matcher = PatternMatcher(ADDRESSES)

    def cost_ns(stars):
        pattern = "/" + "*" * stars
        least = 10**12
        for _ in range(20):
            before_ns = time.thread_time_ns()
            matcher.match(pattern)
            least = min(least, time.thread_time_ns() - before_ns)
        return least

    assert cost_ns(4000) < 40 * cost_ns(400)
