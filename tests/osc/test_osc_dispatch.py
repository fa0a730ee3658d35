"""From datagrams to requests: patterns, bundles, refusals, failing handlers, and what one datagram may cause."""

import logging
import struct

import pytest

from bridge import limits
from bridge.osc.encoder import encode
from bridge.session.outside import RefusedError, Request

CLIENT = ("127.0.0.1", 40000)
SECOND_NS = 10**9


def test_a_request_says_everything_about_itself(rig):
    rig.say("/melody/next", 4)
    assert rig.requests == [Request("/melody/next", "melody", "next", {"bars": 4}, CLIENT, rig.now_ns)]
    rig.say("/clock/tempo", 98.5)
    rig.say("/bridge/panic")
    rig.say("/drums/seed/begin", 8.0)
    assert [(request.scope, request.verb) for request in rig.requests[1:]] == [
        ("clock", "tempo"), ("bridge", "panic"), ("drums", "seed/begin"),
    ]  # fmt: skip
    assert rig.errors == []


@pytest.mark.parametrize("number", [struct.pack(">f", 0.5), struct.pack(">d", 0.5)])
def test_floats_of_both_sizes_are_numbers(rig, number):
    rig.send(b"/melody/morph\0\0\0," + {4: b"f", 8: b"d"}[len(number)] + b"\0\0" + number)
    assert rig.requests[0].args == {"x": 0.5}


@pytest.mark.parametrize(
    ("tags", "data"),
    [
        (b"i", b"\0\0\0\1"),
        (b"f", struct.pack(">f", 1)),
        (b"h", b"\0" * 7 + b"\1"),
        (b"d", struct.pack(">d", 1)),
        (b"T", b""),
    ],
)
def test_truth_in_all_its_types(rig, tags, data):
    rig.send(b"/melody/mute\0\0\0\0," + tags + b"\0\0" + data)
    assert rig.requests[0].args == {"on": True, "part": -1}


def test_false_is_false(rig):
    rig.send(b"/melody/mute\0\0\0\0,F\0\0")
    assert rig.requests[0].args["on"] is False


@pytest.mark.parametrize("notes", [31, 51, 52, 100, 300])
def test_too_many_notes_are_out_of_range_however_many(rig, notes):
    rig.say("/melody/seed", 8.0, *(60, 0.0, 1.0, 100, 0) * notes)
    rig.say("/melody/seed/notes", *(60, 0.0, 1.0, 100, 0) * notes)
    rig.say("/melody/store", "a", 8.0, *(60, 0.0, 1.0, 100, 0) * notes)
    assert rig.codes == [3, 3, 3]
    assert {error[3] for error in rig.errors} == {"more than 30 notes in one message"}


# -- patterns ---------------------------------------------------------------------------------------------------------


def test_a_pattern_is_one_request_for_each_address_it_matches(rig):
    rig.say("/*/morph", 0.5)
    rig.say("/{melody,bass}/mute", 1)
    assert [request.address for request in rig.requests] == [
        "/melody/morph", "/bass/morph", "/drums/morph", "/melody/mute", "/bass/mute",
    ]  # fmt: skip
    assert [request.scope for request in rig.requests[:3]] == ["melody", "bass", "drums"]


def test_a_pattern_that_matches_nothing_is_one_error_1(rig):
    for _ in range(2):  # the second time from memory
        rig.say("/*/nothing", 0.5)
    assert [error[1:3] for error in rig.errors] == [(1, "/*/nothing")] * 2


def test_a_refusal_names_the_address_that_refused(rig):
    rig.say("/{melody,drums}/morph", 2.0)
    assert [error[1:3] for error in rig.errors] == [(3, "/melody/morph"), (3, "/drums/morph")]


def test_a_pattern_does_not_cross_slashes(rig):
    rig.say("/melody*", 1)
    rig.say("/*")
    assert rig.codes == [1, 1]


def test_patterns_are_forgotten_when_there_are_too_many(rig):
    for number in range(limits.MAX_KNOWN_PATTERNS * 2):
        rig.say(f"/*/nothing{number}")
    assert len(rig.dispatcher.table._known_patterns) == limits.MAX_KNOWN_PATTERNS
    rig.say("/*/morph", 0.5)
    assert len(rig.requests) == 3


