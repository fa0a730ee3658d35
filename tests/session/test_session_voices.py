"""What a voice does with its requests: order, corners, gestures, history, restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from session_room import VOICE, Room, clock_state, corners

from bridge import engine_messages, limits, messages, whole_file
from bridge.session.archive import Archive


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_ready_when_models_and_groove_are(room: Room) -> None:
    assert room.words.take("/bridge/ready") == [(1,)]


def test_a_click_becomes_bars_with_an_id_and_a_file(room: Room, tmp_path: Path) -> None:
    room.ask("next")
    assert room.answer().op == "sample"  # nothing to follow yet
    launch = room.schedule()
    assert launch.launch == "bar"
    (begin,) = room.words.take("/melody/bars/begin")
    assert begin == (launch.id, 2, 4.0, 2)
    assert room.words.take("/melody/bars/notes") == [(launch.id, 60, 0.0, 0.25, 90, 0, 60, 1.0, 0.25, 90, 0)]
    assert len(room.words.take("/melody/bars/end")) == 1
    assert (tmp_path / "bars" / f"{launch.id:06d}-melody.mid").exists()


def test_requests_of_a_voice_follow_one_another_in_order(room: Room) -> None:
    room.ask("next")
    room.ask("next")
    assert len(room.engine.sent) == 1  # the second waits, because it continues the first
    room.answer(pitch=61)
    second = room.answer(pitch=62)
    assert second.op == "next"
    assert second.material[0][1][0][0] == 61


def test_a_seed_counts_from_where_it_was_asked(room: Room) -> None:
    room.ask("next")
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("next")
    room.answer()
    following = room.answer()
    assert following.material == [[4.0, [[72, 0.0, 1.0, 90, 0]]]]


def test_a_seed_is_gone_on_from_and_what_is_varied_is_the_newest_loop(room: Room) -> None:
    """However soon the requests come: a loop that waits is varied as it would be where it sounds already."""
    seed = [4.0, [[72, 0.0, 1.0, 90, 0]]]
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("vary", amount=0.0)  # there is no loop yet
    assert room.answer(pitch=61).material == [seed]
    room.launch()
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("vary", amount=0.0)
    assert room.answer(pitch=62).material[0][1][0][0] == 61
    room.schedule()
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("vary", amount=0.0)
    assert room.answer(pitch=63).material[0][1][0][0] == 62, "of the two the newest, which waits"
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("next")
    assert room.answer(pitch=64).material == [seed]


def test_a_seed_is_none_to_vary_after_a_restart_either(tmp_path: Path) -> None:
    room = Room(tmp_path)
    first = room.new_loop(pitch=61)
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.session.close()
    again = Room(tmp_path, fresh=False)  # the player plays on
    rows = [[61, 0.0, 0.25, 90, 0], [61, 1.0, 0.25, 90, 0]]
    again.session.from_player(messages.VoiceSnapshot("melody", True, True, [], first, 4.0, 8.0, rows, 0))
    again.session.from_player(messages.SnapshotEnd(False))
    again.ask("vary", amount=0.0)
    assert again.answer().material[0][1][0][0] == 61
    again.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    again.ask("next")
    assert again.answer().material == [[4.0, [[72, 0.0, 1.0, 90, 0]]]]


def test_what_is_asked_for_after_a_restart_is_newer_than_what_was_before(tmp_path: Path) -> None:
    room = Room(tmp_path)
    for pitch in (61, 62, 63):
        sounding = room.new_loop(pitch=pitch)
    room.session.close()
    again = Room(tmp_path, fresh=False)  # the player plays on
    rows = [[63, 0.0, 0.25, 90, 0], [63, 1.0, 0.25, 90, 0]]
    again.session.from_player(messages.VoiceSnapshot("melody", True, True, [], sounding, 4.0, 8.0, rows, 0))
    again.session.from_player(messages.SnapshotEnd(False))
    again.ask("next")
    assert again.answer(pitch=64).material[0][1][0][0] == 63
    again.schedule()
    again.ask("next")
    assert again.answer(pitch=65).material[0][1][0][0] == 64, "the bars that wait"
    seed = [4.0, [[72, 0.0, 1.0, 90, 0]]]
    again.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    again.ask("next")
    assert again.answer().material == [seed]
    again.ask("clear")
    again.ask("sample")
    again.answer(pitch=48)
    again.ask("vary", amount=0.5)
    assert again.answer().material[-1][1][0][0] == 48


def test_a_long_seed_in_pieces(room: Room) -> None:
    assert room.refusal("seed/end") == 4
    room.ask("seed/begin", length=8.0)
    room.ask("seed/notes", notes=[(60, 0.0, 1.0, 90, 0)])
    assert room.refusal("seed/notes", notes=[(60, 9.0, 1.0, 90, 0)]) == 3
    assert room.refusal("seed/notes", notes=[(60, 0.0, 1.0, 90, 1)]) == 3
    room.ask("seed/notes", notes=[(62, 7.0, 1.0, 90, 0)])
    room.ask("seed/end")
    room.ask("next")
    assert [row[0] for row in room.answer().material[0][1]] == [60, 62]


def test_too_many_requests_are_refused_as_busy(room: Room) -> None:
    for _ in range(limits.MAX_REQUESTS_WAITING + 1):
        room.ask("next")
    assert room.refusal("next") == 6


def test_random_seed_and_clear_repeat_the_same_jobs(room: Room) -> None:
    def run() -> list[tuple[str, int]]:
        room.ask("random_seed", seed=7)
        room.ask("clear")
        jobs = []
        for _ in range(3):
            room.ask("next")
            jobs.append(room.answer())
        return [(job.op, job.seed) for job in jobs]

    assert run() == run()


def test_clear_drops_results_that_are_under_way(room: Room) -> None:
    room.ask("next")
    room.ask("clear")
    room.answer()
    assert room.player.take(messages.Launch) == []
    room.ask("next")
    assert room.answer().op == "sample"


def test_clear_tells_everyone_whose_request_it_drops(room: Room) -> None:
    room.ask("next")
    room.ask("store", slot="a")
    room.ask("morph", x=0.5)  # waits for the corner
    room.ask("clear")
    errors = room.words.take("/error")
    assert [(code, address) for code, address, _ in errors] == [
        (4, "/melody/next"),
        (4, "/melody/store"),
        (4, "/melody/morph"),
    ]
    assert all("cleared" in why for *_, why in errors)
    corners(room)
    room.words.take("/error")
    room.ask("morph", x=0.5)
    room.ask("temperature", temperature=0.9)  # is as told whatever becomes of the bars
    room.ask("clear")
    assert [address for _, address, _ in room.words.take("/error")] == ["/melody/morph"]
    room.ask("clear")
    assert room.words.take("/error") == []


def test_bars_cleared_on_their_way_to_the_player_are_told_and_can_be_brought_back(room: Room) -> None:
    room.ask("next")
    room.answer()
    launch = room.player.take(messages.Launch)[-1]
    room.ask("clear")
    assert [begin[:3] for begin in room.words.take("/melody/bars/begin")] == [(launch.id, 2, -1.0)]
    assert room.words.take("/error") == []
    room.session.from_player(messages.Scheduled("melody", launch.id, 4.0))
    assert room.words.take("/melody/bars/begin") == []
    room.ask("recall", id=launch.id)
    assert room.player.take(messages.Launch)[-1].id == launch.id


def test_clear_drops_what_auto_asked_for_without_a_word(room: Room) -> None:
    room.new_loop()
    room.ask("auto", bars=2)
    for beat in range(16):
        room.session.from_player(messages.Beat(beat, 120.0, True))
    assert room.engine.sent
    room.ask("clear")
    assert room.words.take("/error") == []


def test_corners_that_are_still_to_be_stored_are_there_for_the_morph_that_comes_after_them(room: Room) -> None:
    """All of it in one breath, before any bars are there."""
    room.ask("sample")
    room.ask("store", slot="a")
    room.ask("sample")
    room.ask("store", slot="b")
    room.ask("morph", x=0.1)
    room.ask("morph", x=0.5)
    room.ask("next")
    assert room.words.take("/error") == []
    room.answer(pitch=61)
    room.answer(pitch=62)
    morph = room.answer(pitch=63)
    assert (morph.op, morph.x) == ("morph", 0.5), "of turns that wait the newest matters"
    assert [material[1][0][0] for material in morph.material] == [61, 62]
    following = room.answer(pitch=64)
    assert (following.op, following.material[0][1][0][0]) == ("next", 63), "asked for after the turn"
    assert room.voice.pending is not None
    assert room.voice.pending.bars.notes[0].pitch == 64


def test_a_morph_whose_corner_could_not_be_stored_is_answered_when_its_turn_comes(room: Room) -> None:
    room.ask("sample")
    room.ask("store", slot="a")
    room.ask("xy", x=0.5, y=0.5)
    assert room.words.take("/error") == []
    room.answer()
    ((code, address, why),) = room.words.take("/error")
    assert (code, address) == (5, "/melody/xy")
    assert "corner b and c and d" in why
    assert (room.voice.knobs.x, room.voice.knobs.y) == (0.0, 0.0)


def test_notes_for_a_corner_come_after_the_bars_that_were_to_be_stored_there_before(room: Room) -> None:
    room.ask("sample")
    room.ask("store", slot="a")
    room.ask("store", slot="a", length=8.0, notes=[(48, 0.0, 1.0, 90, 0)])
    room.answer(pitch=61)
    assert room.voice.corners["a"].bars.notes[0].pitch == 48


def test_a_scene_is_not_stored_in_the_place_of_bars_that_it_called_off(room: Room) -> None:
    corners(room)
    room.new_loop(pitch=70)
    room.ask("save", "bridge", name="verse")
    room.ask("clear")
    room.ask("sample")
    room.ask("store", slot="a")
    room.ask("load", "bridge", name="verse")
    room.answer(pitch=61)
    room.answer(pitch=61)  # the scene has another key
    assert room.voice.corners["a"].bars.notes[0].pitch == 60
    assert [address for _, address, _ in room.words.take("/error")] == ["/melody/store"]


def test_morph_needs_both_corners_and_names_the_empty_one(room: Room) -> None:
    assert room.refusal("morph", x=0.5) == 5
    room.ask("store", slot="a", length=4.0, notes=[(60, 0.0, 1.0, 90, 0)])
    with pytest.raises(Exception, match="corner b"):
        room.ask("morph", x=0.5)
    assert room.refusal("xy", x=0.0, y=0.0) == 5
    assert room.voice.knobs.morph == 0.0


def test_a_corner_without_notes_is_an_empty_one_and_nothing_changes(room: Room) -> None:
    room.ask("store", slot="a", length=8.0, notes=[])
    room.ask("store", slot="b", length=8.0, notes=[(60, 0.0, 1.0, 90, 0)])
    assert room.refusal("morph", x=0.5) == 5
    assert room.voice.knobs.morph == 0.0


def test_a_gesture_keeps_one_id_and_only_its_newest_value_waits(room: Room) -> None:
    first = room.new_loop()
    corners(room)
    for turn in range(10):
        room.ask("morph", x=turn / 10)
    jobs = room.engine.sent
    assert [job.x for job in jobs] == [0.0]  # one under way
    room.answer(pitch=64)
    last = room.answer(pitch=65)
    assert last.x == pytest.approx(0.9)
    assert room.engine.sent == []
    old, new = room.player.take(messages.Reshape)
    assert (old.id, new.id) == (first, old.new_id)
    assert new.new_id == old.new_id != first
    assert room.voice.history.ids == [first]
    room.time.run(3.0)  # a bar of rest
    assert room.voice.history.ids == [first, new.new_id]


def test_bars_asked_for_before_a_turn_of_the_morph_are_told_but_do_not_take_its_place(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.ask("vary", amount=0.0)
    room.ask("next")  # waits for the other
    room.words.said.clear()
    room.ask("morph", x=0.0)
    for pitch in (61, 62, 63):  # the two clicks and the morph, in the order in which the engine answers them
        room.answer(pitch=pitch)
    assert room.player.take(messages.Launch) == []
    assert room.voice.pending is None
    assert room.voice.sounding is not None
    assert [begin[2] for begin in room.words.take("/melody/bars/begin")].count(-1.0) == 2
    assert len(room.voice.history.ids) == 3
    room.ask("next")  # what is asked for afterwards sounds
    room.answer(pitch=64)
    assert len(room.player.take(messages.Launch)) == 1


def test_what_is_asked_for_after_a_turn_of_the_morph_goes_on_from_it(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.ask("morph", x=0.3)
    room.ask("morph", x=0.7)
    room.ask("next")
    assert [job.op for job in room.engine.sent] == ["morph"]
    assert room.answer(pitch=65).x == pytest.approx(0.3)
    assert room.answer(pitch=66).x == pytest.approx(0.7)
    assert [job.op for job in room.engine.sent] == ["next"]
    assert room.answer().material[0][1][0][0] == 66
    assert len(room.player.take(messages.Reshape)) == 2


@pytest.mark.parametrize("turn", ["morph", "xy"])
@pytest.mark.parametrize(
    ("verb", "scope", "args"),
    [
        ("attribute", "melody", {"name": "density", "amount": 0.5}),
        ("latent", "melody", {"index": 1, "value": 1.0}),
        ("scale", "melody", {"how": "hard"}),
        ("temperature", "melody", {"temperature": 0.9}),
        ("key", "bridge", {"tonic": 2, "mode": "dorian"}),
    ],
)
def test_a_knob_turned_while_a_turn_of_the_morph_is_made_shapes_that_and_does_not_undo_it(
    room: Room, turn: str, verb: str, scope: str, args: dict[str, Any]
) -> None:
    room.new_loop()
    for slot in "abcd":
        room.ask("store", slot=slot, length=8.0, notes=[(60, 0.0, 1.0, 90, 0)])
    room.ask(turn, **{"x": 0.3} if turn == "morph" else {"x": 0.3, "y": 0.6})
    room.ask(verb, scope, **args)
    made = []
    while room.engine.sent:
        made.append(room.answer(pitch=61 + len(made)))
    assert [job.op for job in made] == [turn] * len(made)
    assert len(made) > 1
    assert made[-1].bend.get("attributes") == ({"density": 0.5} if verb == "attribute" else None)
    assert room.voice.sounding is not None
    assert room.voice.sounding.recipe is not None
    assert (room.voice.sounding.recipe.op, room.voice.sounding.bars.notes[0].pitch) == (turn, 60 + len(made))


def test_a_knob_whose_bars_were_launched_while_an_earlier_turn_was_made_is_heard_in_them(room: Room) -> None:
    room.ask("next")
    room.answer()
    for amount in (0.2, 0.8):
        room.ask("attribute", name="density", amount=amount)
    room.launch()
    assert room.answer(pitch=61).bend["attributes"] == {"density": 0.2}
    assert room.answer(pitch=62).bend["attributes"] == {"density": 0.8}
    assert room.voice.sounding is not None
    assert room.voice.sounding.bars.notes[0].pitch == 62


def test_the_key_is_of_the_bars_that_were_asked_for_before_a_turn_of_the_morph(room: Room) -> None:
    """However soon it came after them."""
    corners(room)
    room.ask("next")
    room.ask("morph", x=0.5)
    assert room.session.stage.harmony.found is None
    room.answer(pitch=62)
    assert (room.session.stage.harmony.found, room.session.stage.harmony.source) == (2, "melody")


def test_a_morph_asked_for_in_one_breath_with_the_first_bars_is_bound_by_their_key(room: Room) -> None:
    corners(room)
    room.ask("scale", how="hard")
    room.ask("next")
    room.ask("morph", x=0.5)
    room.answer(pitch=62)
    assert room.answer(pitch=63).bend["key"]["classes"] is None
    again = room.answer(pitch=64)
    assert (again.op, again.bend["key"]["classes"]) == ("morph", [1, 2, 4, 6, 7, 9, 11])


def test_a_first_turn_may_take_longer_than_a_bar(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.ask("morph", x=0.3)
    room.time.run(10.0)
    room.answer(pitch=65)
    assert len(room.player.take(messages.Reshape)) == 1
    assert room.voice.sounding is not None
    assert room.voice.sounding.bars.notes[0].pitch == 65
    room.time.run(10.0)
    assert room.voice.history.ids[-1] == room.voice.sounding.id


def test_a_seed_is_gone_on_from_whatever_knob_is_turned_after_it(room: Room) -> None:
    room.new_loop()
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("temperature", temperature=1.5)
    room.answer(pitch=61)
    room.ask("next")
    assert room.answer().material == [[4.0, [[72, 0.0, 1.0, 90, 0]]]]


def test_bars_that_wait_are_gone_on_from_as_a_knob_has_made_them(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("next")
    room.answer(pitch=62)
    room.schedule()
    room.ask("temperature", temperature=1.5)
    room.answer(pitch=61)  # what sounds
    room.answer(pitch=63)  # what waits
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 63


@pytest.mark.parametrize("verb", ["next", "vary"])
def test_a_click_goes_on_from_what_sounds_as_a_knob_that_was_turned_before_it_makes_it(room: Room, verb: str) -> None:
    room.new_loop(pitch=60)
    room.ask("temperature", temperature=1.2)
    room.ask("temperature", temperature=1.5)
    room.ask(verb, **{"amount": 0.5} if verb == "vary" else {})
    assert [job.knob for job in room.engine.sent] == [True]
    assert room.answer(pitch=61).temperature == pytest.approx(1.2)
    assert room.answer(pitch=62).temperature == pytest.approx(1.5)
    made = room.answer(pitch=63)
    assert (made.op, made.knob, made.material[0][1][0][0]) == (verb, False, 62)
    assert room.engine.sent == []


def test_a_click_goes_on_from_what_waits_as_a_knob_that_was_turned_before_it_makes_it(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("next")
    room.answer(pitch=62)
    room.schedule()
    room.ask("temperature", temperature=1.5)
    room.ask("next")
    room.answer(pitch=61)  # what sounds
    room.answer(pitch=63)  # what waits
    made = room.answer()
    assert (made.op, made.knob, made.material[0][1][0][0]) == ("next", False, 63)


def test_a_click_does_not_wait_for_a_knob_that_never_rests(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("temperature", temperature=1.0)
    room.ask("next")
    for turn in range(1, 4):
        room.ask("temperature", temperature=1.0 + turn / 10)
        assert room.answer(pitch=60 + turn).knob
    assert [(job.op, job.knob) for job in room.engine.sent] == [("sample", True), ("next", False)]
    assert room.engine.sent[1].material[0][1][0][0] == 63


def test_a_click_after_a_seed_waits_for_no_knob(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("temperature", temperature=1.5)
    room.ask("seed", length=4.0, notes=[(72, 0.0, 1.0, 90, 0)])
    room.ask("next")
    assert [job.knob for job in room.engine.sent] == [True, False]
    assert room.engine.sent[1].material == [[4.0, [[72, 0.0, 1.0, 90, 0]]]]


def test_a_knob_turned_while_bars_are_made_shapes_them(room: Room) -> None:
    room.ask("sample")
    room.ask("temperature", temperature=1.5)
    assert room.answer(pitch=61).temperature == pytest.approx(0.6)
    assert room.words.take("/melody/bars/begin") == []
    assert room.answer(pitch=62).temperature == pytest.approx(1.5)
    assert room.schedule().notes[0][0] == 62
    assert room.engine.sent == []


def test_a_knob_that_never_rests_does_not_keep_bars_for_ever(room: Room) -> None:
    room.ask("sample")
    for turn in range(3):
        room.ask("temperature", temperature=1.0 + turn / 10)
        room.answer()
    assert len(room.player.take(messages.Launch)) == 1


def test_bars_that_a_restless_knob_has_overtaken_are_made_again_as_they_wait(room: Room) -> None:
    room.ask("next")
    for turned in (0.7, 0.8, 0.9):
        room.ask("temperature", temperature=turned)
        assert room.answer(pitch=60).temperature < turned
    launch = room.schedule()
    again = room.answer(pitch=61)
    assert (again.temperature, again.knob) == (0.9, True)
    (reshape,) = room.player.take(messages.Reshape)
    assert (reshape.id, reshape.new_id, reshape.notes[0][0]) == (launch.id, launch.id, 61)
    assert room.engine.sent == []


def test_what_has_been_told_and_waits_for_nothing_is_not_held_for_ever(room: Room) -> None:
    room.session.from_player(clock_state(room.time.ns, playing=False))
    for _ in range(3 * limits.MAX_REQUESTS_WAITING):
        room.ask("next")
        room.answer()
        newest = room.schedule()
    assert len(room.voice.handed) <= limits.MAX_REQUESTS_WAITING + 1
    room.session.from_player(messages.Launched("melody", newest.id, 0.0, 0.0))
    assert (room.voice.sounding.id, room.voice.pending) == (newest.id, None)


def test_a_corner_that_the_morph_does_not_use_changes_nothing(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.ask("morph", x=0.3)
    room.answer(pitch=65)
    room.ask("next")
    room.answer(pitch=66)
    room.ask("store", slot="c")
    assert room.engine.sent == []
    room.ask("store", slot="b", length=8.0, notes=[(79, 0.0, 1.0, 90, 0)])
    assert room.answer(pitch=67).op == "morph"
    assert room.player.take(messages.CancelPending) == []
    assert room.voice.pending is not None


def test_a_moving_knob_sends_its_bars_ten_times_a_second_and_the_last_ones(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.words.said.clear()
    for turn in range(100):
        room.ask("morph", x=turn / 100)
        room.answer(pitch=20 + turn)
        room.time.run(0.005)
    room.time.run(0.2)
    sent = room.words.take("/melody/bars/notes")
    assert 5 <= len(sent) <= 7
    assert sent[-1][1] == 20 + 99


def test_morph_uses_the_same_noise_again(room: Room) -> None:
    room.new_loop()
    corners(room)
    seeds = set()
    for x in (0.1, 0.9, 0.1):
        room.ask("morph", x=x)
        seeds.add(room.answer().seed)
    assert len(seeds) == 1


def test_temperature_decodes_what_sounds_again_with_the_same_noise(room: Room) -> None:
    room.ask("next")
    first = room.answer()
    room.launch()
    room.ask("temperature", temperature=1.5)
    again = room.answer()
    assert (again.op, again.seed, again.temperature) == (first.op, first.seed, 1.5)
    assert len(room.player.take(messages.Reshape)) == 1


def test_groove_is_applied_to_the_plain_bars_each_time(room: Room) -> None:
    room.new_loop()
    for transpose in (5, 5, 0):
        room.ask("transpose", semitones=transpose)
        room.time.run(0.1)
    pitches = [reshape.notes[0][0] for reshape in room.player.take(messages.Reshape)]
    assert pitches == [65, 65, 60]


def test_undo_calls_off_what_waits_then_goes_back_and_redo_forth(room: Room) -> None:
    one = room.new_loop(pitch=61)
    two = room.new_loop(pitch=62)
    room.ask("next")
    room.answer(pitch=63)
    three = room.schedule().id
    room.ask("undo")
    assert len(room.player.take(messages.CancelPending)) == 1
    room.ask("undo")
    assert room.launch() == one
    assert room.refusal("undo") == 4
    room.ask("redo")
    assert room.launch() == two
    room.ask("redo")
    assert room.launch() == three
    assert room.refusal("redo") == 4
    room.ask("undo")
    room.launch()
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 62  # follows what undo brought back


def test_recall_finds_bars_of_earlier_runs_of_the_folder_exactly(room: Room, tmp_path: Path) -> None:
    room.ask("seed", length=8.0, notes=[])
    room.ask("next")
    room.answer(0.123, 1.0077)
    wanted = room.launch()
    later = Room(tmp_path, token="another run")
    assert later.refusal("recall", id=wanted + 100) == 5
    later.ask("quantize", strength=0.0)
    later.ask("recall", id=wanted)
    launch = later.schedule()
    assert [row[1] for row in launch.notes] == [0.123, 1.0077]
    assert launch.id == wanted
    later.ask("next")
    later.answer()
    assert later.schedule().id > wanted  # ids are never used twice in a folder


def test_what_waited_and_failed_inside_is_answered_and_holds_nobody_up(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = room.new_loop()
    room.ask("next")
    room.ask("recall", id=wanted)
    room.ask("next")
    monkeypatch.setattr(Archive, "load", lambda *_: 1 / 0)
    room.answer()
    assert [(code, address) for code, address, _ in room.words.take("/error")] == [(7, "/melody/recall")]
    assert "ZeroDivisionError" in caplog.text
    assert room.answer() is not None


def test_bars_of_a_session_in_which_the_voice_had_more_parts_are_told_as_they_sound(tmp_path: Path) -> None:
    trio = {key: value for key, value in VOICE.items() if key != "channel"}
    trio = {**trio, "model": "trio-16bar", "parts": {"melody": 1, "bass": 2, "drums": 10}}
    before = Room(tmp_path, voices={"melody": trio})
    before.session.from_engine(engine_messages.ModelState("trio-16bar", True, "ready"))
    before.ask("sample")
    rows = [(60, 0.0, 1.0, 90, 0), (40, 1.0, 1.0, 90, 1), (36, 2.0, 0.25, 90, 2)]
    job = before.engine.take(engine_messages.Generate)[0]
    before.session.from_engine(engine_messages.Generated(job.job, 8.0, rows, 1.0))
    wanted = before.launch()
    later = Room(tmp_path, token="another run")
    later.ask("recall", id=wanted)
    assert [(row[0], row[4]) for row in later.schedule().notes] == [(60, 0)]
    assert later.words.take("/melody/bars/begin")[-1][:2] == (wanted, 1)
    (told,) = later.words.take("/melody/bars/notes")
    assert (told[1], told[5]) == (60, 0)


def test_a_restarted_bridge_process_knows_its_knobs_corners_and_loop(room: Room, tmp_path: Path) -> None:
    loop = room.new_loop()
    corners(room)
    room.ask("swing", swing=60.0)
    room.ask("launch", when="beat")
    room.time.run(1.0)
    again = Room(tmp_path)  # same token: the same run
    assert again.voice.knobs.swing == 60.0
    assert again.voice.knobs.launch == "beat"
    assert set(again.voice.corners) == {"a", "b"}
    assert again.voice.sounding is not None
    assert again.voice.sounding.id == loop


def test_a_new_run_starts_from_the_config_but_keeps_corners_and_history(room: Room, tmp_path: Path) -> None:
    room.new_loop()
    corners(room)
    room.ask("swing", swing=60.0)
    room.time.run(1.0)
    other = Room(tmp_path, token="another run")
    assert other.voice.knobs.swing == 50.0
    assert set(other.voice.corners) == {"a", "b"}
    assert other.voice.history.ids == room.voice.history.ids
    assert other.voice.sounding is None


def test_a_new_player_is_given_everything_back(room: Room) -> None:
    loop = room.new_loop()
    room.ask("mute", on=True, part=-1)
    room.player.sent.clear()
    room.session.player_gone()
    room.session.player_came()
    room.session.from_player(clock_state(room.time.ns, playing=False))
    room.session.from_player(messages.SnapshotEnd(True))
    (transport,) = room.player.take(messages.RestoreTransport)
    assert transport.playing
    (voice,) = room.player.take(messages.RestoreVoice)
    assert (voice.id, voice.start_beats, voice.muted_parts) == (loop, 4.0, [0])


def test_a_job_that_ends_the_engine_twice_is_given_up(room: Room) -> None:
    room.ask("next")
    for _ in range(2):
        room.session.engine_gone()
        for model in ("melody-2bar", "drums-2bar"):
            room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    assert [error[0] for error in room.words.take("/error")] == [7]
    room.ask("next")
    room.answer()


def test_a_job_is_asked_again_only_when_the_engine_has_ended(room: Room) -> None:
    """Models are told at other times too: when one is swapped, and to a bridge that comes back."""
    room.ask("next")
    for model in ("melody-2bar", "bass-2bar", "melody-2bar"):
        room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    assert len(room.engine.take(engine_messages.Generate)) == 1
    assert room.words.take("/error") == []


def test_a_voice_whose_model_was_swapped_plays_on_with_the_next_engine(room: Room) -> None:
    room.ask("model", name="bass-2bar")
    room.session.from_engine(engine_messages.ModelState("bass-2bar", True, "ready"))
    room.ask("model", "drums", name="drums-16bar")
    room.engine.sent.clear()
    room.session.engine_gone()
    assert not room.session.stage.ready
    room.session.engine_came()
    asked = {record.model for record in room.engine.take(engine_messages.LoadModel)}
    assert asked == {"bass-2bar", "drums-16bar"}, "the engine knows only the models of the config by itself"
    for model in ("melody-2bar", "drums-2bar", *asked):
        room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    assert room.session.stage.ready
    assert room.session.stage.voices["drums"].model == "drums-16bar"
    room.new_loop()


def test_a_missing_model_answers_not_now_and_says_why(room: Room) -> None:
    room.session.from_engine(engine_messages.ModelState("melody-2bar", False, "no weights"))
    assert room.refusal("next") == 4
    with pytest.raises(Exception, match="no weights"):
        room.ask("next")


def test_a_model_is_swapped_when_the_new_one_is_ready(room: Room) -> None:
    assert room.refusal("model", name="melody-9bar") == 5
    assert room.refusal("model", name="trio-16bar") == 4
    room.ask("model", name="bass-2bar")
    assert room.voice.model == "melody-2bar"
    room.session.from_engine(engine_messages.ModelState("bass-2bar", False, "no weights"))
    assert [error[0] for error in room.words.take("/error")] == [4]
    room.ask("model", name="drums-2bar")
    room.session.from_engine(engine_messages.ModelState("drums-2bar", True, "ready"))
    assert room.voice.model == "drums-2bar"


def test_state_is_told_at_most_twenty_times_a_second_and_the_last_value_always(room: Room) -> None:
    room.time.run(1.0)
    room.words.said.clear()
    for step in range(200):
        room.ask("velocity", velocity=step / 100)
        room.time.run(0.005)
    room.time.run(1.0)
    told = [dict(zip(args[::2], args[1::2], strict=True)) for args in room.words.take("/melody/state")]
    assert len(told) <= 22
    assert told[-1]["velocity"] == pytest.approx(1.99)


def test_a_followed_clock_is_set_where_it_is(room: Room) -> None:
    led = {"followed": True, "takes_tempo": False, "takes_transport": False}
    room.session.from_player(clock_state(room.time.ns, source="live", **led))
    assert room.refusal("tempo", "clock", tempo=130.0) == 4
    assert room.refusal("play", "clock") == 4


def test_a_second_panic_sends_every_note_off(room: Room) -> None:
    room.ask("panic", "bridge")
    room.time.run(1.0)
    room.ask("panic", "bridge")
    assert [panic.every_note for panic in room.player.take(messages.Panic)] == [False, True]
    room.session.from_player(messages.Panicked(3))
    assert room.words.take("/bridge/panicked") == [(3,)]
    assert room.voice.playing is False


def test_who_panics_as_the_player_ends_is_refused_and_the_next_count_is_the_next_ones(room: Room) -> None:
    room.ask("panic", "bridge")
    room.session.player_gone()
    assert [(error[0], error[1]) for error in room.words.take("/error")] == [(4, "/bridge/panic")]
    room.session.player_came()
    room.session.from_player(messages.SnapshotEnd(True))
    room.ask("panic", "bridge")
    room.session.from_player(messages.Panicked(2))
    assert room.words.take("/bridge/panicked") == [(2,)]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", '{"format": 1, "voices": {"melody": {"corners": 3}}}', '{"format": 1, "voices": []}',
        '{"format": 1, "last_id": "7"}', '{"format": 1, "last_id": null}', '{"format": 1, "last_id": true}',
        '{"format": 1, "voices": {"melody": {"corners": {"a": [4.0, []]}, "history": [[1, 2], 9]}}}',
    ],
)  # fmt: skip
def test_a_damaged_state_file_costs_only_what_it_held(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    room = Room(tmp_path)
    room.new_loop()
    assert room.voice.corners == {}


def test_a_state_that_cannot_be_written_is_told_once_and_written_when_it_can_be(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_path: Path, _content: str) -> None:
        raise OSError(28, "No space left on device")

    def turn(swing: float) -> None:
        room.ask("swing", swing=swing)
        room.time.run(1.0)

    for swing in (61.0, 63.0):
        with monkeypatch.context() as patched:
            patched.setattr(whole_file, "write", full)
            caplog.clear()
            turn(55.0)
            turn(58.0)
            assert [record.message for record in caplog.records if "No space left" in record.message] == [
                f"{tmp_path / 'state.json'} cannot be written: [Errno 28] No space left on device"
            ]
        turn(swing)
        assert Room(tmp_path).voice.knobs.swing == swing


@pytest.mark.parametrize("part", ["clock", "harmony"])
def test_a_damaged_part_of_the_state_leaves_the_others_as_they_were(room: Room, tmp_path: Path, part: str) -> None:
    room.ask("store", slot="a", length=4.0, notes=[(60, 0.0, 1.0, 90, 0)])
    room.time.run(1.0)
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: [{}] if part == "clock" else {"chords": 3}}))
    again = Room(tmp_path)
    assert list(again.voice.corners) == ["a"]
    assert again.session.stage.clock.source == "auto"


def test_a_bridge_that_comes_back_learns_from_the_player(room: Room, tmp_path: Path) -> None:
    loop = room.new_loop()
    room.ask("mute", on=True, part=-1)
    room.time.run(1.0)
    again = Room(tmp_path)
    again.session.player_came()
    rows = [(60, 0.0, 0.25, 90, 0)]
    seen = messages.VoiceSnapshot("melody", False, True, [-1], loop, 4.0, 8.0, rows, 0)
    again.session.from_player(clock_state(again.time.ns))
    again.session.from_player(seen)
    again.session.from_player(messages.SnapshotEnd(False))
    told = again.session.stage.voice_state(again.voice)
    state = dict(zip(told[::2], told[1::2], strict=True))
    assert (state["muted"], state["playing"], state["sounding_id"], state["start"]) == (1, 0, loop, 4.0)
    assert state["muted_parts"] == "0"


def restarted(room: Room, folder: Path, pending_id: int, sounding_id: int = 2) -> Room:
    """The bridge process after one that was killed: the melody's loop 2 sounds, and bars wait, or sound since."""
    room.time.run(1.0)
    again = Room(folder, fresh=False)
    again.time.ns = room.time.ns
    rows = [(62, 0.0, 0.25, 90, 0)] if sounding_id == 2 else []
    seen = messages.VoiceSnapshot("melody", True, True, [], sounding_id, 4.0, 8.0, list(rows), pending_id)
    again.session.from_player(seen)
    again.session.from_player(messages.SnapshotEnd(False))
    return again


