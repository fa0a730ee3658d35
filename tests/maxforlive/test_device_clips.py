"""Bars into clips, and clips as seeds: the built device in an emulated Max and a fake Live, with a real bridge."""

from __future__ import annotations

import pytest
from maxforlive.device_rig import Device, Rig, wait_until
from maxforlive.device_talk import (
    CLIP,
    FROM_LOOP,
    PORT,
    SCALE,
    assert_clip_has,
    assert_nothing_refused,
    bars_seen,
    eighths,
)

from bridge.hosted import HostedBridge
from bridge.osc.client import OscClient

# -- bars into clips -------------------------------------------------------------------------------------------------


def test_a_click_writes_the_bars_into_the_highlighted_empty_slot_in_one_undo_step(
    device: Device, rig: Rig, witness: OscClient
) -> None:
    rig.do("select", track=device.track, slot=2)
    since = witness.mark()
    device.press("Generate")
    loop_id, notes = bars_seen(witness, since)
    clip = device.wait_clip(2)
    assert_clip_has(clip, notes, 8)
    assert clip["name"] == f"melody {loop_id}"
    assert [index for index, found in enumerate(device.clips()) if found] == [2]
    undo = rig.do("undo")
    (step,) = undo["steps"]
    assert step[0] == "create_clip"
    assert "add_new_notes" in step
    device.wait_for_status("Written to slot 3")


def test_bars_four_makes_four_bars_and_says_so_on_the_button(device: Device, witness: OscClient) -> None:
    assert device.rig.do("text", device=device.index, name="Generate") == "Generate next 2 bars"
    device.turn("Bars", 2)
    assert device.rig.do("text", device=device.index, name="Generate") == "Generate next 4 bars"
    since, mark = witness.mark(), device.mark()
    device.press("Sample", how=1)  # a mapped button sends numbers
    device.press("Sample", how=0)  # ... and its release
    _, notes = bars_seen(witness, since)
    assert_clip_has(device.wait_clip(0), notes, 16)
    assert [(one["tags"], one["values"]) for one in device.sent("/melody/sample", mark)] == [("i", [4])]


def test_an_occupied_slot_is_left_alone_and_the_next_empty_one_below_is_taken(
    device: Device, rig: Rig, witness: OscClient
) -> None:
    for slot in (1, 2):
        rig.do("clip", track=device.track, slot=slot, notes=eighths(4))
    before = device.clips()
    rig.do("select", track=device.track, slot=1)
    since = witness.mark()
    device.press("Generate")
    _, notes = bars_seen(witness, since)
    assert_clip_has(device.wait_clip(3), notes, 8)
    assert device.clips()[:3] == before[:3]


def test_a_clip_is_written_over_only_when_the_user_has_switched_that_on(
    device: Device, rig: Rig, witness: OscClient
) -> None:
    rig.do("clip", track=device.track, slot=1, length=4, loopStart=12, notes=eighths(4, start=12.0))
    rig.do("select", track=device.track, slot=1)
    device.turn("Overwrite", 1)
    since = witness.mark()
    device.press("Generate")
    loop_id, notes = bars_seen(witness, since)
    wait_until(lambda: device.clips()[1]["name"], lambda name: name == f"melody {loop_id}", what="the clip's new name")
    assert_clip_has(device.wait_clip(1), notes, 8)
    assert [index for index, found in enumerate(device.clips()) if found] == [1]
    assert len(rig.do("undo")["steps"]) == 1


def test_with_no_empty_slot_nothing_is_written_and_the_user_is_told(
    rig: Rig, bridge: HostedBridge, witness: OscClient
) -> None:
    track = rig.do("track", slots=2)
    for slot in range(2):
        rig.do("clip", track=track, slot=slot, notes=eighths(2))
    device = Device(rig, bridge.osc[1], track=track, Output=CLIP)
    device.wait_ready()
    before = device.clips()
    device.press("Generate")
    device.wait_for_status("no empty slot")
    assert device.clips() == before
    assert rig.do("undo")["steps"] == []