def test_one_datagram_unfolds_to_a_bounded_number_of_requests(rig):
    rig.send(rig.bundle(None, *[encode("/*/morph", (0.5,))] * 250))
    assert len(rig.requests) == limits.MAX_REQUESTS_PER_DATAGRAM
    assert set(rig.codes) == {6}
    assert len(rig.codes) <= 250


def test_one_datagram_may_bring_a_bounded_amount_of_new_patterns(rig):
    rig.send(rig.bundle(None, *[encode(f"/*/mor?h{'*' * 20}{number}", ()) for number in range(100)]))
    assert set(rig.codes) == {1, 6}
    assert rig.codes.count(1) * 30 <= limits.MAX_PATTERN_CHARS_PER_DATAGRAM
    rig.errors.clear()
    rig.say("/*/morph", 0.5)
    assert len(rig.requests) == 3


# -- addresses that are not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/bridge/nothing", "REFERENCE"), ("/piano/next", "melody, bass, drums"), ("/melody", "no such address"),
        ("/", "no such address"), ("/VOICE/next", "melody, bass, drums"), ("/bridge/ping/", "no such"),
        ("/Melody/next", "bass"),
    ],
)  # fmt: skip
def test_an_unknown_address_is_error_1_in_words(rig, address, words):
    rig.say(address)
    ((origin, code, named, message),) = rig.errors
    assert (origin, code, named) == (CLIENT, 1, address)
    assert words in message


def test_a_very_long_address_is_named_in_short(rig):
    rig.say("/" + "a" * 5000)
    assert len(rig.errors[0][2]) == limits.MAX_ADDRESS_CHARS
    assert rig.codes == [1]


def test_an_error_sent_to_us_is_never_answered(rig):
    rig.say("/error", 1, "/x", "no such address")
    assert rig.errors == []
    assert rig.dispatcher.counters.echoes == 1


# -- handlers that refuse and handlers that fail ----------------------------------------------------------------------


def test_what_a_handler_refuses_is_answered(rig):
    rig.raises = RefusedError(5, "corner b is empty")
    rig.say("/melody/morph", 0.5)
    assert rig.errors == [(CLIENT, 5, "/melody/morph", "corner b is empty")]
    assert rig.dispatcher.counters.faults == 0


def test_a_failing_handler_is_error_7_and_is_logged_once_per_kind(rig, caplog):
    rig.raises = ZeroDivisionError("inside")
    with caplog.at_level(logging.ERROR):
        for _ in range(50):
            rig.say("/melody/morph", 0.5)
        rig.say("/bass/morph", 0.5)
    assert rig.codes == [7] * 51
    assert rig.dispatcher.counters.faults == 51
    assert [record.getMessage().split()[0] for record in caplog.records] == ["/melody/morph", "/bass/morph"]
    assert "ZeroDivisionError" in caplog.text
    rig.raises = None
    rig.say("/melody/morph", 0.25)
    assert rig.requests[-1].args == {"x": 0.25}


def test_kinds_of_failure_that_are_logged_are_bounded(rig, caplog):
    with caplog.at_level(logging.ERROR):
        for number in range(limits.MAX_FAULT_KINDS_LOGGED * 2):
            rig.raises = type(f"Fault{number}Error", (Exception,), {})()
            rig.say("/melody/undo")
    assert len(caplog.records) == limits.MAX_FAULT_KINDS_LOGGED
    assert rig.codes == [7] * limits.MAX_FAULT_KINDS_LOGGED * 2


# -- bundles ----------------------------------------------------------------------------------------------------------

MORPH = encode("/melody/morph", (0.5,))
PLAY = encode("/melody/play", ())


@pytest.mark.parametrize("ahead_s", [None, 0.0, -0.001, -1.0, -3600.0])
def test_immediately_and_the_past_act_at_once_and_in_order(rig, ahead_s):
    rig.send(rig.bundle(ahead_s, MORPH, PLAY))
    assert [request.verb for request in rig.requests] == ["morph", "play"]
    assert {request.arrival_ns for request in rig.requests} == {rig.now_ns}


@pytest.mark.parametrize("ahead_s", [0.001, 1.0, 59.99, 60.0])
def test_a_bundle_ahead_waits_for_its_time_and_no_longer(rig, ahead_s):
    rig.send(rig.bundle(ahead_s, MORPH, PLAY))
    due_ns = rig.dispatcher.waiting.next_due_ns
    assert due_ns == pytest.approx(rig.now_ns + ahead_s * 1e9, abs=2)
    assert rig.requests == []
    assert not rig.dispatcher.act_on_due(due_ns - 1)
    assert rig.requests == []
    assert rig.dispatcher.act_on_due(due_ns)
    assert [(request.verb, request.arrival_ns) for request in rig.requests] == [("morph", due_ns), ("play", due_ns)]
    assert not rig.dispatcher.act_on_due(due_ns + 10**12)
    assert rig.errors == []