def test_bars_whose_bridge_died_are_told_without_its_latency_where_they_are_called_off(
    room: Room, tmp_path: Path
) -> None:
    room.ask("next")
    room.answer()  # and the player has not said that it has them
    room.time.run(1.0)
    again = Room(tmp_path, fresh=False)
    again.ask("clear")
    assert again.words.take("/melody/bars/end") == [(1, 0.0)]


def waits_no_longer(room: Room, loop_id: int) -> None:
    """The bars that waited begin to sound."""
    room.session.from_player(messages.Launched("melody", loop_id, 12.0, 12.0))


def test_a_scene_s_bars_that_wait_through_a_restart_are_locked_as_they_were(room: Room, tmp_path: Path) -> None:
    scene = room.new_loop()
    room.ask("lock", bar=0, on=True)
    room.ask("save", "bridge", name="verse")
    room.ask("lock", bar=0, on=False)
    room.new_loop(62)
    room.ask("load", "bridge", name="verse")
    again = restarted(room, tmp_path, scene)
    assert again.voice.knobs.locked == []
    waits_no_longer(again, scene)
    assert again.voice.knobs.locked == [0]
    began_meanwhile = restarted(room, tmp_path, 0, scene)
    assert began_meanwhile.voice.knobs.locked == [0]


def test_the_silence_of_a_scene_that_waits_through_a_restart_is_no_set_of_bars(room: Room, tmp_path: Path) -> None:
    room.ask("save", "bridge", name="rest")
    room.new_loop()
    room.new_loop(62)
    room.ask("load", "bridge", name="rest")
    assert room.voice.pending is not None
    silence = room.voice.pending.id
    again = restarted(room, tmp_path, silence)
    waits_no_longer(again, silence)
    began_meanwhile = restarted(room, tmp_path, 0, silence)
    assert len(began_meanwhile.player.take(messages.ClearVoice)) == 1
    for bridge in (again, began_meanwhile):
        assert bridge.voice.sounding is None
        assert bridge.voice.history.ids == [1, 2]
        assert bridge.words.take("/melody/bars/begin") == []


