"""Key, chords, scale, hold, lock, follow, surprise and fills: what the engine is asked for, what is kept and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from session_room import VOICE, Room, clock_state

from bridge import engine_messages, messages
from bridge.music.feel import STRAIGHT, Feel
from bridge.session.outside import Request

VOICES = {
    "melody": dict(VOICE),
    "bass": {**VOICE, "model": "bass-2bar", "channel": 2},
    "drums": {**VOICE, "model": "drums-2bar", "channel": 10},
}
A_MAJOR = [(pitch, float(k), 1.0, 90, 0) for k, pitch in enumerate((69, 71, 73, 74, 76, 78, 80, 81))]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return band(tmp_path)


def band(folder: Path, token: str = "t") -> Room:
    room = Room(folder, token, VOICES)
    room.session.from_engine(engine_messages.ModelState("bass-2bar", True, "ready"))
    return room


def answer(room: Room, rows: list[Any] | None = None, length: float = 8.0) -> engine_messages.Generate:
    """The engine does the oldest job."""
    job: engine_messages.Generate = next(r for r in room.engine.sent if isinstance(r, engine_messages.Generate))
    room.engine.sent.remove(job)
    notes = [(60, 0.0, 1.0, 90, 0), (64, 4.0, 1.0, 90, 0)] if rows is None else rows
    room.session.from_engine(engine_messages.Generated(job.job, length, notes, 1.0))
    return job


def loop_of(room: Room, voice: str, rows: list[Any] | None = None, start: float = 4.0) -> engine_messages.Generate:
    """`sample`, done and launched."""
    room.ask("sample", voice)
    job = answer(room, rows)
    launch = room.player.take(messages.Launch)[-1]
    room.session.from_player(messages.Scheduled(voice, launch.id, start))
    room.session.from_player(messages.Launched(voice, launch.id, start, start))
    return job


def bridge(room: Room, verb: str, **args: Any) -> None:
    room.session.handle(Request(f"/bridge/{verb}", "bridge", verb, args, ("127.0.0.1", 5005), room.time.ns))


def state(room: Room, voice: str = "melody") -> dict[str, Any]:
    told = room.session.stage.voice_state(room.session.stage.voices[voice])
    return dict(zip(told[::2], told[1::2], strict=True))


def test_the_key_is_taken_from_the_first_seed_and_binds_the_others(room: Room) -> None:
    assert (state(room)["key"], state(room)["scale"], state(room, "drums")["scale"]) == (-1, "soft", "off")
    room.ask("seed", length=8.0, notes=A_MAJOR)
    assert room.words.take("/bridge/key/state") == [(-1, "major", 9)]
    room.ask("sample", "bass")
    assert answer(room).bend["key"] == {"classes": [1, 2, 4, 6, 8, 9, 11], "binding": "soft", "mode": "major"}
    room.ask("sample", "drums")
    assert "key" not in answer(room).bend
    assert state(room, "bass")["key"] == 9


def test_voices_asked_in_one_breath_share_the_key_of_the_first(room: Room) -> None:
    room.ask("sample", "melody")
    room.ask("sample", "bass")
    assert answer(room, A_MAJOR).bend["key"]["classes"] is None
    first = answer(room)
    assert first.bend["key"]["classes"] is None
    assert not room.player.take(messages.Launch)[1:], "made without a key: not heard"
    again = answer(room)
    assert (again.job, again.seed) == (first.job, first.seed)
    assert again.bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11]
    assert [launch.voice for launch in room.player.take(messages.Launch)] == ["bass"]


def test_the_key_of_the_first_bars_stays_until_clear_sets_it_free(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    assert loop_of(room, "melody").bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11]
    assert room.session.stage.harmony.source == "melody"
    room.ask("clear")
    assert state(room)["key"] == -1


def test_bars_that_gave_the_key_are_made_again_in_none_as_they_were(tmp_path: Path) -> None:
    """What fits two keys would come in the other one at the first turn of a knob."""
    room = band(tmp_path)
    loop_of(room, "melody", A_MAJOR)
    room.ask("surprise", surprise=0.6)
    assert answer(room, A_MAJOR).bend["key"]["classes"] is None
    loop_of(room, "bass")
    room.ask("surprise", "bass", surprise=0.6)
    assert answer(room).bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11], "others are in it"
    bridge(room, "key", tonic=-1, mode="major")
    assert answer(room, A_MAJOR).bend["key"]["classes"] is None, "asked for as it is"
    assert state(room)["key"] == 9
    room.session.close()
    kept = room.session.stage.harmony.to_json()
    assert band(tmp_path).session.stage.harmony.to_json() == kept, "after a restart"
    assert kept["giver"]
    room.session.stage.harmony.restore({key: value for key, value in kept.items() if key != "giver"})
    assert room.session.stage.harmony.giver is None, "of a session from before it was kept"


def brought_back(room: Room, loop_id: int, verb: str = "recall") -> None:
    """After `clear`, and sounding."""
    room.ask("clear")
    assert state(room)["key"] == -1
    room.ask(verb, **({"id": loop_id} if verb == "recall" else {}))
    room.session.from_player(messages.Scheduled("melody", loop_id, 8.0))
    room.session.from_player(messages.Launched("melody", loop_id, 8.0, 8.0))


@pytest.mark.parametrize("verb", ["recall", "undo"])
def test_bars_that_gave_the_key_are_made_again_in_none_when_they_are_brought_back_too(room: Room, verb: str) -> None:
    first = loop_of(room, "melody", A_MAJOR)
    loop_id = room.voice.present.id
    loop_of(room, "melody")
    brought_back(room, loop_id, verb)
    assert state(room)["key"] == 9
    room.ask("surprise", surprise=0.6)
    again = answer(room, A_MAJOR)
    assert (again.seed, again.bend["key"]["classes"]) == (first.seed, None)


def test_bars_that_were_made_in_a_key_give_it_when_they_are_brought_back(room: Room) -> None:
    """Though their notes, which fit another one as well, would give that."""
    room.ask("seed", length=8.0, notes=A_MAJOR)
    in_both = [(pitch, float(k), 1.0, 90, 0) for k, pitch in enumerate((62, 66, 69, 71, 62, 64, 69, 62))]
    loop_of(room, "melody", in_both)
    loop_id = room.voice.present.id
    brought_back(room, loop_id)
    assert state(room)["key"] == 9
    room.ask("surprise", surprise=0.6)
    assert answer(room, in_both).bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11]
    room.ask("seed", length=8.0, notes=in_both)
    assert state(room)["key"] == 2, "a seed gives what its notes say"


def test_bars_of_which_nobody_knows_the_key_give_what_their_notes_say(room: Room) -> None:
    """Those that were kept before it was kept with them."""
    loop_of(room, "melody", A_MAJOR)
    loop = room.voice.present
    room.session.stage.archive.save("melody", replace(loop, made_in=None), 120.0, (4, 4))
    brought_back(room, loop.id)
    assert state(room)["key"] == 9
    room.ask("surprise", surprise=0.6)
    assert answer(room, A_MAJOR).bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11]


def test_bars_that_gave_the_key_come_in_one_that_is_asked_for(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    bridge(room, "key", tonic=2, mode="major")
    assert answer(room, A_MAJOR).bend["key"]["classes"] == [1, 2, 4, 6, 7, 9, 11]
    bridge(room, "key", tonic=-1, mode="major")
    assert answer(room).bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11], "what they are now, they are in this key"


def test_new_bars_of_the_voice_that_gave_the_key_are_made_again_in_it(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    loop_of(room, "melody", A_MAJOR)
    room.ask("surprise", surprise=0.6)
    assert answer(room, A_MAJOR).bend["key"]["classes"] == [1, 2, 4, 6, 8, 9, 11]


def test_bars_that_give_a_hard_key_are_bound_by_it_themselves(room: Room) -> None:
    """Which key it is says the whole of their notes, once they are all there."""
    room.ask("scale", how="hard")
    room.ask("sample", "melody")
    answer(room, [*A_MAJOR, (65, 7.5, 0.25, 90, 0)])
    played = {row[0] % 12 for row in room.player.take(messages.Launch)[-1].notes}
    assert played <= {1, 2, 4, 6, 8, 9, 11}


def test_bars_brought_back_are_bound_by_a_hard_key_and_kept_as_they_were(room: Room) -> None:
    room.ask("scale", how="off")
    loop_of(room, "melody", [(62, 0.0, 1.0, 90, 0), (64, 1.0, 1.0, 90, 0)])
    first = room.session.stage.voices["melody"].present.id
    bridge(room, "key", tonic=1, mode="major")
    answer(room)
    loop_of(room, "melody")
    room.ask("scale", how="hard")
    answer(room)
    room.player.sent.clear()
    room.ask("recall", id=first)
    launch = room.player.take(messages.Launch)[-1]
    assert launch.id == first
    assert {row[0] % 12 for row in launch.notes} <= {0, 1, 3, 5, 6, 8, 10}
    room.session.from_player(messages.Scheduled("melody", first, 0.0))
    room.session.from_player(messages.Launched("melody", first, 0.0, 0.0))
    room.player.sent.clear()
    assert [note.pitch for note in room.session.stage.archive.load("melody", first).bars.notes] == [62, 64]


def test_a_key_that_is_asked_for_makes_what_sounds_again_with_the_same_noise(room: Room) -> None:
    job = loop_of(room, "melody")
    bridge(room, "key", tonic=2, mode="dorian")
    again = answer(room)
    assert (again.op, again.seed, again.material, again.knob) == (job.op, job.seed, job.material, True)
    assert again.bend["key"]["classes"] == [0, 2, 4, 5, 7, 9, 11]
    assert room.player.take(messages.Reshape)
    room.ask("scale", how="hard")
    assert answer(room).bend["key"]["binding"] == "hard"
    room.ask("scale", how="off")
    assert "key" not in answer(room).bend


OUT = [(61, 0.0, 1.0, 90, 0), (63, 4.0, 1.0, 90, 0)]
C_MAJOR = {0, 2, 4, 5, 7, 9, 11}


def newest_rows(room: Room) -> set[int]:
    """The pitch classes of what the player was given last."""
    return {row[0] % 12 for row in room.player.take(messages.Reshape)[-1].notes}


def test_a_hard_key_binds_at_once_what_is_still_to_be_made_again(room: Room) -> None:
    """However long the engine takes, and where it is gone."""
    loop_of(room, "melody", OUT)
    room.ask("sample")
    answer(room, OUT)
    room.player.sent.clear()
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    for reshape in room.player.take(messages.Reshape)[-2:]:
        assert {row[0] % 12 for row in reshape.notes} <= C_MAJOR
    bridge(room, "key", tonic=6, mode="pentatonic_major")
    assert newest_rows(room) <= {6, 8, 10, 1, 3}


def test_what_was_bound_hard_is_free_again_at_once_though_it_cannot_be_made_again(room: Room) -> None:
    room.ask("key", "bridge", tonic=0, mode="major")
    room.ask("scale", how="off")
    room.new_loop(pitch=61)
    room.session.engine_gone()
    room.player.take(messages.Reshape)
    heard = []
    for how in ("hard", "soft", "off"):
        room.ask("scale", how=how)
        heard += [{row[0] for row in reshape.notes} for reshape in room.player.take(messages.Reshape)]
    assert len(heard) == 2
    assert 61 not in heard[0]
    assert heard[1] == {61}


def test_bars_of_a_model_that_was_swapped_are_bound_too(room: Room) -> None:
    loop_of(room, "melody", OUT)
    room.ask("scale", how="hard")
    answer(room, OUT)
    room.ask("model", name="bass-2bar")
    room.session.from_engine(engine_messages.ModelState("bass-2bar", True, "ready"))
    room.player.sent.clear()
    bridge(room, "key", tonic=0, mode="major")
    assert not [job for job in room.engine.sent if isinstance(job, engine_messages.Generate)], "no recipe of this model"
    assert newest_rows(room) <= C_MAJOR


def test_a_seed_that_gives_the_key_anew_binds_what_others_play(room: Room) -> None:
    room.ask("seed", length=8.0, notes=A_MAJOR)
    loop_of(room, "bass", [(45, 0.0, 1.0, 90, 0)])
    room.ask("scale", "bass", how="hard")
    answer(room, [(45, 0.0, 1.0, 90, 0)])
    room.player.sent.clear()
    room.ask("seed", length=8.0, notes=[(row[0] + 1, *row[1:]) for row in A_MAJOR])
    assert state(room, "bass")["key"] == 10
    assert newest_rows(room) <= {10, 0, 2, 3, 5, 7, 9}


def test_bars_made_in_the_key_before_are_bound_to_the_one_there_is(room: Room) -> None:
    """A knob that never rests lets bars through that were asked for with what it said before."""
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    room.ask("sample")
    for tonic in (2, 4, 0):
        bridge(room, "key", tonic=tonic, mode="pentatonic_major")
        answer(room, OUT)
    played = {row[0] % 12 for row in room.player.take(messages.Launch)[-1].notes}
    assert played <= {0, 2, 4, 7, 9}


def test_a_stored_corner_sounds_as_it_is_in_every_key(room: Room) -> None:
    for slot, pitch in (("a", 61), ("b", 63)):
        room.ask("store", slot=slot, length=8.0, notes=[(pitch, 0.0, 1.0, 90, 0)])
    room.ask("scale", how="hard")
    room.ask("morph", x=0.0)
    answer(room, OUT)
    launch = room.player.take(messages.Launch)[-1]
    room.session.from_player(messages.Launched("melody", launch.id, 4.0, 4.0))
    bridge(room, "key", tonic=0, mode="major")
    assert newest_rows(room) == {1, 3}
    room.ask("morph", x=0.5)  # what lies between is bound, whatever comes of it
    answer(room, OUT)
    answer(room, OUT)
    bridge(room, "key", tonic=2, mode="major")
    assert newest_rows(room) <= {2, 4, 6, 7, 9, 11, 1}


def test_transposed_notes_keep_to_a_hard_scale(room: Room) -> None:
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    loop_of(room, "melody", [(60, 0.0, 1.0, 90, 0), (64, 1.0, 1.0, 90, 0)])
    room.ask("transpose", semitones=1)
    room.time.run(0.2)
    assert [row[0] % 12 for row in room.player.take(messages.Reshape)[-1].notes] == [0, 5]


def test_chords_reach_the_voices_with_pitches(room: Room) -> None:
    bridge(room, "chords", length=8.0, chords=[(4.0, 5, "maj"), (0.0, 9, "min")])
    room.ask("sample", "melody")
    assert answer(room).bend["chords"] == {"length": 8.0, "chords": [[0.0, 9, "min"], [4.0, 5, "maj"]]}
    room.ask("sample", "drums")
    assert "chords" not in answer(room).bend
    bridge(room, "chords", length=None, chords=None)
    assert "chords" not in answer(room).bend, "what waits is made again without them"


def test_what_is_held_is_in_the_recipe_and_stays_there(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    room.ask("hold", what="rhythm")
    room.ask("next")
    held = answer(room).bend["hold"]
    assert held == {"what": "rhythm", "bars": [8.0, [list(row) for row in A_MAJOR]]}
    room.ask("hold", what="none")
    room.ask("temperature", temperature=0.9)
    jobs = [answer(room), answer(room)]
    assert jobs[1].bend["hold"] == held, "the waiting bars are made again as they were asked for"
    room.ask("next")
    assert "hold" not in answer(room).bend


def test_locked_bars_go_with_every_job_and_are_refused_beyond_the_loop(room: Room) -> None:
    assert room.refusal("lock", bar=0, on=True) == 4
    loop_of(room, "melody")
    assert room.refusal("lock", bar=2, on=True) == 3
    room.ask("lock", bar=1, on=True)
    assert state(room)["locked"] == "1"
    room.ask("vary", amount=0.5)
    lock = answer(room).bend["lock"]
    assert (lock["bars"], lock["spans"]) == ([8.0, [[64, 4.0, 1.0, 90, 0]]], [[4.0, 8.0]])
    room.ask("temperature", temperature=0.9)
    sounding, waiting = answer(room).bend, answer(room).bend
    assert sounding["lock"] == waiting["lock"] == waiting["beside"] == lock
    assert "beside" not in sounding, "they were there before"
    room.ask("lock", bar=1, on=False)
    room.ask("sample")
    assert "lock" not in answer(room).bend
    room.ask("lock", bar=0, on=True)
    room.ask("clear")
    assert state(room)["locked"] == ""


def brought_back_in_c(room: Room) -> list[Any]:
    """Bars with notes outside C major, made free, brought back where C major binds hard: what the player was given."""
    room.ask("scale", how="off")
    loop_of(room, "melody", [(61, 0.0, 1.0, 90, 0), (62, 1.0, 1.0, 90, 0), (66, 4.0, 1.0, 90, 0)])
    first = room.session.stage.voices["melody"].present.id
    loop_of(room, "melody")
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    while room.engine.sent:
        answer(room)
    room.ask("recall", id=first)
    given: list[Any] = room.player.take(messages.Launch)[-1].notes
    room.session.from_player(messages.Scheduled("melody", first, 8.0))
    room.session.from_player(messages.Launched("melody", first, 8.0, 8.0))
    assert [row[0] for row in given] == [60, 62, 65]
    return given


def test_a_bar_that_a_hard_key_binds_as_it_is_played_is_locked_as_it_is_heard(room: Room) -> None:
    brought_back_in_c(room)
    room.ask("lock", bar=0, on=True)
    room.ask("next")
    lock = answer(room).bend["lock"]
    assert [row[0] for row in lock["bars"][1]] == [60, 62]


def test_a_loop_that_a_hard_key_binds_as_it_is_played_is_stored_as_it_is_heard(room: Room) -> None:
    brought_back_in_c(room)
    room.ask("store", slot="a")
    assert [note.pitch for note in room.voice.corners["a"].bars.notes] == [60, 62, 65]


def test_locked_bars_sound_as_they_are_in_any_key_and_transposed(room: Room) -> None:
    brought_back_in_c(room)
    room.ask("lock", bar=0, on=True)
    room.player.sent.clear()
    bridge(room, "key", tonic=1, mode="pentatonic_major")
    heard = room.player.take(messages.Reshape)[-1].notes
    assert [row[0] for row in heard] == [60, 62, 65], "bar 0 is locked, bar 1 bound"
    room.engine.sent.clear()
    room.ask("transpose", semitones=1)
    room.time.run(0.2)
    assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [61, 63, 68]


def test_a_bar_that_is_free_again_is_bound_by_a_hard_key_at_once(room: Room) -> None:
    room.ask("scale", how="off")
    loop_of(room, "melody", [(61, 0.0, 1.0, 90, 0), (62, 1.0, 1.0, 90, 0)])
    room.ask("lock", bar=0, on=True)
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    while room.engine.sent:
        answer(room, [(61, 0.0, 1.0, 90, 0), (62, 1.0, 1.0, 90, 0)])
    assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [61, 62]
    room.ask("lock", bar=0, on=False)
    assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [60, 62]


def test_a_bar_of_a_loop_that_is_on_its_way_can_be_locked(room: Room) -> None:
    room.ask("sample")
    room.ask("lock", bar=1, on=True)
    room.ask("lock", bar=5, on=True)
    assert room.words.take("/error") == []
    answer(room)
    assert state(room)["locked"] == "1"
    ((code, address, why),) = room.words.take("/error")
    assert (code, address) == (3, "/melody/lock")
    assert "bars 0 to 1" in why


def test_a_bar_locked_while_others_wait_stays_in_those(room: Room) -> None:
    loop_of(room, "melody")
    room.ask("sample")
    answer(room)
    assert room.voice.pending is not None
    room.ask("lock", bar=0, on=True)
    again = answer(room)
    assert again.op == "sample"
    assert again.bend["lock"]["spans"] == [[0.0, 4.0]]


def test_a_bar_locked_while_others_wait_is_in_those_before_they_are_made_again(room: Room) -> None:
    """They may sound before: however long the engine takes, and where it is gone."""
    loop_of(room, "drums", PUSHED)
    room.ask("sample", "drums")
    answer(room, [(42, 1.0, 0.1, 70, 0), (42, 3.99, 0.1, 71, 0), (42, 5.0, 0.1, 72, 0)])
    room.session.engine_gone()
    room.ask("lock", "drums", bar=1, on=True)
    pending = room.session.stage.voices["drums"].pending
    (given,) = (reshape for reshape in room.player.take(messages.Reshape) if reshape.id == pending.id)
    assert [(row[0], row[3]) for row in given.notes] == [(42, 70), (36, 92), (38, 93)]
    assert (pending.kept, pending.source.bars) == ((1,), pending.bars)
    room.session.from_player(messages.Launched("drums", pending.id, 8.0, 8.0))
    assert room.session.stage.voices["drums"].sounding.bars == pending.bars


def test_a_bar_locked_while_others_are_made_stays_in_those(room: Room) -> None:
    loop_of(room, "melody")
    room.ask("sample")
    room.ask("lock", bar=1, on=True)
    first = answer(room)
    assert "lock" not in first.bend
    again = answer(room)
    assert (again.job, again.seed) == (first.job, first.seed)
    assert again.bend["lock"]["spans"] == [[4.0, 8.0]]
    assert room.voice.pending is not None


def test_a_loop_without_a_locked_bar_unlocks_it(room: Room) -> None:
    loop_of(room, "melody")
    for bar in (0, 1):
        room.ask("lock", bar=bar, on=True)
    room.ask("sample")
    answer(room, [(62, 0.0, 1.0, 90, 0)], length=4.0)
    launch = room.player.take(messages.Launch)[-1]
    assert state(room)["locked"] == "0 1"
    room.session.from_player(messages.Launched("melody", launch.id, 8.0, 8.0))
    assert state(room)["locked"] == "0"


def test_bars_of_a_locked_loop_are_humanised_as_it_was(room: Room) -> None:
    first = loop_of(room, "melody")
    room.ask("lock", bar=0, on=True)
    room.ask("next")
    answer(room)
    pending = room.voice.pending
    assert pending is not None
    assert pending.groove_seed == first.seed


PUSHED = [(36, 0.02, 0.1, 90, 0), (38, 3.6, 0.1, 91, 0), (36, 3.98, 0.1, 92, 0), (38, 7.6, 0.1, 93, 0),
          (36, 7.98, 0.1, 94, 0)]  # fmt: skip


@pytest.mark.parametrize("bar", [0, 1])
@pytest.mark.parametrize(
    ("quantize", "grid", "of_bars"),
    [
        (0.0, "1/16", ([0.02, 3.6, 7.98], [3.98, 7.6])),
        (1.0, "1/16", ([0.02, 3.6, 7.98], [3.98, 7.6])),
        (1.0, "1/4", ([0.02, 7.6, 7.98], [3.6, 3.98])),
        (0.1, "1/4", ([0.02, 3.6, 7.98], [3.98, 7.6])),
    ],
)
def test_what_is_struck_just_before_a_line_is_locked_with_the_bar_in_which_it_is_heard_to_belong(
    room: Room, quantize: float, grid: str, of_bars: tuple[list[float], list[float]], bar: int
) -> None:
    loop_of(room, "drums", PUSHED)
    room.ask("quantize", "drums", strength=quantize)
    room.ask("grid", "drums", grid=grid)
    room.ask("lock", "drums", bar=bar, on=True)
    room.ask("vary", "drums", amount=0.5)
    lock = answer(room).bend["lock"]
    assert [row[1] for row in lock["bars"][1]] == of_bars[bar]
    assert lock["played"] == [{"quantize": quantize, "grid": grid}]


NEAR_LINES = [(35, 3.75, 0.1, 90, 0), (36, 4.0, 0.1, 91, 0), (38, 7.75, 0.1, 92, 0)]


@pytest.mark.parametrize(
    ("bar", "locked_on", "then", "heard"),
    [
        (1, "1/16", "1/4", [(36, 4.0), (38, 7.0)]),
        (0, "1/16", "1/4", [(35, 3.0), (36, 4.0)]),
        (1, "1/4", "1/16", [(35, 4.0), (36, 4.0)]),
        (0, "1/4", "1/16", [(38, 0.0), (36, 4.0)]),
    ],
)
def test_a_grid_that_is_turned_takes_nothing_out_of_a_locked_bar_and_brings_nothing_into_it(
    room: Room, bar: int, locked_on: str, then: str, heard: list[tuple[int, float]]
) -> None:
    """Its notes stay in it, on the nearest step that the grid has there; others are not heard in it. What is free again
    is played as it always was.
    """
    loop_of(room, "drums", NEAR_LINES)
    room.ask("quantize", "drums", strength=1.0)
    room.ask("grid", "drums", grid=then)
    room.time.run(0.2)
    free = room.player.take(messages.Reshape)[-1].notes
    room.ask("grid", "drums", grid=locked_on)
    room.ask("lock", "drums", bar=bar, on=True)
    room.ask("grid", "drums", grid=then)
    room.time.run(0.2)
    notes = room.player.take(messages.Reshape)[-1].notes
    assert [(row[0], row[1]) for row in notes] == heard
    room.ask("vary", "drums", amount=0.5)
    lock = answer(room, NEAR_LINES).bend["lock"]
    assert lock["played"] == [{"quantize": 1.0, "grid": locked_on}]
    assert {row[0] for row in lock["bars"][1]} == {pitch for pitch, start in heard if start // 4 == bar}
    assert [(row[0], row[1]) for row in room.player.take(messages.Launch)[-1].notes] == heard
    room.ask("lock", "drums", bar=bar, on=False)
    room.time.run(0.2)
    assert room.player.take(messages.Reshape)[-1].notes == free


def test_a_bar_is_locked_as_it_is_heard_beside_one_that_was_locked_on_another_grid(tmp_path: Path) -> None:
    """What the first one has is not heard in the second, and is not of it; so it is after a restart."""
    room = band(tmp_path)
    room.ask("scale", how="off")
    loop_of(room, "melody", [(61, 3.75, 0.25, 90, 0), (62, 4.5, 0.5, 90, 0)])
    room.ask("lock", bar=0, on=True)
    room.ask("grid", grid="1/4")
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    room.ask("lock", bar=1, on=True)
    room.time.run(1.0)
    for one in (room, Room(tmp_path, voices=VOICES, fresh=False)):
        heard = one.session.stage.performed(one.voice, one.voice.sounding)
        assert [(note.pitch, note.start) for note in heard.notes] == [(61, 3.0), (62, 5.0)]


def test_a_bar_that_is_locked_once_more_is_locked_as_it_is_heard_then(room: Room) -> None:
    room.ask("scale", how="off")
    rows = [(61, 0.0, 1.0, 90, 0), (63, 3.75, 0.25, 90, 0), (62, 5.0, 1.0, 90, 0)]
    loop_of(room, "melody", rows)
    room.ask("lock", bar=0, on=True)
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    room.ask("lock", bar=0, on=False)
    room.ask("grid", grid="1/4")
    room.time.run(0.2)
    free = room.player.take(messages.Reshape)[-1].notes
    assert [(row[0], row[1]) for row in free] == [(60, 0.0), (62, 4.0), (62, 5.0)]
    room.ask("lock", bar=0, on=True)
    room.ask("transpose", semitones=0)
    room.time.run(0.2)
    assert room.player.take(messages.Reshape)[-1].notes == free


def test_what_leads_into_a_locked_first_bar_is_at_the_end_of_a_longer_loop(room: Room) -> None:
    """One that was locked when the bars were asked for, beside another one locked since."""
    loop_of(room, "drums", PUSHED)
    room.ask("lock", "drums", bar=0, on=True)
    room.ask("sample", "drums", bars=4)
    answer(room, PUSHED, 16.0)
    launch = room.player.take(messages.Launch)[-1]
    room.session.from_player(messages.Launched("drums", launch.id, 8.0, 8.0))
    room.ask("lock", "drums", bar=0, on=False)
    room.ask("lock", "drums", bar=1, on=True)
    room.ask("temperature", "drums", temperature=1.0)
    lock = answer(room, PUSHED, 16.0).bend["lock"]
    assert [row[1] for row in lock["bars"][1]] == [0.02, 3.6, 3.98, 7.6, 15.98]
    assert lock["bars"][0] == 16.0


@pytest.mark.parametrize(("bar", "wanted"), [(0, [(36, 0.0, 90), (36, 0.0, 94)]), (1, [(36, 3.0, 92)])])
def test_a_bar_in_another_metre_is_locked_with_what_is_brought_onto_its_line(
    room: Room, bar: int, wanted: list[tuple[int, float, int]]
) -> None:
    loop_of(room, "drums", PUSHED)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=16.0, numerator=3, bar_origin_beats=16.0))
    room.ask("lock", "drums", bar=bar, on=True)
    room.ask("vary", "drums", amount=0.5)
    lock = answer(room).bend["lock"]
    assert [(row[0], row[1], row[3]) for row in lock["bars"][1]] == wanted


def test_a_note_that_leads_into_a_locked_bar_is_bound_as_little_as_that(room: Room) -> None:
    off = [(61, 3.98, 0.5, 90, 0), (63, 7.98, 0.02, 90, 0)]
    room.ask("scale", how="off")
    loop_of(room, "melody", off)
    room.ask("lock", bar=1, on=True)
    room.engine.sent.clear()
    bridge(room, "key", tonic=0, mode="major")
    room.ask("scale", how="hard")
    heard = {row[1]: row[0] for row in room.player.take(messages.Reshape)[-1].notes}
    assert heard == {4.0: 61, 0.0: 62}


def test_a_fill_takes_nothing_from_a_locked_bar_and_brings_nothing_into_it(room: Room) -> None:
    loop_of(room, "drums", PUSHED)
    room.ask("quantize", "drums", strength=1.0)
    room.ask("grid", "drums", grid="1/4")
    room.ask("lock", "drums", bar=0, on=True)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.time.run(0.5)
    room.ask("fill", "drums")
    answer(room, [PUSHED[0], PUSHED[1], (50, 5.0, 0.1, 90, 0), (50, 7.7, 0.1, 80, 0), PUSHED[4]])
    heard = room.player.take(messages.Reshape)[-1].notes
    first_bar = [(row[0], row[3]) for row in heard if row[1] < 3.9]
    assert sorted(first_bar) == [(36, 90), (36, 94), (38, 93)]
    assert (50, 5.0) in [(row[0], row[1]) for row in heard]


def test_a_fill_leaves_a_bar_as_it_was_locked_on_another_grid(room: Room) -> None:
    loop_of(room, "drums", NEAR_LINES)
    room.ask("quantize", "drums", strength=1.0)
    room.ask("lock", "drums", bar=0, on=True)
    room.ask("grid", "drums", grid="1/4")
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.time.run(0.5)
    room.ask("fill", "drums")
    answer(room, [NEAR_LINES[0], (50, 5.0, 0.1, 90, 0), (50, 7.7, 0.1, 80, 0)])
    heard = room.player.take(messages.Reshape)[-1].notes
    assert [(row[0], row[1]) for row in heard] == [(35, 3.0), (50, 5.0)]


def test_bars_of_somebody_s_feel_keep_it_beside_a_locked_one_and_at_a_turn_of_a_knob(room: Room) -> None:
    """A jam's answers: no recipe says what made them."""
    loop_of(room, "melody")
    feel = Feel(62.0, 0.03)
    room.voice.sounding = replace(room.voice.sounding, recipe=None, feel=feel, groove_seed=77)
    room.ask("attribute", name="density", amount=0.5)
    answer(room)
    assert (room.voice.sounding.feel, room.voice.sounding.groove_seed) == (feel, 77)
    room.ask("lock", bar=0, on=True)
    room.ask("sample")
    answer(room)
    assert (room.voice.pending.feel, room.voice.pending.groove_seed) == (feel, 77)
    room.ask("lock", bar=0, on=False)
    room.ask("sample")
    answer(room)
    assert room.voice.pending.feel == STRAIGHT


