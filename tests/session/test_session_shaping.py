"""Attributes and latent directions from the voice's knobs to the job, and what goes on from bars that they moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from session_room import Room, corners

from bridge import engine_messages, messages
from bridge.music.notes import bars_of
from bridge.session.loops import Loop, loop_from_json, loop_to_json
from bridge.session.outside import RefusedError


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def told(room: Room) -> dict[str, Any]:
    """The voice's state as it was last told."""
    room.time.run(0.2)
    values = room.words.take("/melody/state")[-1]
    return dict(zip(values[::2], values[1::2], strict=True))


def job_of(room: Room) -> engine_messages.Generate:
    """The newest job."""
    job: engine_messages.Generate = room.engine.take(engine_messages.Generate)[-1]
    return job


def done(room: Room, job: engine_messages.Generate, pitch: int, before: int | None = None) -> None:
    """The engine has done a job: one note, and what it was before the knobs moved it."""
    source = None if before is None else [(before, 0.0, 1.0, 90, 0)]
    room.session.from_engine(engine_messages.Generated(job.job, 8.0, [(pitch, 0.0, 1.0, 90, 0)], 1.0, source))


def test_a_turn_moves_what_sounds_with_the_same_noise(room: Room) -> None:
    room.ask("next")
    made = room.answer()
    room.launch()
    room.ask("attribute", name="density", amount=0.5)
    job = job_of(room)
    assert (job.op, job.seed, job.knob) == (made.op, made.seed, True)
    assert job.bend["attributes"] == {"density": 0.5}
    room.ask("latent", index=3, value=-1.5)
    room.ask("latent", index=3, value=-2.0)
    done(room, job, 72, 60)
    newest = job_of(room)
    assert newest.bend["attributes"] == {"density": 0.5}
    assert newest.bend["latents"] == {"3": -2.0}


def engine_back(room: Room) -> None:
    """The next engine has its models."""
    for model in ("melody-2bar", "drums-2bar"):
        room.session.from_engine(engine_messages.ModelState(model, True, "ready"))


def test_knobs_turned_while_the_engine_is_away_move_what_sounds_when_the_next_is_there(room: Room) -> None:
    room.ask("next")
    made = room.answer()
    room.launch()
    room.session.engine_gone()
    room.ask("attribute", name="density", amount=0.5)
    room.ask("temperature", temperature=1.5)
    assert room.engine.take(engine_messages.Generate) == []
    engine_back(room)
    job = job_of(room)
    assert (job.op, job.seed, job.knob, job.temperature) == (made.op, made.seed, True, 1.5)
    assert job.bend["attributes"] == {"density": 0.5}
    done(room, job, 72, 60)
    engine_back(room)  # once is enough
    assert room.engine.take(engine_messages.Generate) == []


def test_bars_without_a_recipe_are_moved_by_the_next_engine_too_and_none_that_clear_has_dropped(room: Room) -> None:
    room.new_loop()
    room.voice.sounding = replace(room.voice.sounding, recipe=None)
    room.session.engine_gone()
    room.ask("attribute", name="density", amount=0.5)
    room.ask("scale", how="hard")
    engine_back(room)
    job = job_of(room)
    assert job.op == "keep"
    done(room, job, 72, 60)
    room.session.engine_gone()
    room.ask("attribute", name="density", amount=1.0)
    room.ask("clear")
    engine_back(room)
    assert room.engine.take(engine_messages.Generate) == []


def test_both_are_sticky_told_and_at_0_as_good_as_none(room: Room) -> None:
    room.ask("attribute", name="register", amount=-0.25)
    room.ask("attribute", name="density", amount=1.0)
    room.ask("latent", index=0, value=3.0)
    state = told(room)
    assert (state["attributes"], state["latents"]) == ("density 1 register -0.25", "0 3")
    room.ask("sample")
    assert job_of(room).bend["attributes"] == {"register": -0.25, "density": 1.0}
    room.ask("attribute", name="register", amount=0.0)
    room.ask("latent", index=0, value=0.0)
    assert room.voice.knobs.attributes == {"density": 1.0}
    assert room.voice.knobs.latents == {}


def test_what_the_model_does_not_have_is_refused(room: Room) -> None:
    assert room.refusal("attribute", name="fill", amount=0.5) == 5
    assert room.refusal("attribute", "drums", name="register", amount=0.5) == 5
    assert room.refusal("attribute", "drums", name="fill", amount=0.5) == 0
    assert room.refusal("latent", index=127, value=0.5) == 0
    assert room.refusal("latent", index=128, value=0.5) == 3
    assert room.voice.knobs.attributes == {}
    assert room.voice.knobs.latents == {"127": 0.5}