def test_bars_that_wait_for_a_line_of_their_own_wait_for_it_with_the_next_bridge_and_player_too(
    room: Room, tmp_path: Path
) -> None:
    room.new_loop()
    room.ask("launch", when="now")
    room.ask("auto", bars=2)
    beat(room, 9)
    room.answer()
    waiting = room.schedule()
    assert waiting.launch == "bar"
    room.time.run(1.0)
    again = Room(tmp_path)
    (launch,) = again.player.take(messages.Launch)
    assert (launch.id, launch.launch) == (waiting.id, "bar")
    again.session.from_player(messages.Scheduled("melody", launch.id, 12.0))
    assert again.words.take("/melody/bars/begin") == [(launch.id, 2, 12.0, 2)]


def beat(room: Room, number: float) -> None:
    """The song has come to a beat (at 120 BPM)."""
    room.time.run(max(0.0, number * 0.5 - (room.time.ns - 1_000_000_000) / 1e9))
    room.session.from_player(messages.Beat(int(number), 120.0, True))


def test_auto_asks_in_the_last_bar_before_the_next_bars_are_due(room: Room) -> None:
    room.new_loop()  # launched at beat 4
    room.ask("auto", bars=2)
    asked = []
    for number in range(5, 20):
        beat(room, number)
        if room.engine.sent:
            asked.append(number)
            room.answer()
            launch = room.schedule()
            assert launch.launch == "bar"
        if number in {12, 20}:
            room.session.from_player(messages.Launched("melody", launch.id, float(number), float(number)))
    assert asked == [8, 16]
    room.ask("auto", bars=0)
    for number in range(20, 30):
        beat(room, number)
    assert room.engine.sent == []