def test_following_takes_the_harmony_and_the_kicks_where_they_fall_in_the_new_bars(room: Room) -> None:
    assert room.refusal("follow", voice="nobody", amount=1.0) == 5
    assert room.refusal("follow", voice="melody", amount=1.0) == 3
    loop_of(room, "drums", [(36, 0.0, 0.1, 90, 0), (36, 5.0, 0.1, 90, 0)], start=4.0)
    loop_of(room, "melody", A_MAJOR, start=4.0)
    room.ask("follow", "bass", voice="melody", amount=0.7)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("sample", "bass")  # sounds from beat 8 on, four beats into the loops that sound
    follow = answer(room).bend["follow"]
    assert follow["amount"] == 0.7
    assert [row[:2] for row in follow["line"][1]][:2] == [[76, 0.0], [78, 1.0]]
    assert follow["rhythm"]["kicks"]
    assert [row[1] for row in follow["rhythm"]["bars"][1]] == [1.0, 4.0]
    assert state(room, "bass")["follow"] == "melody"
    room.ask("follow", "bass", voice="none", amount=0.0)
    assert "follow" not in answer(room).bend


def test_drums_on_a_line_kick_on_its_onsets_and_lines_on_drums_take_the_kick(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    room.ask("follow", "drums", voice="melody", amount=1.0)
    follow = loop_of(room, "drums").bend["follow"]
    assert follow["line"] is None
    assert not follow["rhythm"]["kicks"]
    room.ask("follow", "melody", voice="drums", amount=1.0)
    follow = answer(room).bend["follow"]
    assert follow["line"] is None
    assert follow["rhythm"]["kicks"]


def test_a_remake_follows_what_was_followed_when_the_bars_were_asked_for(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    room.ask("follow", "bass", voice="melody", amount=1.0)
    before = loop_of(room, "bass").bend["follow"]
    loop_of(room, "melody")
    room.ask("temperature", "bass", temperature=1.0)
    assert answer(room).bend["follow"] == before


def test_surprise_goes_with_new_bars_and_makes_them_again(room: Room) -> None:
    assert loop_of(room, "melody").bend["surprise"] == 0.35
    room.ask("surprise", surprise=0.9)
    assert answer(room).bend["surprise"] == 0.9


def test_everything_survives_a_restart_and_is_in_a_scene(tmp_path: Path) -> None:
    room = band(tmp_path)
    loop_of(room, "melody")
    bridge(room, "key", tonic=9, mode="minor")
    bridge(room, "chords", length=4.0, chords=[(0.0, 9, "min")])
    for verb, args in (
        ("scale", {"how": "hard"}),
        ("hold", {"what": "pitch"}),
        ("follow", {"voice": "bass", "amount": 0.5}),
        ("surprise", {"surprise": 0.1}),
        ("gate", {"gate": 0.5}),
        ("lock", {"bar": 1, "on": True}),
    ):
        room.ask(verb, **args)
    room.ask("fill_every", "drums", bars=4)
    bridge(room, "save", name="verse")
    room.session.close()
    keys = ("key", "mode", "scale", "hold", "follow", "follow_amount", "surprise", "gate", "locked")
    kept = [state(room)[key] for key in keys]
    after = band(tmp_path)
    assert [state(after)[key] for key in keys] == kept == [9, "minor", "hard", "pitch", "bass", 0.5, 0.1, 0.5, "1"]
    assert state(after, "drums")["fill_every"] == 4
    assert json.loads((tmp_path / "scenes" / "verse.json").read_text())["bridge"]["harmony"]["tonic"] == 9
    bridge(after, "key", tonic=0, mode="major")
    after.ask("scale", how="off")
    bridge(after, "load", name="verse")
    assert [state(after)[key] for key in keys] == kept
    assert after.session.stage.harmony.chords is not None


def test_a_fill_is_heard_in_its_bar_alone(room: Room) -> None:
    assert room.refusal("fill") == 4
    assert room.refusal("fill", "drums") == 4
    assert room.refusal("fill_every", bars=4) == 4
    groove = [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)]
    loop_of(room, "drums", groove)
    loop_id = room.session.stage.voices["drums"].present.id
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("fill", "drums")
    filled = [groove[0], (50, 4.0, 0.125, 90, 0), (47, 5.0, 0.125, 90, 0)]
    job = answer(room, filled)
    assert (job.op, job.bend) == ("fill", {"fill": {"start": 4.0}})
    (reshape,) = room.player.take(messages.Reshape)
    assert (reshape.id, reshape.new_id) == (loop_id, loop_id)
    assert [row[0] for row in reshape.notes] == [36, 50, 47]
    room.session.from_player(messages.Beat(8, 120.0, True))
    room.session.from_player(messages.Beat(11, 120.0, True))
    assert not room.player.take(messages.Reshape), "it still sounds"
    room.session.from_player(messages.Beat(12, 120.0, True))
    (back,) = room.player.take(messages.Reshape)
    assert [row[0] for row in back.notes] == [36, 36]
    assert not room.session.stage.voices["drums"].history.redo_steps


def test_a_fill_asked_for_once_more_is_another_one_in_its_place(room: Room) -> None:
    loop_of(room, "drums", [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)])
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    seeds = []
    for pitch in (50, 47):
        room.ask("fill", "drums")
        seeds.append(answer(room, [(36, 0.0, 0.125, 90, 0), (pitch, 4.0, 0.125, 90, 0)]).seed)
        assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [36, pitch]
    assert seeds[0] != seeds[1]


