"""The table against the contract, written out a second time here by hand; and every route with what is wrong for it."""

import math

import pytest

from bridge.osc.arguments import QUALITIES
from bridge.osc.routes import ERROR_CODES, EVENTS, ROUTES
from bridge.session.outside import RefusedError

NOTE = (60, 0.0, 1.0, 100, 0)
LIVE = {"playing": True, "tempo": 120.0, "beats": 16, "fraction": 0.25, "numerator": 7, "denominator": 8}
MODES = (
    "major minor dorian phrygian lydian mixolydian locrian harmonic_minor melodic_minor pentatonic_major "
    "pentatonic_minor blues chromatic"
)

# address, arguments as a client sends them, what the session gets (None: the request is refused with error 4 for now)
VALID = [
    ("/bridge/ping", (), {"token": 0}),
    ("/bridge/ping", (-(2**31),), {"token": -(2**31)}),
    ("/bridge/ping", (7.0,), {"token": 7}),
    ("/bridge/subscribe", (), {"port": None}),
    ("/bridge/subscribe", (9101.0,), {"port": 9101}),
    ("/bridge/unsubscribe", (), {}),
    ("/bridge/state", (), {}),
    ("/bridge/panic", (), {}),
    ("/bridge/save", ("my verse-1_b",), {"name": "my verse-1_b"}),
    ("/bridge/load", ("verse",), {"name": "verse"}),
    *(("/bridge/key", (-1, mode), {"tonic": -1, "mode": mode}) for mode in MODES.split()),
    ("/bridge/chords", (), {"length": None, "chords": None}),
    (
        "/bridge/chords",
        (8.0, 0.0, 9, "min", 4, 5, "maj"),
        {"length": 8.0, "chords": [(0.0, 9, "min"), (4.0, 5, "maj")]},
    ),
    ("/bridge/chords", (4.0, 0.0, 0, 7), {"length": 4.0, "chords": [(0.0, 0, "7")]}),
    *(("/bridge/chords", (4.0, 0.0, 0, q), {"length": 4.0, "chords": [(0.0, 0, q)]}) for q in QUALITIES),
    ("/clock/source", ("auto",), {"source": "auto"}),
    ("/clock/source", ("internal",), {"source": "internal"}),
    ("/clock/source", ("live",), {"source": "live"}),
    ("/clock/source", ("midi",), {"source": "midi"}),
    ("/clock/source", ("link",), {"source": "link"}),
    ("/clock/tempo", (20,), {"tempo": 20.0}),
    ("/clock/tempo", (999.0,), {"tempo": 999.0}),
    ("/clock/tap", (), {}),
    ("/clock/nudge", (-5.0,), {"ms": -5.0}),
    ("/clock/offset", (-12.5,), {"ms": -12.5}),
    ("/clock/play", (), {}),
    ("/clock/stop", (), {}),
    ("/clock/continue", (), {}),
    ("/clock/live", (1, 120, 16, 0.25, 7, 8), {**LIVE, "bar": -1, "beat_in_bar": 0.0}),
    ("/clock/live", (True, 120.0, 16.0, 0.25, 7.0, 8.0, 4.0, 1.5), {**LIVE, "bar": 4, "beat_in_bar": 1.5}),
    ("/VOICE/next", (), {"bars": 2}),
    ("/VOICE/next", (16.0,), {"bars": 16}),
    ("/VOICE/sample", (), {"bars": 2}),
    ("/VOICE/sample", (1,), {"bars": 1}),
    ("/VOICE/vary", (), {"amount": 0.5}),
    ("/VOICE/vary", (1,), {"amount": 1.0}),
    ("/VOICE/auto", (0,), {"bars": 0}),
    ("/VOICE/seed", (8, *NOTE), {"length": 8.0, "notes": [NOTE]}),
    ("/VOICE/seed", (8.0, 60.0, 0, 1, 100.0, 2.0), {"length": 8.0, "notes": [(60, 0.0, 1.0, 100, 2)]}),
    ("/VOICE/seed", (256.0, *NOTE * 30), {"length": 256.0, "notes": [NOTE] * 30}),
    ("/VOICE/seed", (8.0,), {"length": 8.0, "notes": []}),
    ("/VOICE/seed/begin", (0.25,), {"length": 0.25}),
    ("/VOICE/seed/notes", (*NOTE, *NOTE), {"notes": [NOTE, NOTE]}),
    ("/VOICE/seed/end", (), {}),
    ("/VOICE/store", ("a",), {"slot": "a", "length": None, "notes": None}),
    ("/VOICE/store", ("d", 4.0, *NOTE), {"slot": "d", "length": 4.0, "notes": [NOTE]}),
    ("/VOICE/morph", (0,), {"x": 0.0}),
    ("/VOICE/morph", (1.0,), {"x": 1.0}),
    ("/VOICE/xy", (0.25, 1), {"x": 0.25, "y": 1.0}),
    ("/VOICE/attribute", ("density", -1.0), {"name": "density", "amount": -1.0}),
    ("/VOICE/latent", (0, 3.0), {"index": 0, "value": 3.0}),
    ("/VOICE/temperature", (0.05,), {"temperature": 0.05}),
    ("/VOICE/temperature", (2,), {"temperature": 2.0}),
    *(("/VOICE/scale", (how,), {"how": how}) for how in ("off", "soft", "hard")),
    *(("/VOICE/hold", (what,), {"what": what}) for what in ("rhythm", "pitch", "none")),
    ("/VOICE/lock", (0, True), {"bar": 0, "on": True}),
    ("/VOICE/lock", (15, 0), {"bar": 15, "on": False}),
    ("/VOICE/follow", ("melody", 0.5), {"voice": "melody", "amount": 0.5}),
    ("/VOICE/surprise", (0.35,), {"surprise": 0.35}),
    ("/VOICE/gate", (1.1,), {"gate": 1.1}),
    ("/VOICE/fill", (), {}),
    ("/VOICE/fill_every", (4,), {"bars": 4}),
    ("/VOICE/swing", (50,), {"swing": 50.0}),
    ("/VOICE/swing", (75.0,), {"swing": 75.0}),
    ("/VOICE/quantize", (0.5,), {"strength": 0.5}),
    ("/VOICE/humanize", (1,), {"amount": 1.0}),
    *(("/VOICE/grid", (grid,), {"grid": grid}) for grid in ("1/4", "1/8", "1/8T", "1/16", "1/16T", "1/32")),
    ("/VOICE/transpose", (-48,), {"semitones": -48}),
    ("/VOICE/transpose", (48.0,), {"semitones": 48}),
    ("/VOICE/velocity", (2,), {"factor": 2.0}),
    ("/VOICE/mute", (1,), {"on": True, "part": -1}),
    ("/VOICE/mute", (False, 2), {"on": False, "part": 2}),
    ("/VOICE/loop", (0.0,), {"on": False}),
    *(("/VOICE/launch", (when,), {"when": when}) for when in ("now", "step", "beat", "bar", "loop")),
    ("/VOICE/play", (), {}),
    ("/VOICE/stop", (), {}),
    ("/VOICE/clear", (), {}),
    ("/VOICE/undo", (), {}),
    ("/VOICE/redo", (), {}),
    ("/VOICE/recall", (2**31 - 1,), {"id": 2**31 - 1}),
    *(("/VOICE/jam", (how,), {"how": how, "bars": 2}) for how in ("off", "respond", "follow")),
    ("/VOICE/jam", ("respond", 16), {"how": "respond", "bars": 16}),
    ("/VOICE/random_seed", (-(2**31),), {"seed": -(2**31)}),
    ("/VOICE/model", ("melody-2bar",), {"name": "melody-2bar"}),
]