def test_auto_outlives_an_engine_and_ends_with_a_model_that_is_gone(room: Room) -> None:
    room.new_loop()  # launched at beat 4
    room.ask("auto", bars=2)
    room.session.engine_gone()
    for number in range(5, 30):
        beat(room, number)
    assert (room.voice.auto_bars, room.words.take("/error")) == (2, [])
    for model in ("melody-2bar", "drums-2bar"):
        room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    beat(room, 30)
    assert room.engine.take(engine_messages.Generate)[0].op == "next"
    room.ask("clear")
    room.session.from_engine(engine_messages.ModelState("melody-2bar", False, "its weights are damaged"))
    beat(room, 31)
    assert (room.voice.auto_bars, room.words.take("/error")[-1][0]) == (0, 4)


def test_bars_of_auto_that_are_called_off_come_after_as_many_bars_again(room: Room) -> None:
    room.new_loop()  # launched at beat 4
    room.ask("auto", bars=2)
    asked = []
    for number in range(5, 20):
        beat(room, number)
        if room.engine.sent:
            asked.append(number)
            room.answer()
            room.schedule()
            beat(room, number + 0.5)
            room.ask("undo")
    assert asked == [8, 16]


def auto_has_asked(room: Room) -> int:
    """A loop that sounds from beat 4, and the next bars of `auto` under way at beat 8; the id of the loop."""
    first = room.new_loop(pitch=61)
    room.ask("auto", bars=2)
    for number in range(5, 9):
        beat(room, number)
    assert len(room.engine.sent) == 1
    room.player.take(messages.CancelPending)
    return first