def test_a_fill_in_bars_that_are_on_their_way_is_made_when_they_are_there(room: Room) -> None:
    room.ask("sample", "drums")
    room.ask("fill", "drums")
    assert room.words.take("/error") == []
    answer(room, [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)])
    assert answer(room, [(50, 0.0, 0.125, 90, 0)]).op == "fill"
    assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [50]
    assert room.words.take("/error") == []


def test_a_fill_whose_loop_is_cleared_says_so_and_comes_into_no_other(room: Room) -> None:
    loop_of(room, "drums")
    room.ask("fill", "drums")
    room.ask("clear", "drums")
    room.ask("sample", "drums")
    assert answer(room).op == "fill"
    assert [(code, address) for code, address, _ in room.words.take("/error")] == [(4, "/drums/fill")]
    answer(room)
    for beat in range(4):
        room.session.from_player(messages.Beat(beat, 120.0, True))
    assert not [job for job in room.engine.sent if isinstance(job, engine_messages.Generate)]


def test_regular_fills_are_made_in_the_bar_before_the_last_of_so_many(room: Room) -> None:
    loop_of(room, "drums", start=0.0)
    room.ask("fill_every", "drums", bars=4)
    asked = {}
    for beat in range(32):
        room.session.from_player(messages.Beat(beat, 120.0, True))
        for job in room.engine.take(engine_messages.Generate):
            asked[beat] = job.bend["fill"]["start"]
            room.session.from_engine(engine_messages.Generated(job.job, 8.0, [(50, 0.0, 0.1, 90, 0)], 1.0))
    assert asked == {8: 4.0, 24: 4.0}