@pytest.mark.parametrize("ahead_s", [60.001, 61.0, 3600.0])
def test_further_ahead_is_error_3_once_for_the_bundle(rig, ahead_s):
    rig.send(rig.bundle(ahead_s, MORPH, PLAY))
    ((_, code, address, message),) = rig.errors
    assert (code, address) == (3, "/melody/morph")
    assert "60" in message
    assert len(rig.dispatcher.waiting) == 0


def test_256_wait_and_the_257th_is_busy(rig):
    for number in range(limits.MAX_WAITING_BUNDLES):
        rig.send(rig.bundle(30.0 - number / 100, MORPH))
    assert rig.errors == []
    rig.send(rig.bundle(1.0, PLAY))
    assert [error[1:3] for error in rig.errors] == [(6, "/melody/play")]
    assert len(rig.dispatcher.waiting) == limits.MAX_WAITING_BUNDLES
    rig.send(rig.bundle(None, PLAY))  # what is not for later is not hindered
    assert rig.requests[-1].verb == "play"
    assert rig.dispatcher.act_on_due(rig.now_ns + 60 * SECOND_NS)
    rig.send(rig.bundle(1.0, PLAY))
    assert len(rig.errors) == 1


def test_many_at_the_same_time_keep_their_order_and_are_acted_on_one_at_a_time(rig):
    for number in range(50):
        rig.send(rig.bundle(1.0, encode("/melody/transpose", (number - 25,))))
    assert rig.dispatcher.act_on_due(rig.now_ns + 2 * SECOND_NS)
    assert len(rig.requests) == 1
    while rig.dispatcher.act_on_due(rig.now_ns + 2 * SECOND_NS):
        pass
    assert [request.args["semitones"] for request in rig.requests] == list(range(-25, 25))


def test_nested_bundles_keep_their_own_time(rig):
    later = rig.bundle(2.0, encode("/bass/play", ()))
    past = rig.bundle(-1.0, encode("/drums/play", ()))
    rig.send(rig.bundle(1.0, PLAY, later, past))
    heard = []
    for second in (0, 1, 2):
        while rig.dispatcher.act_on_due(rig.now_ns + second * SECOND_NS + 10):
            pass
        heard.append([request.scope for request in rig.requests])
    assert heard == [[], ["melody", "drums"], ["melody", "drums", "bass"]]


def test_order_within_nested_immediate_bundles(rig):
    rig.send(rig.bundle(None, PLAY, rig.bundle(None, encode("/bass/play", ())), encode("/drums/play", ())))
    assert [request.scope for request in rig.requests] == ["melody", "bass", "drums"]


def test_what_waits_is_checked_at_its_time(rig):
    rig.send(rig.bundle(1.0, encode("/melody/morph", (2.0,)), encode("/nope", ()), encode("/*/stop", ())))
    assert rig.errors == []
    rig.dispatcher.act_on_due(rig.now_ns + 2 * SECOND_NS)
    assert rig.codes == [3, 1]
    assert [request.scope for request in rig.requests] == ["clock", "melody", "bass", "drums"]


def test_empty_bundles_do_nothing_and_take_no_room(rig):
    for ahead_s in (None, 1.0, 3600.0):
        assert rig.send(rig.bundle(ahead_s))
    assert rig.errors == []
    assert len(rig.dispatcher.waiting) == 0


def test_a_bundle_with_a_broken_element_changes_nothing(rig):
    assert not rig.send(rig.bundle(None, MORPH, b"/melody/play\0\0\0\0,i\0\0"))
    assert not rig.send(rig.bundle(1.0, MORPH, b"/melody/play\0\0\0\0,i\0\0"))
    assert rig.requests == []
    assert len(rig.dispatcher.waiting) == 0


def test_counters_add_up(rig):
    rig.say("/melody/next")
    rig.say("/*/play")
    rig.say("/nope")
    rig.say("/melody/next", 17)
    rig.send(b"junk")
    counters = rig.dispatcher.counters
    assert (counters.packets, counters.malformed, counters.requests, counters.errors) == (5, 1, 5, 2)