def test_auto_that_is_switched_off_calls_off_the_bars_it_has_announced(room: Room) -> None:
    first = auto_has_asked(room)
    room.answer(pitch=62)
    announced = room.schedule()
    room.ask("auto", bars=0)
    assert len(room.player.take(messages.CancelPending)) == 1
    assert room.voice.pending is None
    room.session.from_player(messages.Launched("melody", announced.id, 12.0, 12.0))  # it had not heard of that yet
    (restored,) = room.player.take(messages.RestoreVoice)
    assert restored.id == first
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 61  # it goes on from what sounds
    room.launch()
    room.ask("recall", id=announced.id)  # they were made, and can be brought back


def test_auto_that_is_switched_off_calls_off_the_bars_that_are_being_made_for_it(room: Room) -> None:
    auto_has_asked(room)
    room.ask("auto", bars=0)
    room.ask("next")
    room.words.take("/melody/bars/begin")
    room.answer(pitch=62)
    assert room.player.take(messages.Launch) == []
    ((_, _, start, _),) = room.words.take("/melody/bars/begin")  # told and kept
    assert start == -1.0
    assert room.answer(pitch=63).material[0][1][0][0] == 61
    assert len(room.player.take(messages.Launch)) == 1


def test_bars_that_a_client_asked_for_stay_when_auto_is_switched_off(room: Room) -> None:
    auto_has_asked(room)
    room.answer(pitch=62)
    room.schedule()
    room.ask("next")  # takes the place of those of auto
    room.answer(pitch=63)
    mine = room.schedule()
    room.ask("auto", bars=0)
    assert room.player.take(messages.CancelPending) == []
    assert room.voice.pending.id == mine.id