def test_in_a_rack_on_a_track_of_the_second_place_and_launching_its_clip(
    rig: Rig, bridge: HostedBridge, witness: OscClient
) -> None:
    other = rig.do("track")
    track = rig.do("track", inRack=True)
    device = Device(rig, bridge.osc[1], track=track, Output=CLIP, Launch_Clip=1)
    device.wait_ready()
    rig.do("select", track=other, slot=5)  # another track's slot: not ours
    device.press("Sample")
    device.wait_clip(0)
    assert not any(rig.do("clips", track=other))
    wait_until(lambda: rig.do("playing", track=track), lambda slot: slot == 0, what="the clip launched")


def test_a_frozen_track_is_not_written_to(device: Device, rig: Rig) -> None:
    rig.do("trackProperty", track=device.track, name="is_frozen", value=1)
    device.press("Sample")
    device.wait_for_status("the track is frozen")
    assert not any(device.clips())


def test_three_quarters_make_bars_of_three_beats(device: Device, rig: Rig, witness: OscClient) -> None:
    since = witness.mark()
    rig.do("song", name="signature_numerator", value=3)
    witness.wait_for("/clock/state", 10, since, lambda said: said.args[4] == 3)
    device.press("Sample")
    _, notes = bars_seen(witness, since)
    clip = device.wait_clip(0)
    assert_clip_has(clip, notes, 6)
    assert (clip["signature_numerator"], clip["signature_denominator"]) == (3, 4)


def test_write_clip_writes_what_sounds(device: Device, rig: Rig, witness: OscClient) -> None:
    device.press("Write Clip")
    device.wait_for_status("No bars to write yet")
    device.turn("Output", PORT)
    since = witness.mark()
    device.press("Sample")
    _, notes = bars_seen(witness, since)
    wait_until(lambda: device.rig.do("script", device=device.index, code="B.bars.order.length"), bool)
    assert not any(device.clips())
    device.press("Write Clip")
    assert_clip_has(device.wait_clip(0), notes, 8)


# -- clips as seeds --------------------------------------------------------------------------------------------------


def seed_sent(device: Device, mark: int) -> tuple[float, list[list[float]]]:
    """Length and notes of the seed it has sent; every message within its bound."""
    (begin,) = device.wait_sent("/melody/seed/begin", mark)
    device.wait_sent("/melody/seed/end", mark)
    values: list[float] = []
    for message in device.sent("/melody/seed/notes", mark):
        assert 0 < len(message["values"]) <= 150
        assert len(message["values"]) % 5 == 0
        values += message["values"]
    return begin["values"][0], [values[at : at + 5] for at in range(0, len(values), 5)]


def test_the_playing_clip_is_what_the_bars_go_on_from(device: Device, rig: Rig, witness: OscClient) -> None:
    notes = [*eighths(16), {"pitch": 40, "start_time": 1.0, "duration": 1.0, "velocity": 90.0, "mute": 1}]
    rig.do("clip", track=device.track, slot=4, length=8, notes=notes)
    rig.do("clip", track=device.track, slot=5, length=4, notes=eighths(3))
    rig.do("select", track=device.track, slot=5)
    rig.do("playSlot", track=device.track, slot=4)
    since, mark = witness.mark(), device.mark()
    device.press("Generate")
    length, seed = seed_sent(device, mark)
    assert length == 8
    assert [row[0] for row in seed] == [SCALE[at % 8] for at in range(16)], "the muted note is left out"
    assert [row[1] for row in seed] == [at * 0.5 for at in range(16)]
    bars_seen(witness, since)
    assert_nothing_refused(device)


def test_in_the_arrangement_the_clip_under_the_playhead_is_gone_on_from(device: Device, rig: Rig) -> None:
    rig.do("arrangementClip", track=device.track, start=0, end=4, notes=eighths(3))
    rig.do("arrangementClip", track=device.track, start=100, end=300, notes=eighths(5))
    rig.do("jump", beats=104)
    rig.do("song", name="is_playing", value=1)
    mark = device.mark()
    device.press("Generate")
    assert len(seed_sent(device, mark)[1]) == 5