def test_regular_fills_begin_in_the_bar_to_come_though_its_last_beat_has_begun(room: Room) -> None:
    loop_of(room, "drums", start=0.0)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=11.5))
    room.ask("fill_every", "drums", bars=4)
    assert answer(room).bend["fill"]["start"] == 4.0
    room.ask("fill_every", "drums", bars=4)
    room.session.from_player(messages.Beat(11, 120.0, True))
    assert not room.engine.take(engine_messages.Generate), "made once"


def test_regular_fills_come_in_every_round_of_a_loop_of_the_song(room: Room) -> None:
    """Four bars of Live's arrangement, again and again: the last of them has its fill each time."""
    loop_of(room, "drums", start=0.0)
    room.ask("fill_every", "drums", bars=4)
    rounds = []
    for _ in range(3):
        room.session.from_player(clock_state(room.time.ns, source="live", followed=True))
        for beat in range(16):
            room.time.run(0.5)
            room.session.from_player(messages.Beat(beat, 120.0, True))
            rounds += [beat for _ in room.engine.take(engine_messages.Generate)]
    assert rounds == [8, 8, 8]


def test_a_fill_asked_for_once_does_not_come_back_with_its_bar(room: Room) -> None:
    loop_of(room, "drums", start=0.0)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("fill", "drums")
    answer(room, [(50, 4.0, 0.125, 90, 0)])
    for beat in (7, 8, 12):
        room.session.from_player(messages.Beat(beat, 120.0, True))
    room.session.from_player(clock_state(room.time.ns, anchor_beats=4.0))
    for beat in range(4, 12):
        room.session.from_player(messages.Beat(beat, 120.0, True))
    assert room.engine.take(engine_messages.Generate) == []