def test_auto_calls_nothing_off_that_is_due_all_the_same(room: Room) -> None:
    auto_has_asked(room)
    room.answer(pitch=62)
    waits = room.schedule()
    room.ask("auto", bars=1)
    assert room.voice.pending.id == waits.id
    room.ask("auto", bars=8)  # not before so many have been played
    assert room.voice.pending is None
    for number in range(9, 33):
        beat(room, number)
        assert len(room.engine.sent) == (number >= 32)


def test_auto_switched_off_after_a_restart_of_the_bridge_calls_its_bars_off_too(room: Room, tmp_path: Path) -> None:
    auto_has_asked(room)
    room.answer(pitch=62)
    room.schedule()
    room.session.close()
    again = Room(tmp_path)
    assert again.voice.pending is not None
    again.ask("auto", bars=0)
    assert again.voice.pending is None


def test_a_scene_brings_bars_corners_and_knobs_back(room: Room) -> None:
    first = room.new_loop(pitch=61)
    corners(room)
    room.ask("swing", swing=60.0)
    room.ask("save", "bridge", name="verse")
    room.new_loop(pitch=70)
    room.ask("swing", swing=50.0)
    room.ask("store", slot="c", length=4.0, notes=[])
    assert room.refusal("load", "bridge", name="chorus") == 5
    room.ask("load", "bridge", name="verse")
    assert room.launch() == first
    assert room.voice.knobs.swing == 60.0
    assert set(room.voice.corners) == {"a", "b"}
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 61