def test_new_bars_go_on_from_what_was_before_the_knobs(room: Room) -> None:
    """Else a knob that stands still would move every new loop further than the one before."""
    room.ask("attribute", name="density", amount=0.5)
    room.ask("sample")
    done(room, job_of(room), 72, 60)
    room.launch()
    room.ask("next")
    assert job_of(room).material[0][1][0][0] == 60
    room.ask("store", slot="a")
    assert room.voice.corners["a"].bars.notes[0].pitch == 72  # what was heard is what is stored


def test_bars_that_no_recipe_makes_are_moved_from_where_they_lie(room: Room) -> None:
    loop_id = room.new_loop(pitch=64)
    sounding = room.voice.sounding
    assert sounding is not None
    room.voice.sounding = Loop(loop_id, sounding.bars, 7)
    room.ask("attribute", name="interval", amount=0.5)
    job = job_of(room)
    assert job.op == "keep"
    assert job.material[0][1][0][0] == 64
    done(room, job, 76, 64)
    room.ask("attribute", name="interval", amount=0.0)
    back = job_of(room)
    assert (back.op, back.material, "attributes" in back.bend) == ("keep", job.material, False)


def test_a_line_is_not_moved_by_a_model_of_drums_that_came_after_it(room: Room) -> None:
    room.new_loop()
    room.ask("model", name="drums-2bar")
    room.session.from_engine(engine_messages.ModelState("drums-2bar", True, "ready"))
    room.ask("attribute", name="density", amount=0.5)
    assert room.engine.take(engine_messages.Generate) == []
    room.new_loop()
    room.ask("attribute", name="density", amount=1.0)
    assert room.answer().bend["attributes"] == {"density": 1.0}


@pytest.mark.parametrize(
    ("verb", "turned", "told_of"),
    [
        ("attribute", {"name": "density", "amount": 0.5}, lambda job: job.bend["attributes"] == {"density": 0.5}),
        ("temperature", {"temperature": 1.5}, lambda job: job.temperature == 1.5),
    ],
)
def test_a_knob_turned_while_there_is_no_engine_shapes_what_sounds_when_there_is(
    room: Room, verb: str, turned: dict[str, Any], told_of: Callable[[Any], bool]
) -> None:
    room.new_loop()
    seed = room.voice.sounding.recipe.seed
    room.session.engine_gone()
    room.ask(verb, **turned)
    assert room.engine.take(engine_messages.Generate) == []
    room.session.engine_came()
    for model in ("melody-2bar", "drums-2bar"):
        room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    (job,) = room.engine.take(engine_messages.Generate)
    assert told_of(job)
    assert (job.seed, job.knob) == (seed, True)


def swap(room: Room, name: str) -> None:
    room.ask("model", name=name)
    room.session.from_engine(engine_messages.ModelState(name, True, "ready"))


def test_corners_of_another_kind_are_kept_and_refused_by_name(room: Room, tmp_path: Path) -> None:
    room.new_loop(pitch=60)
    corners(room)
    swap(room, "drums-2bar")
    with pytest.raises(RefusedError, match="corner a and b of melody holds a line, and drums-2bar plays drums") as told:
        room.ask("morph", x=0.5)
    assert told.value.code == 4
    room.ask("store", slot="a")  # what sounds is still a line, whoever plays it
    room.ask("store", slot="b", length=8.0, notes=[(36, 0.0, 1.0, 90, 0)])
    with pytest.raises(RefusedError, match="corner a of melody holds a line"):
        room.ask("morph", x=0.5)
    room.ask("save", "bridge", name="drummed")
    swap(room, "bass-2bar")
    with pytest.raises(RefusedError, match="corner b of melody holds drums, and bass-2bar plays a line"):
        room.ask("morph", x=0.5)
    room.ask("store", slot="b", length=8.0, notes=[(72, 0.0, 1.0, 90, 0)])
    assert room.refusal("morph", x=0.5) == 0
    room.answer()
    room.ask("load", "bridge", name="drummed")
    assert room.refusal("morph", x=0.5) == 4
    room.session.close()
    again = Room(tmp_path, token="another run")  # whose model is that of the config
    with pytest.raises(RefusedError, match="corner b of melody holds drums"):
        again.ask("morph", x=0.5)