LENGTH = 8.0
WRONG = [
    # -- error 3: out of range
    *(("/VOICE/next", (bars,), 3) for bars in (0, 17, -1, 1e30, 2**40, math.nan, math.inf, -math.inf)),
    *(("/VOICE/sample", (bars,), 3) for bars in (0, 17)),
    *(("/VOICE/jam", ("respond", bars), 3) for bars in (0, 17)),
    *(("/VOICE/vary", (amount,), 3) for amount in (-0.01, 1.01, math.nan, math.inf)),
    *(("/VOICE/morph", (x,), 3) for x in (-0.01, 1.01, math.nan, math.inf, 2, -1, 1e300, 2**60)),
    *(("/VOICE/xy", xy, 3) for xy in ((1.1, 0.5), (0.5, 1.1), (math.nan, 0.5), (0.5, math.nan))),
    *(("/VOICE/auto", (bars,), 3) for bars in (-1, 65)),
    *(("/VOICE/fill_every", (bars,), 3) for bars in (-1, 65)),
    *(("/VOICE/temperature", (value,), 3) for value in (0.04, 2.01, 0, math.nan)),
    *(("/VOICE/surprise", (value,), 3) for value in (-0.1, 1.1)),
    *(("/VOICE/gate", (value,), 3) for value in (0.05, 1.2)),
    *(("/VOICE/swing", (value,), 3) for value in (49, 76, 0.5, math.nan)),
    *(("/VOICE/quantize", (value,), 3) for value in (-0.1, 1.1)),
    *(("/VOICE/humanize", (value,), 3) for value in (-0.1, 1.1)),
    *(("/VOICE/velocity", (value,), 3) for value in (-0.1, 2.1)),
    *(("/VOICE/transpose", (value,), 3) for value in (-49, 49)),
    *(("/VOICE/attribute", ("density", value), 3) for value in (-1.1, 1.1, math.nan)),
    *(("/VOICE/latent", (index, 0.0), 3) for index in (-1, 512)),
    *(("/VOICE/latent", (0, value), 3) for value in (-3.1, 3.1, math.nan)),
    *(("/VOICE/follow", ("melody", value), 3) for value in (-0.1, 1.1)),
    *(("/VOICE/lock", (bar, 1), 3) for bar in (-1, 16)),
    *(("/VOICE/lock", (0, on), 3) for on in (2, -1, math.nan)),
    *(("/VOICE/mute", (on,), 3) for on in (2, -1, math.nan, math.inf)),
    *(("/VOICE/mute", (1, part), 3) for part in (-2, 3)),
    ("/VOICE/loop", (2,), 3),
    *(("/VOICE/recall", (id_,), 3) for id_ in (0, -1, 2**31)),
    *(("/VOICE/random_seed", (seed,), 3) for seed in (2**31, -(2**31) - 1, math.nan)),
    *(("/VOICE/grid", (grid,), 3) for grid in ("1/64", "1/16t", "", "1/16 ")),
    *(("/VOICE/launch", (when,), 3) for when in ("later", "", "BAR")),
    ("/VOICE/scale", ("loud",), 3),
    ("/VOICE/hold", ("both",), 3),
    ("/VOICE/jam", ("on",), 3),
    *(("/VOICE/store", (slot,), 5) for slot in ("e", "A", "", "ab")),
    *(("/clock/tempo", (tempo,), 3) for tempo in (19.9, 999.1, 0, -120, math.nan, math.inf)),
    *(("/clock/nudge", (ms,), 3) for ms in (-1001, 1001, math.nan)),
    *(("/clock/offset", (ms,), 3) for ms in (-1001, 1001, math.nan)),
    *(("/clock/source", (source,), 3) for source in ("ableton", "", "Live")),
    *(
        ("/clock/live", values, 3)
        for values in (
            (2, 120.0, 16, 0.25, 4, 4),
            (1, 19.0, 16, 0.25, 4, 4),
            (1, 120.0, 10**8, 0.25, 4, 4),
            (1, 120.0, 1, 1.1, 4, 4),
            (1, 120.0, 1, math.nan, 4, 4),
            (1, 120.0, 1, 0.25, 0, 4),
            (1, 120.0, 1, 0.25, 100, 4),
            (1, 120.0, 1, 0.25, 4, 3),
            (1, 120.0, 1, 0.25, 4, 32),
            (1, 120.0, 1, 0.25, 4, 4, -2, 0.0),
            (1, 120.0, 1, 0.25, 4, 4, 0, 401.0),
            (1, math.nan, 1, 0.25, 4, 4),
            (1, 120.0, math.inf, 0.25, 4, 4),
        )
    ),
    *(("/bridge/ping", (token,), 3) for token in (2**31, -(2**31) - 1, math.nan)),
    *(("/bridge/subscribe", (port,), 3) for port in (0, 65536, -1)),
    *(("/bridge/key", key, 3) for key in ((12, "major"), (-2, "major"), (0, "Major"), (0, ""))),
    *(("/bridge/save", (name,), 3) for name in ("", "../up", "a/b", "C:\\x", "a.b", "x" * 65, "a\nb", "é", "~")),
    *(("/bridge/load", (name,), 3) for name in ("", "/etc/passwd", "file:x", "x" * 65)),
    *(("/VOICE/model", (name,), 3) for name in ("", "../m.pt", "http://x", "x" * 65)),
    *(
        ("/bridge/chords", values, 3)
        for values in (
            (0.2, 0.0, 0, "maj"),
            (257.0, 0.0, 0, "maj"),
            (4.0, 4.0, 0, "maj"),
            (4.0, -1.0, 0, "maj"),
            (4.0, 0.0, 12, "maj"),
            (4.0, 0.0, -1, "maj"),
            (4.0, 0.0, 0, "major"),
            (4.0, math.nan, 0, "maj"),
            (256.0, *(0.0, 0, "maj") * 65),
        )
    ),
    *(("/VOICE/seed", (length, *NOTE), 3) for length in (0.24, 0, -1, 256.1, math.nan, math.inf)),
    *(("/VOICE/seed/begin", (length,), 3) for length in (0.24, 256.1, math.nan)),
    *(("/VOICE/store", ("a", length, *NOTE), 3) for length in (0.24, 256.1, math.nan)),
    *(
        (address, (*head, *NOTE, *note), 3)
        for address, head in (("/VOICE/seed", (LENGTH,)), ("/VOICE/seed/notes", ()), ("/VOICE/store", ("b", LENGTH)))
        for note in (
            (128, 0.0, 1.0, 100, 0),
            (-1, 0.0, 1.0, 100, 0),
            (60, -0.1, 1.0, 100, 0),
            (60, 256.0, 1.0, 100, 0),
            (60, 0.0, 0.0, 100, 0),
            (60, 0.0, -1.0, 100, 0),
            (60, 0.0, 257.0, 100, 0),
            (60, 0.0, 1.0, 0, 0),
            (60, 0.0, 1.0, 128, 0),
            (60, 0.0, 1.0, 100, 3),
            (60, 0.0, 1.0, 100, -1),
            (60, math.nan, 1.0, 100, 0),
            (60, 0.0, math.nan, 100, 0),
            (math.nan, 0.0, 1.0, 100, 0),
            (60, 0.0, math.inf, 100, 0),
        )
    ),
    ("/VOICE/seed", (LENGTH, 60, 8.0, 1.0, 100, 0), 3),
    ("/VOICE/store", ("a", 4.0, 60, 4.0, 1.0, 100, 0), 3),
    ("/VOICE/seed", (LENGTH, *NOTE * 31), 3),
    ("/VOICE/seed/notes", NOTE * 31, 3),
    ("/VOICE/store", ("a", LENGTH, *NOTE * 31), 3),
    # -- error 2: wrong types
    *(("/VOICE/next", (bars,), 2) for bars in (2.5, "2", True, False)),
    *(("/VOICE/morph", (x,), 2) for x in ("0.5", True)),
    *(("/VOICE/transpose", (value,), 2) for value in (0.5, "1")),
    *(("/VOICE/mute", (on,), 2) for on in ("1", 0.5)),
    *(("/VOICE/grid", (grid,), 2) for grid in (16, 0.25, True)),
    *(("/VOICE/store", (slot,), 2) for slot in (1, 0.5)),
    ("/VOICE/model", (1,), 2),
    ("/bridge/save", (1,), 2),
    ("/bridge/key", ("minor", 9), 2),
    ("/bridge/chords", (8.0, 0.0, 9, 1), 2),
    ("/bridge/chords", (8.0, 0.0, "9", "min"), 2),
    ("/clock/source", (1,), 2),
    ("/VOICE/seed", (LENGTH, "60", 0.0, 1.0, 100, 0), 2),
    ("/VOICE/seed", (LENGTH, 60.5, 0.0, 1.0, 100, 0), 2),
    ("/VOICE/seed", (LENGTH, 60, 0.0, 1.0, 99.5, 0), 2),
    ("/VOICE/seed", (LENGTH, 60, "0", 1.0, 100, 0), 2),
    # -- error 2: wrong numbers
    *(
        (address, (1, 1, 1), 2)
        for address in ("/VOICE/next", "/VOICE/morph", "/VOICE/xy", "/VOICE/mute", "/VOICE/vary")
    ),
    *((address, (), 2) for address in ("/VOICE/morph", "/VOICE/xy", "/VOICE/mute", "/VOICE/seed", "/VOICE/seed/notes")),
    *((address, (), 2) for address in ("/VOICE/store", "/VOICE/recall", "/VOICE/grid", "/clock/tempo", "/clock/live")),
    *(
        (address, (1,), 2)
        for address in ("/VOICE/play", "/VOICE/undo", "/clock/play", "/bridge/panic", "/bridge/state")
    ),
    ("/VOICE/xy", (0.5,), 2),
    ("/clock/live", (1, 120.0, 16, 0.25, 4), 2),
    ("/clock/live", (1, 120.0, 16, 0.25, 4, 4, 4), 2),
    ("/clock/live", (1, 120.0, 16, 0.25, 4, 4, 4, 0.0, 0), 2),
    *(("/VOICE/seed", (LENGTH, *NOTE[:count]), 2) for count in range(1, 5)),
    *(("/VOICE/seed/notes", NOTE + NOTE[:count], 2) for count in range(1, 5)),
    ("/VOICE/store", ("a", LENGTH, 60), 2),
    ("/bridge/chords", (8.0,), 2),
    ("/bridge/chords", (8.0, 0.0, 9), 2),
]