def test_a_scene_comes_before_what_was_asked_for_earlier(room: Room) -> None:
    first = room.new_loop(pitch=61)
    room.ask("save", "bridge", name="verse")
    room.new_loop(pitch=70)
    room.ask("next")  # still being made when the scene is loaded
    room.ask("load", "bridge", name="verse")
    assert room.schedule().id == first
    room.answer(pitch=50)
    assert not room.player.take(messages.Launch), "told and kept, but not launched"
    assert room.words.take("/melody/bars/end")
    assert room.voice.pending is not None
    assert room.voice.pending.id == first
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 61


def test_a_voice_that_had_nothing_is_silenced_by_a_scene_at_its_boundary(room: Room) -> None:
    room.ask("save", "bridge", name="empty")
    playing = room.new_loop()
    room.words.said.clear()
    room.ask("load", "bridge", name="empty")
    silence = room.schedule()
    assert (silence.launch, silence.notes) == ("bar", [])
    assert room.voice.sounding is not None
    assert room.voice.sounding.id == playing, "until then it plays on"
    room.session.from_player(messages.Launched("melody", silence.id, 8.0, 8.0))
    assert (room.voice.sounding, room.voice.pending) == (None, None)
    assert room.player.take(messages.ClearVoice)
    assert not room.words.take("/melody/launched")
    told = {values[0] for values in room.words.take("/melody/bars/begin")}
    assert told <= {playing}, "it is no bars of anybody's"
    assert room.voice.history.ids == [playing]
    room.ask("next")
    assert room.answer().op == "sample"