def test_a_new_corner_of_its_kind_is_stored_though_a_morph_of_the_other_kind_sounds(room: Room) -> None:
    corners(room)
    room.ask("morph", x=0.5)
    room.answer()
    room.launch()
    swap(room, "drums-2bar")
    for slot in "ab":
        assert room.refusal("store", slot=slot, length=8.0, notes=[(36, 0.0, 1.0, 90, 0)]) == 0
    assert room.engine.take(engine_messages.Generate) == []
    room.ask("morph", x=0.25)
    assert room.answer(pitch=36).model == "drums-2bar"


def test_a_line_sounds_as_it_did_though_the_voice_has_a_model_of_drums_since(room: Room) -> None:
    room.ask("transpose", semitones=12)
    room.new_loop(pitch=60)
    swap(room, "drums-2bar")
    room.player.sent.clear()
    room.time.run(1.0)
    room.ask("swing", swing=60.0)
    (reshape,) = room.player.take(messages.Reshape)
    assert {row[0] for row in reshape.notes} == {72}  # drums are never transposed
    room.new_loop(pitch=36)
    room.time.run(1.0)
    room.ask("swing", swing=55.0)
    assert {row[0] for row in room.player.take(messages.Reshape)[-1].notes} == {36}


def test_nothing_of_another_kind_is_gone_on_from(room: Room) -> None:
    line = room.new_loop(pitch=61)
    swap(room, "drums-2bar")
    room.ask("next")
    assert room.answer(pitch=36).op == "sample"
    room.launch()
    room.ask("next")
    job = room.answer(pitch=38)
    assert (job.op, job.material[0][1][0][0]) == ("next", 36)
    room.launch()
    room.ask("recall", id=line)
    room.launch()
    room.ask("next")
    assert room.answer(pitch=36).material[0][1][0][0] == 38  # the newest drums
    room.ask("clear")
    room.ask("recall", id=line)
    room.launch()
    swap(room, "melody-2bar")
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 61


def test_bars_that_wait_are_moved_too_and_wait_on_while_a_morph_sounds(room: Room) -> None:
    room.new_loop(pitch=60)
    for slot in ("a", "b"):
        room.ask("store", slot=slot)
    room.ask("morph", x=0.5)
    done(room, job_of(room), 62)
    room.ask("next")
    done(room, job_of(room), 64)
    waiting = room.schedule()
    room.ask("attribute", name="density", amount=0.5)
    assert room.player.take(messages.CancelPending) == []
    done(room, job_of(room), 63, 62)
    again = job_of(room)
    assert (again.op, again.bend["attributes"]) == ("next", {"density": 0.5})
    done(room, again, 65, 64)
    assert room.voice.pending is not None
    assert room.voice.pending.id == waiting.id
    assert room.voice.pending.bars.notes[0].pitch == 65


def test_undo_and_recall_bring_back_what_new_bars_go_on_from(room: Room) -> None:
    room.ask("attribute", name="density", amount=0.5)
    room.ask("sample")
    done(room, job_of(room), 72, 60)
    first = room.launch()
    room.ask("next")
    done(room, job_of(room), 74, 62)
    room.launch()
    room.ask("recall", id=first)
    assert [row[0] for row in room.player.take(messages.Launch)[-1].notes] == [72]
    room.ask("next")
    assert job_of(room).material[0][1][0][0] == 60


def test_knobs_survive_a_restart_and_are_in_scenes(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.new_loop()
    room.ask("attribute", name="density", amount=0.5)
    room.ask("latent", index=2, value=1.0)
    room.ask("save", "bridge", name="full")
    room.ask("attribute", name="density", amount=0.0)
    room.ask("load", "bridge", name="full")
    assert room.voice.knobs.attributes == {"density": 0.5}
    room.time.run(3.0)
    room.session.save()
    again = Room(tmp_path)
    assert again.voice.knobs.attributes == {"density": 0.5}
    assert again.voice.knobs.latents == {"2": 1.0}


def test_a_loop_keeps_what_it_was_before(tmp_path: Path) -> None:
    before, after = (bars_of(8.0, [(pitch, 0.0, 1.0, 90, 0)]) for pitch in (60, 72))
    loop = Loop(5, after, 1, unmoved=before)
    read = loop_from_json(loop_to_json(loop))
    assert read == loop
    assert read is not None
    assert read.source.bars == before
    assert loop_from_json({k: v for k, v in (loop_to_json(loop) or {}).items() if k != "unmoved"}) == Loop(5, after, 1)