def test_a_fill_asked_for_while_nothing_plays_opens_the_song(room: Room) -> None:
    loop_of(room, "drums", start=0.0)
    room.session.from_player(clock_state(room.time.ns, playing=False))
    room.ask("fill", "drums")
    answer(room, [(50, 0.0, 0.125, 90, 0)])
    began_ns = room.time.ns
    room.time.run(0.004)  # on its way here
    room.session.from_player(clock_state(began_ns))
    room.session.from_player(messages.Beat(0, 120.0, True))
    assert room.session.stage.voices["drums"].fill is not None
    assert not room.engine.take(engine_messages.Generate), "and no second one"
    room.session.from_player(messages.Beat(4, 120.0, True))
    assert room.session.stage.voices["drums"].fill is None


def test_a_locked_bar_has_no_fill(room: Room) -> None:
    loop_of(room, "drums", start=0.0)
    room.ask("lock", "drums", bar=1, on=True)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=2.0))
    comes_next = room.session.stage.voices["drums"].next_seed()
    assert room.refusal("fill", "drums") == 4
    assert room.session.stage.voices["drums"].next_seed() == comes_next
    room.ask("fill_every", "drums", bars=2)
    for beat in range(16):
        room.session.from_player(messages.Beat(beat, 120.0, True))
    assert room.engine.take(engine_messages.Generate) == []
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("fill", "drums")
    assert answer(room).op == "fill"