def test_a_scene_that_silences_can_be_undone_until_it_does(room: Room) -> None:
    room.ask("save", "bridge", name="empty")
    playing = room.new_loop()
    room.ask("load", "bridge", name="empty")
    room.ask("undo")
    assert room.player.take(messages.CancelPending)
    assert room.voice.present is not None
    assert room.voice.present.id == playing


def test_store_waits_for_the_bars_that_there_will_be(room: Room) -> None:
    assert room.refusal("store", slot="a") == 4
    room.ask("next")
    room.ask("store", slot="a")
    room.answer(pitch=64)
    assert room.voice.corners["a"].bars.notes[0].pitch == 64


def test_a_scene_brings_mutes_and_auto_back(room: Room) -> None:
    room.new_loop()
    room.ask("mute", "drums", on=True, part=-1)
    room.ask("auto", bars=4)
    room.ask("save", "bridge", name="verse")
    room.ask("mute", "drums", on=False, part=-1)
    room.ask("mute", on=True, part=-1)
    room.ask("auto", bars=0)
    room.player.take(messages.MuteVoice)
    room.ask("load", "bridge", name="verse")
    told = {(record.voice, record.on, record.part) for record in room.player.take(messages.MuteVoice)}
    assert told == {("drums", True, 0), ("melody", False, 0)}
    assert (room.voice.muted_parts, room.session.stage.voices["drums"].muted_parts) == (set(), {0})
    assert (room.voice.auto_bars, room.voice.auto_request.verb) == (4, "auto")


def test_a_damaged_scene_changes_nothing(room: Room, tmp_path: Path) -> None:
    room.ask("save", "bridge", name="verse")
    (tmp_path / "scenes" / "verse.json").write_text('{"melody": {"knobs": {}}}')
    room.ask("swing", swing=60.0)
    assert room.refusal("load", "bridge", name="verse") == 7
    assert room.voice.knobs.swing == 60.0


def test_play_sounds_once_more_what_is_over_but_no_answer_of_a_jam(room: Room) -> None:
    room.new_loop()
    room.ask("loop", on=False)
    room.ask("play")
    assert room.player.take(messages.PlayVoice)[-1].anew
    room.ask("jam", how="respond", bars=2)
    room.ask("play")
    assert not room.player.take(messages.PlayVoice)[-1].anew


def test_taps_set_the_tempo_and_a_pause_begins_anew(room: Room) -> None:
    for pause in (0.0, 0.5, 0.5, 0.5):
        room.time.run(pause)
        room.ask("tap", "clock")
    assert room.player.take(messages.SetClock)[-1].tempo_bpm == pytest.approx(120.0)
    for pause in (5.0, 0.4):
        room.time.run(pause)
        room.ask("tap", "clock")
    assert [clock.tempo_bpm for clock in room.player.take(messages.SetClock)] == [pytest.approx(150.0)]
