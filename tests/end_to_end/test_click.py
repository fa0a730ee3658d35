"""A click becomes bars: every request of contract 3.3 that plays, judged by what is said and what is sent as MIDI."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import whole_bridge
from whole_bridge import (
    PATIENCE_S,
    Heard,
    Recorder,
    Row,
    Song,
    StampedEar,
    User,
    assert_same_strokes,
    bars_said,
    bundle,
    expected_ons,
    flat,
    message,
    open_notes,
    start_song,
    state_of,
    subscribed,
    user_of,
)

from bridge.hosted import HostedBridge
from bridge.osc.client import Said

STATE_KEYS = (
    "model ready playing muted loop launch start length sounding_id pending_id x y morph temperature swing quantize "
    "humanize grid transpose velocity gate scale hold follow surprise auto fill_every jam undo redo"
).split()
DEFAULTS: dict[str, Any] = {
    "launch": "bar", "swing": 50.0, "humanize": 0.0, "grid": "1/16", "transpose": 0, "velocity": 1.0, "loop": 1,
    "muted": 0, "quantize": 1.0,
}  # fmt: skip
#: Where something is to be done before a boundary comes: a machine that is busy with something else has pauses as well.
CALM_BPM = 150.0
#: Two loops of two bars on the grid that share no stroke, so that which one sounds is never in doubt.
A = tuple(Row(60 + step % 5, step * 0.5, 0.25, 70 + step, 0) for step in range(16))
B = tuple(Row(72 + step % 7, step * 1.0 + 0.25, 0.5, 100 - step, 0) for step in range(8))
C = tuple(Row(48 + step, step * 2.0, 1.5, 90, 0) for step in range(4))
D = tuple(Row(84 - step, step * 0.75, 0.25, 55 + step, 0) for step in range(10))


@pytest.fixture
def user(bridge: HostedBridge) -> Iterator[User]:
    """A subscriber, in front of a bridge that stands still and whose knobs are as after a start."""
    with subscribed(bridge) as client:
        for address in ("/clock/stop", "/*/clear", "/[!c]*/play"):  # /*/play would start the clock as well
            client.send(address)
        client.send("/clock/tempo", whole_bridge.BPM)
        moved = [
            (voice, knob, value)
            for voice, state in {voice: client.state(voice) for voice in whole_bridge.PORTS}.items()
            for knob, value in (DEFAULTS | ({"quantize": 0.0} if voice == "drums" else {})).items()
            if state[knob] != value
        ]
        for voice, knob, value in moved:
            client.send(f"/{voice}/{knob.replace('muted', 'mute')}", value)
        if moved:
            time.sleep(0.2)  # a knob's last word: bars are told again within a tenth of a second
        client.settle()
        yield client
        client.send("/clock/stop")


@pytest.fixture
def record(bridge: HostedBridge, user: User) -> Iterator[Recorder]:
    """The player's record from here on; at the end, with the clock stopped, not one note may be open in it."""
    recorder = Recorder(bridge)
    yield recorder
    user.send("/clock/stop")
    user.settle()
    whole_bridge.eventually(lambda: not open_notes(recorder.played()), what="notes left open")
    recorder.close()


def pitches(heard: Heard) -> list[tuple[int, float]]:
    return [(note.pitch, note.start) for note in heard.notes]


def store(user: User, voice: str, **corners: tuple[Row, ...]) -> None:
    for slot, notes in corners.items():
        user.send(f"/{voice}/store", slot, 8.0, *flat(notes))


def sound_from_seed(user: User, voice: str, notes: tuple[Row, ...], slot: str = "a") -> Heard:
    """Have exactly these notes as the present loop: both ends of a morph are they."""
    store(user, voice, a=notes, b=notes)
    return user.bars(f"/{voice}/morph", 0.0)


# -- new bars ---------------------------------------------------------------------------------------------------------


def test_a_click_sounds_at_the_next_bar_line_as_it_was_announced(user: User, record: Recorder) -> None:
    since = start_song(user, CALM_BPM)
    user.beat_heard(1, since)
    asked_at = user.mark()
    heard = user.bars("/melody/next", 2)
    assert heard.id > 0
    assert heard.bars == 2
    assert heard.start % 4 == 0
    assert heard.latency_ms > 0
    assert user.launched(heard, "melody") == heard.start
    told_after = Song(user, since, CALM_BPM).beat_at(user.wait_for("/melody/launched", since=asked_at).arrival_ns)
    assert told_after > heard.start - 0.05
    user.beat_heard(int(heard.start) + 17, since)
    song = Song(user, since, CALM_BPM)
    asked_beat = song.beat_at(next(said for said in user.said(asked_at)).arrival_ns)
    assert heard.start <= asked_beat + 4.1, "the very next bar line"
    wanted = expected_ons(heard.notes, 8.0, heard.start, heard.start, heard.start + 16)
    played = [stroke for stroke in song.ons(record.played(), "melody") if stroke.beat < heard.start + 15.9]
    assert_same_strokes(played, wanted)
    assert not [said for said in user.said(since) if said.address.endswith("/late")]
    assert not user.errors(since)