def test_a_fill_that_is_still_to_begin_is_called_off_where_its_bar_is_locked(room: Room) -> None:
    groove = [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)]
    loop_of(room, "drums", groove)
    for lock_first in (True, False):
        room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
        room.ask("fill", "drums")
        if lock_first:
            room.ask("lock", "drums", bar=1, on=True)
            answer(room, [groove[0], (50, 4.0, 0.125, 90, 0)])
            assert room.words.take("/error")[0][:2] == (4, "/drums/fill")
            assert not room.player.take(messages.Reshape)
        else:
            answer(room, [groove[0], (50, 4.0, 0.125, 90, 0)])
            room.ask("lock", "drums", bar=1, on=True)
            assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [36, 36]
        room.session.from_player(messages.Beat(7, 120.0, True))
        assert not room.engine.take(engine_messages.Generate)
        room.ask("lock", "drums", bar=1, on=False)


def test_a_bar_that_is_locked_in_its_fill_is_as_the_loop_has_it(room: Room) -> None:
    groove = [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)]
    loop_of(room, "drums", groove)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("fill", "drums")
    answer(room, [groove[0], (50, 4.0, 0.125, 90, 0)])
    room.session.from_player(clock_state(room.time.ns, anchor_beats=9.0))
    room.player.sent.clear()
    room.ask("lock", "drums", bar=1, on=True)
    assert not room.player.take(messages.Reshape), "it sounds to its end"
    room.session.from_player(messages.Beat(12, 120.0, True))
    assert [row[0] for row in room.player.take(messages.Reshape)[-1].notes] == [36, 36]


