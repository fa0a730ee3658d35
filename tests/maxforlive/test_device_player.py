"""Playing through the device, message by message and in virtual time: what the bridge says is written here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from maxforlive.device_rig import Device, Rig

DEVICE, CLIP = 0, 1
BEAT_MS = 250.0  # at 240 BPM: a bar is a second
Note = tuple[int, float, float, int, int]
OLD: tuple[Note, ...] = ((60, 0.0, 0.25, 100, 0), (60, 2.0, 0.25, 100, 0))
NEW: tuple[Note, ...] = ((72, 0.0, 0.25, 100, 0), (72, 2.0, 0.25, 100, 0))


class Spoken:
    """A device that is spoken to as by a bridge."""

    def __init__(self, rig: Rig, **values: Any) -> None:
        self.rig = rig
        self.state: dict[str, Any] = {
            "model": "melody-2bar", "ready": 1, "playing": 1, "muted": 0, "loop": 1, "launch": "bar", "start": -1,
            "length": 0, "sounding_id": 0, "pending_id": 0, "x": 0, "y": 0, "morph": 0, "temperature": 0.6,
            "swing": 50, "quantize": 1, "humanize": 0,
        }  # fmt: skip
        rig.do("song", name="tempo", value=240)
        rig.do("song", name="is_playing", value=1)
        self.device = Device(rig, 9, **values)  # the discard port
        rig.do("advance", ms=100)
        self.say("/barline/probe", *self.device.sent("/barline/probe")[-1]["values"])
        self.say("/bridge/welcome", "test", 1)
        self.tell()

    def say(self, address: str, *values: Any) -> None:
        self.rig.do("inject", device=self.device.index, message=[address, *values])

    def tell(self, **changes: Any) -> None:
        self.state |= changes
        self.say("/melody/state", *[item for pair in self.state.items() for item in pair])

    def bars(self, loop_id: int, start: float, notes: Sequence[Note], bars: int = 1) -> None:
        self.say("/melody/bars/begin", loop_id, len(notes), start, bars)
        self.say("/melody/bars/notes", loop_id, *[value for note in notes for value in note])
        self.say("/melody/bars/end", loop_id, 10.0)

    def beats(self) -> float:
        return float(self.rig.do("beats"))

    def wait_beat(self, beat: float) -> None:
        self.wait(max(0.0, beat - self.beats()) * BEAT_MS)

    def wait(self, ms: float) -> None:
        """Time goes by, with a bridge that is heard all the while."""
        while ms > 0:
            self.rig.do("advance", ms=min(ms, 500.0))
            self.say("/bridge/heartbeat", 1)
            ms -= 500.0

    def next_bar(self) -> float:
        """A bar line that is more than a beat away."""
        return math.ceil(self.beats() / 4 + 0.3) * 4.0

    def sounding(self, notes: Sequence[Note] = OLD) -> float:
        """A loop of one bar that has begun to sound at a bar line; that line."""
        start = self.next_bar()
        self.bars(1, start, notes)
        self.wait_beat(start + 0.04)
        self.say("/melody/launched", 1, start)
        self.tell(sounding_id=1, start=start, length=4)
        return start

    def ons(self, since: int = 0) -> list[int]:
        """Pitches of the note-ons so far."""
        return [pitch for _, _, pitch, velocity in self.device.notes()[since:] if velocity]

    def held(self) -> set[int]:
        held: set[int] = set()
        for _, _, pitch, velocity in self.device.notes():
            if velocity:
                assert pitch not in held, f"{pitch} sounds twice"
                held.add(pitch)
            else:
                held.discard(pitch)
        return held

    def stop(self) -> None:
        self.rig.do("song", name="is_playing", value=0)
        self.wait(100)
        assert not self.held()


def test_new_bars_take_over_at_their_line_and_the_bridge_s_word_doubles_nothing(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding()
    spoken.wait_beat(start + 1)
    border = start + 4
    spoken.bars(2, border, NEW)
    spoken.wait_beat(border + 0.06)  # the word comes 15 ms late
    spoken.say("/melody/launched", 2, border)
    spoken.tell(sounding_id=2, start=border, length=4)
    spoken.wait_beat(border + 3)
    assert spoken.ons() == [60, 60, 72, 72]
    spoken.stop()


def test_late_bars_let_the_old_ones_go_round_once_more(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding()
    spoken.bars(2, start + 4, NEW)
    spoken.wait_beat(start + 3)
    spoken.say("/melody/late", 2, 12.0)
    spoken.wait_beat(start + 7)
    assert spoken.ons() == [60, 60, 60, 60]
    assert any("too late" in text for text in spoken.device.statuses())
    spoken.say("/melody/launched", 2, start + 8)
    spoken.tell(sounding_id=2, start=start + 8, length=4)
    spoken.wait_beat(start + 11)
    assert spoken.ons()[-1] == 72
    spoken.stop()


def test_a_turn_of_a_knob_changes_what_is_to_come_and_lets_what_sounds_end(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    held_long: tuple[Note, ...] = ((60, 0.0, 3.0, 100, 0), (64, 2.0, 0.5, 100, 0))
    start = spoken.sounding(held_long)
    spoken.wait_beat(start + 1)
    spoken.bars(1, start, ((60, 0.0, 3.0, 100, 0), (65, 2.0, 0.5, 100, 0)))
    spoken.wait_beat(start + 1.5)
    assert spoken.held() == {60}
    spoken.wait_beat(start + 2.4)
    assert spoken.ons() == [60, 65]
    spoken.stop()


def test_a_note_that_was_handed_out_ahead_is_taken_back_when_the_knob_turns(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding(((60, 0.0, 0.5, 100, 0), (64, 2.0, 0.5, 100, 0)))
    spoken.wait_beat(start + 1.7)  # 75 ms before the note: it waits already
    spoken.bars(1, start, ((60, 0.0, 0.5, 100, 0), (65, 2.0, 0.5, 100, 0)))
    spoken.wait_beat(start + 2.4)
    assert spoken.ons() == [60, 65]
    spoken.stop()


def test_a_note_does_not_reach_over_the_line_where_other_bars_take_over(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding(((60, 3.0, 3.0, 100, 0),))
    spoken.bars(2, start + 4, ((72, 1.0, 0.5, 100, 0),))
    spoken.wait_beat(start + 3.9)
    assert spoken.held() == {60}
    spoken.wait_beat(start + 4.02)
    assert not spoken.held()
    spoken.wait_beat(start + 5.2)
    assert spoken.ons() == [60, 72], "and nothing of the new ones was closed with it"
    assert spoken.held() == {72}
    spoken.stop()


def test_bars_under_a_new_id_are_waited_for_while_the_old_ones_go_on(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding()
    spoken.wait_beat(start + 0.5)
    spoken.say("/melody/launched", 2, start + 0.5)  # a gesture: its bars follow
    spoken.wait_beat(start + 2.4)
    assert spoken.ons() == [60, 60]
    spoken.bars(2, start, NEW)
    spoken.wait_beat(start + 4.4)
    assert spoken.ons() == [60, 60, 72]
    spoken.stop()


def test_once_round_and_then_silence(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding()
    spoken.tell(loop=0)
    spoken.wait_beat(start + 7)
    assert spoken.ons() == [60, 60]
    spoken.stop()


def test_an_answer_of_a_jam_sounds_once_whatever_the_loop_switch_says(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    spoken.tell(jam="respond")
    start = spoken.sounding()
    spoken.wait_beat(start + 7)
    assert spoken.ons() == [60, 60]
    spoken.bars(2, start + 8, NEW)
    spoken.wait_beat(start + 8.04)
    spoken.say("/melody/launched", 2, start + 8)
    spoken.tell(sounding_id=2, start=start + 8)
    spoken.wait_beat(start + 15)
    assert spoken.ons() == [60, 60, 72, 72]
    spoken.tell(jam="off")
    spoken.wait_beat(start + 19)
    assert spoken.ons() == [60, 60, 72, 72, 72, 72], "the loop goes round as before"
    spoken.stop()


def test_the_line_says_whose_turn_it_is_in_a_jam(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    lines = []
    for phase in ("count_in", "ready", "listen", "answer", "follow", "off"):
        spoken.say("/bass/jam/phase", "listen", 0, 4)  # that is another's
        spoken.say("/melody/jam/phase", phase, 0, 4)
        spoken.wait(200)
        lines.append(spoken.device.statuses()[-1])
    turns = ["counts you in", "your turn", "listens", "answers", "follows you"]
    assert [f"| jam: {turn} |" in line for turn, line in zip(turns, lines, strict=False)] == [True] * 5
    assert "jam" not in lines[-1]
    spoken.say("/melody/jam/phase", "listen", 0, 4)
    spoken.device.turn("Voice", 1)
    spoken.wait(200)
    assert "jam" not in spoken.device.statuses()[-1], "the other voice does not"


@pytest.mark.parametrize("waits", [False, True])
def test_bars_that_were_made_before_this_device_came_are_asked_for_and_played(still_rig: Rig, waits: bool) -> None:
    spoken = Spoken(still_rig, Output=CLIP if waits else DEVICE)
    start = spoken.next_bar()
    mark = spoken.device.mark()
    spoken.tell(**({"pending_id": 3} if waits else {"sounding_id": 3, "start": start, "length": 4}))
    spoken.wait(1000)
    (asked,) = spoken.device.sent("/melody/swing", mark)
    assert asked["values"] == [50]
    if waits:
        spoken.device.press("Sample")
    spoken.bars(3, -1 if waits else start, OLD)
    spoken.wait(300)
    assert not any(spoken.device.clips()), "those are not the bars that Sample asked for"
    spoken.wait(5000)
    assert len(spoken.device.sent("/melody/swing", mark)) == 1
    assert waits or set(spoken.ons()) == {60}
    spoken.stop()


def test_a_bridge_that_counts_its_bars_anew_is_believed(still_rig: Rig) -> None:
    spoken = Spoken(still_rig, Output=CLIP)
    spoken.sounding()
    spoken.say("/bridge/welcome", "test", 1)  # another session folder: nothing sounds, and the next bars are number 1
    spoken.tell(sounding_id=0, start=-1, length=0)
    spoken.say("/bridge/ready", 1)
    spoken.device.press("Sample")
    spoken.bars(1, -1, NEW)
    spoken.wait(300)
    (clip,) = [found for found in spoken.device.clips() if found]
    assert {note["pitch"] for note in clip["notes"]} == {72}
    spoken.stop()


def test_mute_and_a_cleared_loop_are_silence_at_once(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    start = spoken.sounding(((60, 0.0, 4.0, 100, 0),))
    spoken.wait_beat(start + 1)
    assert spoken.held() == {60}
    spoken.tell(muted=1)
    spoken.wait(50)
    assert not spoken.held()
    spoken.tell(muted=0)
    spoken.wait_beat(start + 5)
    assert spoken.held() == {60}
    spoken.tell(sounding_id=0, start=-1, length=0)
    spoken.wait(50)
    assert not spoken.held()
    spoken.stop()


def test_of_a_trio_a_track_plays_the_part_it_is_set_to(still_rig: Rig) -> None:
    spoken = Spoken(still_rig, Part=2)
    spoken.tell(model="trio-16bar")
    start = spoken.sounding(((60, 0.0, 0.5, 100, 0), (40, 0.0, 0.5, 100, 1), (36, 1.0, 0.5, 100, 2)))
    spoken.wait_beat(start + 2)
    assert spoken.ons() == [40]
    spoken.device.turn("Part", 0)
    spoken.wait_beat(start + 6)
    assert spoken.ons()[1:] == [60, 40, 36] or spoken.ons()[1:] == [40, 60, 36]
    spoken.stop()


def test_a_state_older_than_the_hand_does_not_pull_the_knob_back(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    spoken.device.turn("Swing", 60.0)
    spoken.tell(swing=52)  # said before our 60 had arrived
    spoken.wait(200)
    assert spoken.device.value("Swing") == 60.0
    # ... but when it is still so after a while our 60 was lost, and the truth is shown
    spoken.wait(600)
    assert spoken.device.value("Swing") == 52.0
    assert len(spoken.device.sent("/melody/swing")) == 1


def test_a_state_that_says_what_is_shown_sets_nothing(still_rig: Rig) -> None:
    spoken = Spoken(still_rig)
    spoken.tell(swing=57)
    spoken.wait(700)
    assert spoken.device.value("Swing") == 57.0
    spoken.rig.do("script", device=spoken.device.index, code="B.sets = 0; B.old = B.toControl;"
                  "B.toControl = function (k, v) { B.sets += 1; B.old(k, v); }; 0")  # fmt: skip
    for _ in range(5):
        spoken.tell(swing=57)
    spoken.wait(700)
    assert spoken.rig.do("script", device=spoken.device.index, code="B.sets") == 0


def test_clips_are_made_for_our_own_requests_only(still_rig: Rig) -> None:
    spoken = Spoken(still_rig, Output=CLIP)
    spoken.bars(5, -1, OLD)
    spoken.wait(300)
    assert not any(spoken.device.clips())
    spoken.device.press("Sample")
    spoken.say("/error", 4, "/melody/sample", "melody's model is not ready")
    spoken.bars(6, -1, OLD)
    spoken.wait(300)
    assert not any(spoken.device.clips()), "a refused request is answered"
    spoken.device.press("Sample")
    spoken.bars(7, -1, OLD)
    spoken.wait(300)
    (clip,) = [found for found in spoken.device.clips() if found]
    assert (clip["name"], len(clip["notes"])) == ("melody 7", 2)


def test_bars_that_the_state_names_before_their_notes_are_here_still_answer_the_click(still_rig: Rig) -> None:
    spoken = Spoken(still_rig, Output=CLIP)
    mark = spoken.device.mark()
    spoken.device.press("Sample")
    spoken.tell(pending_id=1)
    spoken.say("/bridge/ready", 1)
    assert spoken.device.sent("/melody/swing", mark), "they are asked for once more"
    spoken.bars(1, -1, NEW)
    spoken.bars(1, -1, NEW)
    spoken.wait(300)
    (clip,) = [found for found in spoken.device.clips() if found]
    assert (clip["name"], len(clip["notes"])) == ("melody 1", 2)