def test_bars_with_lost_notes_are_not_used(device: Device, rig: Rig) -> None:
    told = device.index
    rig.do("inject", device=told, message=["/melody/bars/begin", 900, 2, -1.0, 2])
    rig.do("inject", device=told, message=["/melody/bars/notes", 900, 60, 0.0, 1.0, 100, 0])
    rig.do("inject", device=told, message=["/melody/bars/end", 900, 12.0])
    device.wait_for_status("lost on the way")
    assert rig.do("script", device=told, code="B.bars.known[900] === undefined")


def test_a_clip_in_another_metre_with_a_loop_that_begins_later(device: Device, rig: Rig, witness: OscClient) -> None:
    rig.do(
        "clip",
        track=device.track,
        slot=0,
        length=3.5,
        loopStart=7,
        numerator=7,
        denominator=8,
        notes=[*eighths(4), *eighths(7, start=7.0), *eighths(2, start=10.5)],
    )
    rig.do("select", track=device.track, slot=0)
    since, mark = witness.mark(), device.mark()
    device.press("Generate")
    length, seed = seed_sent(device, mark)
    assert length == 3.5
    assert [row[1] for row in seed] == [at * 0.5 for at in range(7)], "only what sounds of it, from its loop's start"
    _, notes = bars_seen(witness, since)
    assert_clip_has(device.wait_clip(1), notes, 8)
    assert_nothing_refused(device)


def test_five_hundred_notes_go_in_chunks_and_all_arrive(device: Device, rig: Rig, witness: OscClient) -> None:
    rig.do("clip", track=device.track, slot=0, length=64, notes=eighths(500, step=0.125))
    rig.do("playSlot", track=device.track, slot=0)
    since, mark = witness.mark(), device.mark()
    device.press("Generate")
    length, seed = seed_sent(device, mark)
    assert (length, len(seed)) == (64, 500)
    assert len(device.sent("/melody/seed/notes", mark)) == 17
    _, notes = bars_seen(witness, since)
    assert notes
    assert_nothing_refused(device)


def test_a_window_of_notes_too_long_for_one_string_is_read_in_smaller_ones(device: Device, rig: Rig) -> None:
    crowd = [
        {**note, "start_time": (at // 8) * 0.125, "pitch": 30 + at % 8} for at, note in enumerate(eighths(504, 0.125))
    ]
    rig.do("clip", track=device.track, slot=0, length=8, notes=crowd)
    rig.do("playSlot", track=device.track, slot=0)
    mark = device.mark()
    device.press("Generate")
    assert len(seed_sent(device, mark)[1]) == 504


@pytest.mark.parametrize("what", ["missing", "audio", "empty", "other track"])
def test_without_a_midi_clip_the_bridge_s_own_bars_are_gone_on_from(
    device: Device, rig: Rig, witness: OscClient, what: str
) -> None:
    words = {
        "missing": "no clip plays or is selected",
        "audio": "audio clip",
        "empty": "no notes",
        "other track": "no clip plays",
    }
    if what == "audio":
        rig.do("clip", track=device.track, slot=0, midi=False)
        rig.do("playSlot", track=device.track, slot=0)
    elif what == "empty":
        rig.do("clip", track=device.track, slot=0)
        rig.do("select", track=device.track, slot=0)
    elif what == "other track":
        elsewhere = rig.do("track")
        clip = rig.do("clip", track=elsewhere, slot=0, notes=eighths(8))
        rig.do("select", track=elsewhere, slot=0, clip=clip)
    since, mark = witness.mark(), device.mark()
    device.press("Generate")
    device.wait_for_status(words[what])
    _, notes = bars_seen(witness, since)
    assert notes
    assert not device.sent("/melody/seed/begin", mark)


def test_seed_loop_never_reads_a_clip(device: Device, rig: Rig, witness: OscClient) -> None:
    rig.do("clip", track=device.track, slot=0, notes=eighths(8))
    rig.do("playSlot", track=device.track, slot=0)
    device.turn("Seed", FROM_LOOP)
    since, mark = witness.mark(), device.mark()
    device.press("Generate")
    bars_seen(witness, since)
    assert not device.sent("/melody/seed/begin", mark)