@pytest.mark.parametrize(("again_from", "goes_on"), [(0.0, False), (9.0, True), (40.0, False)])
def test_a_song_that_starts_again_does_not_begin_with_the_fill_that_it_stopped_in(
    room: Room, again_from: float, goes_on: bool
) -> None:
    def pitches() -> list[int]:
        return [row[0] for row in room.player.take(messages.Reshape)[-1].notes]

    loop_of(room, "drums", [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)], start=0.0)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("fill", "drums")
    answer(room, [(50, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)])
    assert pitches() == [50, 36]
    room.session.from_player(messages.Beat(8, 120.0, True))
    room.session.from_player(clock_state(room.time.ns, anchor_beats=9.0, playing=False))
    room.session.from_player(messages.Beat(9, 120.0, False))
    assert pitches() == [36, 36], "before anybody knows from where the song will go on"
    room.session.from_player(clock_state(room.time.ns, anchor_beats=again_from))
    if goes_on:
        assert pitches() == [50, 36]
        room.session.from_player(messages.Beat(12, 120.0, True))
        assert pitches() == [36, 36]
    else:
        assert room.player.take(messages.Reshape) == []
        assert room.session.stage.voices["drums"].fill is None


def test_a_fill_asked_for_after_the_same_random_seed_is_the_same_wherever_the_song_is(room: Room) -> None:
    loop_of(room, "drums", [(36, 0.0, 0.125, 90, 0), (36, 4.0, 0.125, 90, 0)], start=0.0)
    seeds = []
    for beats in (2.0, 13.0):
        room.session.from_player(clock_state(room.time.ns, anchor_beats=beats))
        room.ask("random_seed", "drums", seed=5)
        room.ask("fill", "drums")
        seeds.append(answer(room).seed)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=26.0))
    room.ask("fill", "drums")
    assert answer(room).seed != seeds[0], "the next one is another"
    assert seeds[0] == seeds[1]