@pytest.mark.parametrize("voice", ["melody", "drums"])
def test_requests_in_time_are_never_late_bar_after_bar(user: User, record: Recorder, voice: str) -> None:
    since = start_song(user)
    punctual = 0
    for _ in range(4):
        beat = user.wait_for("/clock/beat", PATIENCE_S, user.mark(), lambda said: said.args[0] % 4 == 1).args[0]
        asked_at = user.mark()
        heard = user.bars(f"/{voice}/next", 1)
        if Song(user, since).beat_at(time.perf_counter_ns()) < beat + 2.5:  # else this machine has kept us waiting
            assert heard.start == beat + 3, "the bar line after its click"
            assert not [said for said in user.said(asked_at) if said.address.endswith("/late")]
            punctual += 1
        assert user.launched(heard, voice) == heard.start
    assert punctual
    channel = {"melody": 0, "drums": 9}[voice]
    assert {stroke.channel for stroke in Song(user, since).ons(record.played(), voice)} == {channel}


def test_long_bars_come_in_messages_of_thirty_notes(user: User) -> None:
    since = user.mark()
    heard = user.bars("/drums/sample", 16)
    assert heard.bars == 16
    assert len(heard.notes) > 30
    sizes = [(len(said.args) - 1) // 5 for said in user.said(since) if said.address == "/drums/bars/notes"]
    assert sizes[:-1] == [30] * (len(sizes) - 1)
    assert all(0 <= note.start < 64 and note.duration > 0 and 1 <= note.velocity <= 127 for note in heard.notes)
    assert [note.start for note in heard.notes] == sorted(note.start for note in heard.notes)


def test_bars_prepared_while_the_clock_stands_sound_from_beat_0(user: User, record: Recorder) -> None:
    heard = user.bars("/melody/next", 1)
    assert heard.start == -1.0
    assert user.state("melody")["pending_id"] == heard.id
    since = start_song(user)
    assert user.launched(heard, "melody", since) == 0.0
    user.beat_heard(5, since)
    song = Song(user, since)
    played = [stroke for stroke in song.ons(record.played(), "melody") if stroke.beat < 3.9]
    assert_same_strokes(played, expected_ons(heard.notes, 4.0, 0.0, 0.0, 3.9))


def test_bars_that_wait_are_told_again_with_their_start_when_a_knob_turns(user: User) -> None:
    since = start_song(user)
    user.beat_heard(1, since)
    heard = user.bars("/melody/next", 1)
    user.send("/melody/transpose", 12)
    user.launched(heard, "melody", since)
    whole_bridge.eventually(lambda: len(bars_said(user.said(since), "melody")) >= 2)
    again = bars_said(user.said(since), "melody")[1]
    assert again.id == heard.id
    assert again.start == heard.start
    assert [note.pitch for note in again.notes] == [note.pitch + 12 for note in heard.notes]


def test_a_newer_result_takes_the_place_of_one_that_waits(user: User) -> None:
    since = start_song(user)
    user.beat_heard(1, since)
    first, second = user.bars("/melody/next", 1), user.bars("/melody/next", 1)
    if first.start == second.start:  # both within one bar, as is nearly certain
        user.launched(second, "melody", since)
        user.beat_heard(int(second.start) + 1, since)
        launched = [said.args[0] for said in user.said(since) if said.address == "/melody/launched"]
        assert launched == [second.id]


def test_vary_by_nothing_is_the_same_and_by_all_is_another(user: User) -> None:
    loop = user.bars("/melody/sample", 2)
    assert pitches(user.bars("/melody/vary", 0.0)) == pitches(loop)
    far = user.bars("/melody/vary", 1.0)
    assert pitches(far) != pitches(loop)


def test_sample_does_not_follow_and_next_does(user: User) -> None:
    """In one key and with the same seed, `sample` gives the same notes whatever came before; `next` goes on from it."""
    user.send("/bridge/key", 0, "major")
    made = {}
    for verb in ("sample", "next"):
        for name, seed in (("A", A), ("B", B)):
            user.send("/melody/clear")
            user.send("/melody/random_seed", 5)
            user.send("/melody/seed", 8.0, *flat(seed))
            made[verb, name] = pitches(user.bars(f"/melody/{verb}", 2))
    user.send("/bridge/key", -1, "major")
    assert made["sample", "A"] == made["sample", "B"]
    assert made["next", "A"] != made["next", "B"]


def test_a_seed_in_one_message_or_in_three_is_the_same_seed(user: User) -> None:
    after: list[list[tuple[int, float]]] = []
    for in_parts in (False, True):
        user.send("/melody/clear")
        user.send("/melody/random_seed", 11)
        if in_parts:
            user.send("/melody/seed/begin", 8.0)
            user.send("/melody/seed/notes", *flat(A[:7]))
            user.send("/melody/seed/notes", *flat(A[7:]))
            user.send("/melody/seed/end")
        else:
            user.send("/melody/seed", 8.0, *flat(A))
        after.append(pitches(user.bars("/melody/next", 2)))
    assert after[0] == after[1]


def test_a_seed_of_more_than_thirty_notes_takes_several_messages(user: User) -> None:
    notes = [Row(60 + number % 12, number * 0.25, 0.25, 80, 0) for number in range(64)]
    since = user.mark()
    user.send("/melody/seed/begin", 16.0)
    for first in range(0, 64, 30):
        user.send("/melody/seed/notes", *flat(notes[first : first + 30]))
    user.send("/melody/seed/end")
    assert user.bars("/melody/next", 2).notes
    assert not user.errors(since)


def test_the_same_twenty_again_after_clear_and_random_seed_whatever_the_clock_does(user: User) -> None:
    made: list[list[tuple[tuple[int, float], ...]]] = []
    for again in range(2):
        if again:
            start_song(user)  # the first time the clock stands, the second it runs
        user.send("/melody/clear")
        user.send("/melody/random_seed", 20)
        made.append([tuple(pitches(user.bars("/melody/next", 2))) for _ in range(20)])
    assert made[0] == made[1]
    assert len(set(made[0])) >= 19, "practically all different"


def test_other_random_seeds_give_other_notes(user: User) -> None:
    made = set()
    for seed in range(6):
        user.send("/drums/clear")
        user.send("/drums/random_seed", seed)
        made.add(tuple(pitches(user.bars("/drums/sample", 2))))
    assert len(made) >= 5


def test_twenty_clicks_at_once_are_all_answered_in_order(user: User) -> None:
    since = user.mark()
    for _ in range(20):
        user.send("/melody/next", 1)
    user.wait_for("/melody/bars/end", PATIENCE_S, since, lambda _: len(bars_said(user.said(since), "melody")) == 20)
    ids = [heard.id for heard in bars_said(user.said(since), "melody")]
    assert ids == sorted(set(ids))
    assert not user.errors(since)


# -- corners ----------------------------------------------------------------------------------------------------------


def test_a_corner_that_is_empty_is_named(user: User) -> None:
    assert user.refused("/drums/morph", 0.5)[0] == 5
    user.send("/drums/store", "a", 8.0, *flat(A))
    code, words = user.refused("/drums/morph", 0.5)
    assert code == 5
    assert "b" in words.split()
    assert "a" not in words.split()
    user.send("/drums/store", "b", 8.0, *flat(B))
    user.send("/drums/store", "c", 8.0, *flat(C))
    code, words = user.refused("/drums/xy", 0.5, 0.5)
    assert code == 5
    assert "d" in words.split()
    assert user.state("drums")["morph"] == 0.0
    assert user.state("drums")["x"] == 0.0


def test_at_the_ends_of_a_morph_the_stored_notes_sound_exactly(user: User, record: Recorder) -> None:
    since = start_song(user)
    store(user, "melody", a=A, b=B)
    for position, notes in ((0.0, A), (1.0, B), (0.5, None), (0.0, A)):
        heard = user.bars("/melody/morph", position)
        user.state_when("melody", lambda state, wanted=heard.id: state["sounding_id"] == wanted)
        if notes is None:
            assert heard.notes not in (A, B)
            continue
        assert heard.notes == notes
        asked = Song(user, since).beat_at(time.perf_counter_ns())
        first = int(asked) + 2
        user.beat_heard(first + 8, since)
        song = Song(user, since)
        start = user.state("melody")["start"]
        played = [s for s in song.ons(record.played(), "melody") if first - 0.1 <= s.beat < first + 7.9]
        assert_same_strokes(played, expected_ons(notes, 8.0, start, first - 0.1, first + 7.9))


def test_at_the_corners_of_the_pad_the_stored_notes_are_announced_exactly(user: User) -> None:
    store(user, "melody", a=A, b=B, c=C, d=D)
    for x, y, notes in ((0.0, 0.0, A), (1.0, 0.0, B), (0.0, 1.0, C), (1.0, 1.0, D)):
        heard = user.bars("/melody/xy", x, y)
        assert heard.notes == notes, (x, y)
        state = user.state("melody")
        assert (state["x"], state["y"]) == (x, y)


def test_turning_back_brings_back(user: User) -> None:
    user.send("/clock/tempo", 60.0)  # a gesture is over when it has been still for a bar, and machines have pauses
    store(user, "melody", a=A, b=B)
    there = user.bars("/melody/morph", 0.4)
    user.bars("/melody/morph", 0.8)
    back = user.bars("/melody/morph", 0.4)
    assert back.notes == there.notes
    assert back.id == there.id, "one gesture keeps one id"


def test_store_without_notes_keeps_the_present_loop(user: User) -> None:
    heard = user.bars("/melody/sample", 2)
    user.send("/melody/store", "a")
    user.send("/melody/store", "b", 8.0, *flat(B))
    assert user.bars("/melody/morph", 0.0).notes == heard.notes


def test_bars_of_a_turning_knob_come_at_most_ten_times_a_second_and_the_last_is_right(
    bridge: HostedBridge, user: User
) -> None:
    store(user, "melody", a=A, b=B)
    user.bars("/melody/morph", 0.0)
    start_song(user)
    with StampedEar(bridge) as ear:
        since = user.mark()
        began = time.perf_counter()
        while (turned_s := time.perf_counter() - began) < 2.0:
            user.send("/melody/morph", turned_s / 4)
            time.sleep(0.005)
        user.send("/melody/morph", 1.0)
        user.settle()
        whole_bridge.eventually(lambda: bars_said(user.said(since), "melody")[-1].notes == B)
        arrivals = ear.arrivals("/melody/bars/begin")
    assert len(arrivals) >= 5
    assert most_within_a_second(arrivals) <= 11, "ten, and one for the jitter of arrival"
    ids = {heard.id for heard in bars_said(user.said(since), "melody")}
    assert len(ids) == 1, "one gesture, one id"
    assert user.state("melody")["morph"] == 1.0


def most_within_a_second(arrivals: list[int]) -> int:
    return max(sum(first <= other < first + 1_000_000_000 for other in arrivals) for first in arrivals)


# -- history ----------------------------------------------------------------------------------------------------------


def test_undo_redo_and_recall_bring_back_the_very_notes(user: User) -> None:
    made = [user.bars("/melody/next", 2) for _ in range(3)]
    before = user.state("melody")
    assert [user.bars("/melody/undo").notes for _ in range(2)] == [made[1].notes, made[0].notes]
    state = user.state("melody")
    assert state["undo"] == before["undo"] - 2
    assert state["redo"] == 2
    assert user.bars("/melody/redo").notes == made[1].notes
    assert user.bars("/melody/redo").notes == made[2].notes
    assert user.refused("/melody/redo")[0] == 4
    recalled = user.bars("/melody/recall", made[0].id)
    assert (recalled.id, recalled.notes) == (made[0].id, made[0].notes)
    assert user.refused("/drums/recall", made[0].id)[0] == 5, "another voice's bars"


def test_undo_cancels_what_waits_first(user: User, record: Recorder) -> None:
    first = user.bars("/melody/next", 1)
    since = start_song(user, CALM_BPM)
    user.launched(first, "melody", since)
    user.beat_heard(5, since)
    waiting = user.bars("/melody/next", 1)
    user.send("/melody/undo")
    assert user.state("melody")["pending_id"] == 0
    user.beat_heard(int(waiting.start) + 2, since)
    assert user.state("melody")["sounding_id"] == first.id
    assert not [said for said in user.said(since) if said.address == "/melody/launched" and said.args[0] == waiting.id]


def test_next_after_undo_follows_what_was_brought_back(user: User) -> None:
    """By order of request: undo makes the older bars the newest, so what follows them follows again."""
    user.send("/melody/random_seed", 3)
    first = user.bars("/melody/next", 2)
    user.bars("/melody/next", 2)
    user.bars("/melody/undo")
    user.send("/melody/random_seed", 99)
    after_undo = user.bars("/melody/next", 2)
    user.send("/melody/clear")
    user.bars("/melody/recall", first.id)
    user.send("/melody/random_seed", 99)
    assert user.bars("/melody/next", 2).notes == after_undo.notes


def test_bars_of_rests_are_bars_too(user: User) -> None:
    """What follows silence may be silence; undo and recall must find it all the same."""
    user.send("/melody/seed", 8.0)
    silent = user.bars("/melody/next", 2)
    user.bars("/melody/sample", 2)
    assert user.bars("/melody/recall", silent.id).notes == silent.notes


def test_clear_forgets_the_loop_and_keeps_the_history(user: User) -> None:
    heard = user.bars("/melody/next", 1)
    user.send("/melody/clear")
    state = user.state("melody")
    assert (state["sounding_id"], state["pending_id"], state["length"], state["start"]) == (0, 0, 0.0, -1.0)
    assert user.bars("/melody/recall", heard.id).notes == heard.notes


# -- playing ----------------------------------------------------------------------------------------------------------


def quiet_between(played: list[Any], first_ns: float, last_ns: float) -> bool:
    return not [item for item in played if item.status & 0xF0 == 0x90 and first_ns < item.sent_ns < last_ns]


def test_stop_closes_at_once_and_play_resumes_in_place(user: User, record: Recorder) -> None:
    heard = sound_from_seed(user, "melody", A)
    since = start_song(user, CALM_BPM)
    user.launched(heard, "melody", since)
    user.beat_heard(3, since)
    user.send("/melody/stop")
    user.settle()
    whole_bridge.eventually(lambda: not open_notes(record.played()), 2.0)
    stopped_ns = time.perf_counter_ns()
    user.beat_heard(9, since)
    assert quiet_between(record.played(), stopped_ns, time.perf_counter_ns())
    assert user.state("melody")["playing"] == 0
    user.send("/melody/play")
    user.beat_heard(18, since)
    song = Song(user, since, CALM_BPM)
    played = [stroke for stroke in song.ons(record.played(), "melody") if 11.9 <= stroke.beat < 17.9]
    assert_same_strokes(played, expected_ons(A, 8.0, 0.0, 12.0, 17.9))
    assert not [s for s in song.ons(record.played(), "melody") if 8.0 < s.beat < 11.9], "resumes at the bar line"


def test_mute_silences_and_the_loop_goes_on_underneath(user: User, record: Recorder) -> None:
    heard = sound_from_seed(user, "melody", A)
    since = start_song(user, CALM_BPM)
    user.launched(heard, "melody", since)
    user.beat_heard(2, since)
    user.send("/melody/mute", 1)
    user.settle()
    whole_bridge.eventually(lambda: not open_notes(record.played()), 2.0)
    muted_ns = time.perf_counter_ns()
    assert user.state("melody")["muted"] == 1
    user.beat_heard(5, since)
    assert quiet_between(record.played(), muted_ns, time.perf_counter_ns())
    user.send("/melody/mute", 0)
    user.beat_heard(12, since)
    song = Song(user, since, CALM_BPM)
    played = [stroke for stroke in song.ons(record.played(), "melody") if 6.9 <= stroke.beat < 11.4]
    assert_same_strokes(played, expected_ons(A, 8.0, 0.0, 6.9, 11.4))


def test_loop_0_goes_round_once_and_then_is_silent(user: User, record: Recorder) -> None:
    user.send("/melody/loop", 0)
    heard = sound_from_seed(user, "melody", A)
    since = start_song(user)
    user.launched(heard, "melody", since)
    user.beat_heard(13, since)
    song = Song(user, since)
    assert_same_strokes(song.ons(record.played(), "melody"), expected_ons(A, 8.0, 0.0, 0.0, 8.0))
    assert not open_notes(record.played())


@pytest.mark.parametrize(("launch", "grid"), [("step", 0.25), ("beat", 1.0), ("bar", 4.0), ("loop", 8.0)])
def test_launched_falls_on_the_boundary_that_was_asked_for(
    user: User, record: Recorder, launch: str, grid: float
) -> None:
    loop = sound_from_seed(user, "melody", A)
    since = start_song(user, CALM_BPM)
    user.launched(loop, "melody", since)
    user.send("/melody/launch", launch)
    user.beat_heard(1, since)
    time.sleep(0.4 * 60 / CALM_BPM)
    asked_beat = Song(user, since, CALM_BPM).beat_at(time.perf_counter_ns())
    heard = user.bars("/melody/sample", 2)
    beat = user.launched(heard, "melody", since)
    assert abs(beat / grid - round(beat / grid)) < 1e-4, beat
    assert beat > asked_beat - 0.1
    late = [said for said in user.said(since) if said.address == "/melody/late"]
    if launch in ("bar", "loop"):
        assert not late
        assert heard.start == beat
        assert beat - asked_beat <= grid + 0.1
    else:
        assert heard.start == 0.0, "step and beat keep the start of the loop that sounds"
    user.beat_heard(int(beat) + 6, since)
    song = Song(user, since, CALM_BPM)
    played = [s for s in song.ons(record.played(), "melody") if beat - 0.05 <= s.beat < beat + 4.9]
    assert_same_strokes(played, expected_ons(heard.notes, 8.0, heard.start, beat - 0.05, beat + 4.9))


def test_launch_now_takes_over_from_that_moment(user: User, record: Recorder) -> None:
    loop = sound_from_seed(user, "melody", A)
    since = start_song(user)
    user.launched(loop, "melody", since)
    user.send("/melody/launch", "now")
    user.beat_heard(1, since)
    heard = user.bars("/melody/sample", 2)
    beat = user.launched(heard, "melody", since)
    told_ns = time.perf_counter_ns()
    assert heard.start == 0.0
    user.beat_heard(int(beat) + 6, since)
    song = Song(user, since)  # of eight beats: of two, both may have been told late
    assert beat < song.beat_at(told_ns)
    from_beat = math.ceil((beat + 0.35) * 4) / 4 - 0.125  # midway between steps: no stroke lies at an edge
    played = [s for s in song.ons(record.played(), "melody") if from_beat <= s.beat < from_beat + 4.5]
    assert_same_strokes(played, expected_ons(heard.notes, 8.0, 0.0, from_beat, from_beat + 4.5))


def test_groove_knobs_shape_what_is_announced_and_what_sounds(user: User, record: Recorder) -> None:
    loop = sound_from_seed(user, "melody", A)
    since = start_song(user)
    user.launched(loop, "melody", since)
    marked = user.mark()
    for knob, value in (("transpose", 12), ("velocity", 0.5), ("grid", "1/8"), ("swing", 66.0)):
        user.send(f"/melody/{knob}", value)
    whole_bridge.eventually(lambda: (said := bars_said(user.said(marked), "melody")) and said[-1].notes[1].start > 0.6)
    time.sleep(0.3)
    shaped = bars_said(user.said(marked), "melody")[-1]
    assert [note.pitch for note in shaped.notes] == [note.pitch + 12 for note in A]
    assert all(abs(s.velocity - note.velocity / 2) <= 0.5 for s, note in zip(shaped.notes, A, strict=True))
    for note, plain in zip(shaped.notes, A, strict=True):
        offbeat = plain.start % 1.0 == 0.5
        assert abs(note.start - plain.start - (0.16 if offbeat else 0.0)) < 1e-5, "66 % of the pair"
    first = int(Song(user, since).beat_at(time.perf_counter_ns())) + 2
    user.beat_heard(first + 5, since)
    song = Song(user, since)
    played = [s for s in song.ons(record.played(), "melody") if first - 0.1 <= s.beat < first + 3.9]
    assert_same_strokes(played, expected_ons(shaped.notes, 8.0, 0.0, first - 0.1, first + 3.9), 0.08)
    for knob, value in (("transpose", 0), ("velocity", 1.0), ("swing", 50.0)):
        user.send(f"/melody/{knob}", value)
    whole_bridge.eventually(lambda: bars_said(user.said(marked), "melody")[-1].notes == A, what="groove adds up")


def test_tempo_stop_continue_and_play_keep_every_note_in_its_place(user: User, record: Recorder) -> None:
    loop = sound_from_seed(user, "melody", A)
    since = start_song(user, CALM_BPM)
    user.launched(loop, "melody", since)
    user.beat_heard(3, since)
    marked = user.mark()  # the tempo was told when the clock still stood
    user.send("/clock/stop")
    stopped = user.wait_for("/clock/state", PATIENCE_S, marked, lambda said: said.args[1] == 0)
    whole_bridge.eventually(lambda: not open_notes(record.played()), 2.0)
    assert 3.0 <= stopped.args[3] < 6.0
    marked = user.mark()
    user.send("/clock/continue")
    going = user.beat_heard(int(stopped.args[3]) + 1, marked)
    assert going.args[0] == int(stopped.args[3]) + 1, "on from where it stopped"
    user.beat_heard(10, marked)
    song = Song(user, marked, CALM_BPM)
    played = [s for s in song.ons(record.played(), "melody") if going.args[0] - 0.1 <= s.beat < 9.9]
    assert_same_strokes(played, expected_ons(A, 8.0, 0.0, going.args[0] - 0.1, 9.9))
    marked = user.mark()
    user.send("/clock/tempo", 300.0)
    user.wait_for("/clock/beat", PATIENCE_S, marked, lambda said: said.args[1] == 300.0)
    assert user.state("melody")["start"] == 0.0


def test_panic_closes_everything_and_play_resumes(user: User, record: Recorder) -> None:
    for voice, loop in (("melody", C), ("drums", A)):
        sound_from_seed(user, voice, loop)
    since = start_song(user, CALM_BPM)
    user.beat_heard(2, since)
    panicked = user.ask("/bridge/panic", answer="/bridge/panicked", timeout_s=PATIENCE_S)
    assert panicked.args[0] >= 1, "the long note of the melody sounded"
    assert not open_notes(record.played())
    controls = [(item.port, item.status, item.data1) for item in record.played() if item.status & 0xF0 == 0xB0]
    for port, channel in ((0, 0), (1, 1), (2, 9)):
        assert [c for c in controls if c[0] == port] == [(port, 0xB0 | channel, 123), (port, 0xB0 | channel, 120)]
    silent_ns = time.perf_counter_ns()
    user.beat_heard(6, since)
    assert quiet_between(record.played(), silent_ns, time.perf_counter_ns())
    assert [user.state(voice)["playing"] for voice in ("melody", "drums")] == [0, 0]
    user.send("/{melody,drums}/play")
    user.beat_heard(13, since)
    assert not quiet_between(record.played(), silent_ns, time.perf_counter_ns())


def test_a_second_panic_sends_every_note_off_on_every_channel(bridge: HostedBridge, user: User) -> None:
    user.ask("/bridge/panic", answer="/bridge/panicked", timeout_s=PATIENCE_S)
    recorder = Recorder(bridge)
    user.ask("/bridge/panic", answer="/bridge/panicked", timeout_s=PATIENCE_S)
    everything = {(port, 0x80 | channel, pitch) for port in range(3) for channel in range(16) for pitch in range(128)}

    def sent() -> set[tuple[int, int, int]]:
        return {(item.port, item.status, item.data1) for item in recorder.played() if item.status & 0xF0 == 0x80}

    whole_bridge.eventually(lambda: sent() == everything)
    recorder.close()


# -- who hears what ---------------------------------------------------------------------------------------------------


def test_one_who_has_not_subscribed_hears_of_its_own_request_only(bridge: HostedBridge, user: User) -> None:
    start_song(user)
    with user_of(bridge) as stranger:
        heard = stranger.bars("/melody/next", 1)
        stranger.launched(heard, "melody")
        user.bars("/melody/next", 1)
        other = user.bars("/drums/next", 1)
        user.launched(other, "drums")
        stranger.send("/melody/swing", 60.0)
        stranger.settle()
        mine = [f"/melody/{event}" for event in ("bars/begin", "bars/notes", "bars/end", "launched", "late")]
        addresses = {said.address for said in stranger.said()} - {"/bridge/pong"}
        assert addresses <= set(mine)
        launched = [said for said in stranger.said() if said.address == "/melody/launched"]
        assert [said.args[0] for said in launched] == [heard.id]
        told = {said.args[0] for said in stranger.said() if said.address.startswith("/melody/bars/")}
        assert told == {heard.id}


def test_subscribing_brings_the_whole_state_then_events_and_heartbeats(bridge: HostedBridge) -> None:
    with user_of(bridge) as client:
        client.ask("/bridge/subscribe", answer="/bridge/welcome", timeout_s=PATIENCE_S)
        client.wait_for("/bridge/heartbeat", PATIENCE_S)
        addresses = [said.address for said in client.said()]
        wanted = ["/bridge/welcome", "/clock/state", "/melody/state", "/bass/state", "/drums/state", "/bridge/ready"]
        assert addresses[: len(wanted)] == wanted
        first = client.wait_for("/bridge/heartbeat", PATIENCE_S)
        third = client.wait_for("/bridge/heartbeat", PATIENCE_S, 0, lambda said: said.args[0] == first.args[0] + 2)
        assert 0.5 < (third.arrival_ns - first.arrival_ns) / 1e9 < 3.0, "twice a second"
        client.ask("/bridge/unsubscribe", answer="/bridge/bye", timeout_s=PATIENCE_S)
        quiet_from = client.mark()
        time.sleep(0.7)
        assert not client.said(quiet_from)


def test_a_subscriber_may_name_another_port_for_all_that_comes_back(bridge: HostedBridge) -> None:
    with user_of(bridge) as speaker, user_of(bridge) as ear:
        speaker.send("/bridge/subscribe", ear.port)
        ear.wait_for("/bridge/welcome", PATIENCE_S)
        speaker.send("/bridge/ping", 77)
        ear.wait_for("/bridge/pong", PATIENCE_S, 0, lambda said: said.args[0] == 77)
        speaker.send("/melody/swing", 10.0)
        assert ear.wait_for("/error", PATIENCE_S).args[:2] == (3, "/melody/swing")
        speaker.send("/bridge/unsubscribe")
        ear.wait_for("/bridge/bye", PATIENCE_S)
        assert not speaker.said()


def test_the_state_has_the_keys_of_the_contract_in_their_order(user: User) -> None:
    for voice in whole_bridge.PORTS:
        keys = list(user.state(voice))
        assert keys[: len(STATE_KEYS)] == STATE_KEYS
    assert user.state("bass")["ready"] == 0
    assert user.state("melody")["ready"] == 1


def test_states_come_at_most_twenty_times_a_second_and_the_last_value_always(bridge: HostedBridge, user: User) -> None:
    with StampedEar(bridge) as ear:
        since = user.mark()
        values = [50.0 + (number % 25) for number in range(400)]
        for value in [*values, 74.5]:
            user.send("/melody/swing", value)
            time.sleep(0.003)
        user.wait_for("/melody/state", PATIENCE_S, since, lambda said: state_of(said)["swing"] == 74.5)
        arrivals = ear.arrivals("/melody/state")
    assert len(arrivals) >= 5
    assert most_within_a_second(arrivals) <= 22, "twenty, and what the jitter of arrival may add"
    assert state_of([said for said in user.said(since) if said.address == "/melody/state"][-1])["swing"] == 74.5


# -- addresses --------------------------------------------------------------------------------------------------------


def test_patterns_reach_every_voice_they_match(user: User) -> None:
    user.send("/*/mute", 1)
    assert [user.state(voice)["muted"] for voice in whole_bridge.PORTS] == [1, 1, 1]
    user.send("/{melody,drums}/swing", 58.0)
    assert [user.state(voice)["swing"] for voice in whole_bridge.PORTS] == [58.0, 50.0, 58.0]
    user.send("/[!m]*/mute", 0)
    assert [user.state(voice)["muted"] for voice in whole_bridge.PORTS] == [1, 0, 0]
    user.send("/m?lody/mute", 0)
    assert user.state("melody")["muted"] == 0


def test_numbers_may_come_in_any_type(bridge: HostedBridge, user: User) -> None:
    from pythonosc.osc_message_builder import OscMessageBuilder

    for tag, value in (("i", 55), ("f", 56.0), ("d", 57.0), ("h", 58)):
        built = OscMessageBuilder("/melody/swing")
        built.add_arg(value, "h" if tag == "h" else tag)
        user.send_raw(built.build().dgram)
        assert user.state("melody")["swing"] == value
    for tag, wanted in (("T", 1), ("F", 0)):
        built = OscMessageBuilder("/melody/mute")
        built.add_arg(tag == "T", tag)
        user.send_raw(built.build().dgram)
        assert user.state("melody")["muted"] == wanted
    since = user.mark()
    assert user.bars("/melody/next", 1.0).bars == 1
    assert not user.errors(since)


def test_a_bundle_waits_for_its_time_and_nothing_else_waits_for_it(user: User) -> None:
    sent = time.perf_counter()
    user.send_raw(bundle(time.time() + 1.0, message("/melody/swing", 66.0), message("/melody/transpose", 5)))
    assert user.state("melody")["swing"] == 50.0
    answered_s = time.perf_counter() - sent
    user.state_when("melody", lambda state: state["swing"] == 66.0 and state["transpose"] == 5)
    waited_s = time.perf_counter() - sent
    assert 0.95 <= waited_s < 5.0
    assert answered_s < waited_s
    user.send_raw(bundle(None, message("/melody/swing", 52.0)))
    assert user.state("melody")["swing"] == 52.0
    user.send_raw(bundle(time.time() - 100.0, message("/melody/swing", 53.0)))
    assert user.state("melody")["swing"] == 53.0


def test_a_bundle_too_far_ahead_is_refused(user: User) -> None:
    since = user.mark()
    user.send_raw(bundle(time.time() + 90.0, message("/melody/swing", 70.0)))
    error: Said = user.wait_for("/error", PATIENCE_S, since)
    assert error.args[:2] == (3, "/melody/swing")


def test_bars_that_miss_their_boundary_say_late_and_the_old_loop_goes_round(user: User, record: Recorder) -> None:
    """At 999 BPM a step lasts 15 ms, which sixteen bars of drums take longer than to make."""
    loop = sound_from_seed(user, "drums", A)
    user.send("/drums/launch", "step")
    since = start_song(user, 999.0)
    user.launched(loop, "drums", since)
    user.beat_heard(4, since)
    heard = user.bars("/drums/sample", 16)
    late = user.wait_for("/drums/late", PATIENCE_S, since)
    assert late.args[0] == heard.id
    assert late.args[1] > 0
    beat = user.launched(heard, "drums", since)
    assert abs(beat * 4 - round(beat * 4)) < 1e-3
    assert heard.start == 0.0


# -- somebody else's clock -----------------------------------------------------------------------------------------


def test_lives_reports_lead_and_the_internal_clock_takes_over_again(user: User, record: Recorder) -> None:
    loop = sound_from_seed(user, "melody", A)
    user.send("/clock/source", "auto")
    since = user.mark()
    began = time.perf_counter()
    while (beat := 100.0 + (time.perf_counter() - began) * 6.0) < 112.0:  # 360 BPM, reported 60 times a second
        user.send("/clock/live", 1, 360.0, int(beat), beat % 1.0, 4, 4, int(beat // 4), beat % 4.0)
        time.sleep(1 / 60)
    user.send("/clock/live", 0, 360.0, 112, 0.0, 4, 4, 28, 0.0)
    state = user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[0] == "live" and said.args[1] == 1)
    assert state.args[2] == 360.0
    assert user.launched(loop, "melody", since) % 4 == 0
    beats = [said.args[0] for said in user.said(since) if said.address == "/clock/beat" and said.args[2]]
    assert beats == sorted(set(beats)), "no beat twice, none backwards"
    assert set(range(102, 111)) <= set(beats)
    assert user.refused("/clock/tempo", 100.0)[0] == 4
    user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[0] == "live" and said.args[1] == 0)
    whole_bridge.eventually(lambda: not open_notes(record.played()))
    user.send("/clock/source", "internal")
    user.send("/clock/tempo", 120.0)
    user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[0] == "internal" and said.args[2] == 120.0)