def route(address):
    (found,) = (route for route in ROUTES if route.address == address)
    return found


def refusal(address, arguments):
    with pytest.raises(RefusedError) as caught:
        route(address).check(arguments)
    return caught.value


@pytest.mark.parametrize(("address", "arguments", "expected"), VALID)
def test_what_the_contract_allows_is_taken(address, arguments, expected):
    if expected is None:
        fault = refusal(address, arguments)
        assert (fault.code, "comes in a later version" in fault.message) == (4, True)
    else:
        values = route(address).check(arguments)
        assert values == expected
        assert [type(value) for value in values.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(("address", "arguments", "code"), WRONG)
def test_what_it_does_not_allow_is_refused(address, arguments, code):
    assert refusal(address, arguments).code == code


def test_every_route_is_in_the_lists_of_this_file():
    addresses = {route.address for route in ROUTES}
    assert addresses == {address for address, _, _ in VALID}
    assert len(addresses) == len(ROUTES)
    with_arguments = {route.address for route in ROUTES if route.arguments}
    assert with_arguments <= {address for address, _, _ in WRONG}


@pytest.mark.parametrize("checked", ROUTES, ids=lambda route: route.address)
def test_one_argument_too_many_or_too_few_is_error_2(checked):
    good = next(arguments for address, arguments, _ in VALID if address == checked.address)
    runs = any(argument.is_run for argument in checked.arguments)
    if not runs:
        most = len(checked.arguments)
        fault = refusal(checked.address, (good * 10 or (0,) * 10)[: most + 1] if most else (0,))
        assert fault.code == 2
    if checked.arguments and not checked.arguments[0].optional:
        fault = refusal(checked.address, ())
        assert fault.code == 2
        assert checked.signature in fault.message or runs


@pytest.mark.parametrize("checked", ROUTES, ids=lambda route: route.address)
def test_nan_is_refused_in_every_number(checked):
    good = max((arguments for address, arguments, _ in VALID if address == checked.address), key=len)
    for index, value in enumerate(good):
        if type(value) in (int, float):
            spoiled = (*good[:index], math.nan, *good[index + 1 :])
            assert refusal(checked.address, spoiled).code == 3
            assert refusal(checked.address, (*good[:index], "x", *good[index + 1 :])).code == 2
        elif type(value) is str:
            assert refusal(checked.address, (*good[:index], 1.0, *good[index + 1 :])).code == 2


@pytest.mark.parametrize(
    ("address", "name", "value", "expected"),
    [
        ("/VOICE/morph", "x", 1.0000009, 1.0), ("/VOICE/morph", "x", -9e-7, 0.0), ("/VOICE/morph", "x", 1e-7, 1e-7),
        ("/VOICE/temperature", "temperature", 0.04999999, 0.05), ("/VOICE/swing", "swing", 75.0000005, 75.0),
        ("/VOICE/next", "bars", 16.0000001, 16), ("/VOICE/mute", "on", 1.0000001, True),
    ],
)  # fmt: skip
def test_a_32_bit_float_that_misses_its_bound_is_set_to_it(address, name, value, expected):
    assert route(address).check((value,))[name] == expected


@pytest.mark.parametrize("x", [1.000002, -0.000002])
def test_slack_ends(x):
    assert refusal("/VOICE/morph", (x,)).code == 3


@pytest.mark.parametrize(
    ("address", "arguments", "words"),
    [
        ("/VOICE/next", (17,), ["bars", "17", "1 to 16"]),
        ("/VOICE/morph", (math.nan,), ["x", "nan", "0 to 1"]),
        ("/VOICE/morph", ("a\nb",), ["x", r"'a\nb'", "a number"]),
        ("/VOICE/morph", (), ["x:f", "0 came"]),
        ("/VOICE/grid", ("1/7",), ["grid", "'1/7'", "1/16T"]),
        ("/VOICE/seed", (8.0, *NOTE, 60, 9.0, 1.0, 100, 0), ["note 2", "start", "9", "0 to 8"]),
        ("/VOICE/seed", (8.0, *NOTE * 31), ["30"]),
        ("/VOICE/store", ("q",), ["slot", "'q'", "a, b, c, d"]),
        ("/clock/tempo", (1000,), ["tempo", "1000", "20 to 999 BPM"]),
        ("/clock/live", (1, 120, 1, 0, 4, 3), ["denominator", "3", "1, 2, 4, 8, 16"]),
        ("/VOICE/recall", (0,), ["id", "1 to 2147483647"]),
        ("/bridge/load", ("x" * 1000,), ["'xxx", "..."]),
    ],
)
def test_a_refusal_names_the_argument_the_value_and_what_is_allowed(address, arguments, words):
    message = refusal(address, arguments).message
    assert [word for word in words if word not in message] == []
    assert len(message) < 300
    assert message.isprintable()


def test_malformed_requests_for_what_comes_later_are_still_malformed():
    assert refusal("/VOICE/jam", ("respond", "two")).code == 2
    assert refusal("/VOICE/jam", ("sing",)).code == 3


def test_no_address_takes_a_path():
    for address in ("/bridge/save", "/bridge/load", "/VOICE/model", "/VOICE/attribute", "/VOICE/follow"):
        good = next(arguments for known, arguments, _ in VALID if known == address)
        for path in ("../x", "/x", "a/b", "a\\b", "a:b", "a.b", "~x", "$x", "a%b", "\0"):
            assert refusal(address, (path, *good[1:])).code == 3


def test_errors_and_events_of_the_contract_are_listed():
    assert list(ERROR_CODES) == [1, 2, 3, 4, 5, 6, 7]
    assert [event.address for event in EVENTS] == [
        "/error", "/bridge/pong", "/bridge/welcome", "/bridge/bye", "/bridge/ready", "/bridge/heartbeat",
        "/bridge/panicked",
        "/bridge/key/state",
        "/clock/beat", "/clock/state", "/VOICE/bars/begin", "/VOICE/bars/notes", "/VOICE/bars/end", "/VOICE/launched",
        "/VOICE/jam/phase", "/VOICE/late", "/VOICE/state",
    ]  # fmt: skip