def test_a_loop_of_one_bar_is_played_twice_round_for_a_fill(room: Room) -> None:
    room.ask("sample", "drums", bars=1)
    answer(room, [(36, 0.0, 0.125, 90, 0)], 4.0)
    launch = room.player.take(messages.Launch)[-1]
    room.session.from_player(messages.Launched("drums", launch.id, 0.0, 0.0))
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    room.ask("fill", "drums")
    job = answer(room, [(36, 4.0, 0.125, 90, 0), (50, 0.0, 0.125, 90, 0)])
    assert (job.material[0][0], job.bend["fill"]["start"]) == (8.0, 0.0)
    assert room.player.take(messages.Reshape)[-1].length_beats == 8.0
    room.session.from_player(messages.Beat(12, 120.0, True))
    assert room.player.take(messages.Reshape)[-1].length_beats == 4.0


def test_a_bridge_that_missed_the_end_of_a_fill_puts_the_loop_right(tmp_path: Path) -> None:
    room = band(tmp_path)
    loop_of(room, "drums", [(36, 0.0, 0.125, 90, 0)])
    room.ask("fill", "drums")
    filled = [(50, 0.0, 0.125, 90, 0)]
    answer(room, filled)
    sounding = room.session.stage.voices["drums"].present
    assert sounding is not None
    room.session.save()
    after = Room(tmp_path, "t", VOICES, fresh=False)
    after.session.from_player(messages.VoiceSnapshot("drums", True, True, [], sounding.id, 4.0, 8.0, filled, 0))
    after.session.from_player(messages.SnapshotEnd(False))
    (right,) = (record for record in after.player.take(messages.Reshape) if record.voice == "drums")
    assert (right.id, right.notes) == (sounding.id, [[36, 0.0, 0.125, 90, 0]])


def made_ready(room: Room, op: str, scope: str = "melody") -> engine_messages.Generate:
    """What the engine is told last, in a moment of quiet, that `op` would ask for."""
    room.time.run(0.1)
    ahead: engine_messages.Generate = [job for job in room.engine.ahead if (job.voice, job.op) == (scope, op)][-1]
    assert ahead.job == 0
    return ahead


@pytest.mark.parametrize("op", ["next", "sample"])
def test_after_a_launch_the_engine_is_told_what_next_and_sample_would_ask(room: Room, op: str) -> None:
    loop_of(room, "melody", A_MAJOR)
    ahead = made_ready(room, op)
    room.ask(op)
    (asked,) = room.engine.take(engine_messages.Generate)
    assert replace(ahead, job=asked.job) == asked, "the same seed is drawn as without it"


def test_what_the_engine_makes_ready_is_what_is_asked_for_with_knobs_and_key_as_they_are(room: Room) -> None:
    loop_of(room, "melody", A_MAJOR)
    first = made_ready(room, "next")
    room.ask("temperature", temperature=1.2)
    room.ask("key", "bridge", tonic=9, mode="minor")
    room.ask("scale", how="hard")
    while room.engine.sent:
        answer(room)
    ahead = made_ready(room, "next")
    assert (first.temperature, first.bend["key"]["binding"]) == (0.6, "soft")
    assert (ahead.temperature, ahead.bend["key"]["binding"]) == (1.2, "hard")
    room.ask("next")
    (asked,) = room.engine.take(engine_messages.Generate)
    assert replace(ahead, job=asked.job) == asked


def test_the_engine_makes_nothing_ready_between_clicks_that_follow_each_other_nor_for_who_jams(room: Room) -> None:
    made_ready(room, "sample")
    room.engine.ahead.clear()
    for _ in range(20):
        room.ask("sample")
        answer(room)
        room.time.run(0.02)
    assert not room.engine.ahead
    room.ask("jam", how="respond", bars=2)
    room.time.run(0.1)
    assert {job.voice for job in room.engine.ahead} == {"bass", "drums"}


def test_the_engine_makes_nothing_ready_while_it_still_loads_a_model(tmp_path: Path) -> None:
    room = Room(tmp_path)
    made_ready(room, "sample")
    room.session.engine_gone()
    room.engine.ahead.clear()
    room.session.engine_came()
    models = {voice.model for voice in room.session.stage.voices.values()}
    *first, last = (engine_messages.ModelState(model, True, "ready") for model in sorted(models))
    for state in first:
        room.session.from_engine(state)
        room.time.run(0.5)
    assert not room.engine.ahead
    room.session.from_engine(last)
    room.time.run(0.1)
    assert {job.voice for job in room.engine.ahead} == set(room.session.stage.voices)


def test_a_fill_asked_for_while_the_clock_stands_is_in_the_first_bar_that_is_played(room: Room) -> None:
    loop_of(room, "drums", [(36, 0.0, 0.125, 90, 0)], start=4.0)
    room.session.from_player(clock_state(room.time.ns, playing=False, anchor_beats=32.0))
    room.ask("fill", "drums")
    assert answer(room).bend["fill"]["start"] == 4.0
    room.session.from_player(clock_state(room.time.ns, anchor_beats=33.0))
    assert answer(room).bend["fill"]["start"] == 0.0, "it begins within a bar: the next one is the first whole one"
