"""Knobs, key, transport and sound: the built device in an emulated Max and a fake Live, with a real bridge."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
from maxforlive.device_rig import Device, Rig, wait_until
from maxforlive.device_talk import (
    CLIP,
    DEVICE,
    PORT,
    assert_clip_has,
    assert_nothing_refused,
    bars_seen,
    eighths,
    wait_state,
)

from bridge.hosted import HostedBridge
from bridge.osc.client import OscClient

# -- knobs -----------------------------------------------------------------------------------------------------------


def test_whole_numbers_leave_as_ints_and_are_taken(device: Device, witness: OscClient) -> None:
    since, mark = witness.mark(), device.mark()
    device.turn("Temperature", 1.0)
    device.turn("Swing", 60.0)
    device.turn("Humanise", 100.0)
    wait_state(witness, since, temperature=1.0, swing=60.0, humanize=1.0)
    for address in ("temperature", "swing", "humanize"):
        (message,) = device.sent(f"/melody/{address}", mark)
        assert message["tags"] == "i", message
    device.turn("Temperature", 0.65)
    wait_state(witness, since, temperature=0.65)
    assert device.sent("/melody/temperature", mark)[-1]["tags"] == "f"
    device.turn("Swing", 50.0)
    device.turn("Humanise", 0.0)
    wait_state(witness, since, swing=50.0, humanize=0.0)


def test_another_client_s_changes_are_shown_and_not_echoed(device: Device, witness: OscClient) -> None:
    mark = device.mark()
    witness.send("/melody/swing", 61.5)
    witness.send("/melody/launch", "beat")
    witness.send("/melody/humanize", 0.25)
    wait_until(lambda: device.value("Swing"), lambda value: value == pytest.approx(61.5), what="Swing shown")
    wait_until(lambda: device.value("Humanise"), lambda value: value == pytest.approx(25.0), what="Humanise shown")
    assert device.value("Launch") == 2
    assert {one["address"] for one in device.sent("", mark)} <= {"/clock/live", "/bridge/ping"}
    witness.send("/melody/swing", 50.0)
    witness.send("/melody/launch", "bar")
    witness.send("/melody/humanize", 0.0)
    wait_until(lambda: device.value("Launch"), lambda value: value == 3, what="Launch shown")


def test_a_turning_knob_is_not_pulled_back_and_its_last_value_stands(device: Device, witness: OscClient) -> None:
    since = witness.mark()
    values = [50 + step * 0.25 for step in range(81)]
    for value in values:
        device.turn("Swing", value)
        assert device.value("Swing") == pytest.approx(value)
    wait_state(witness, since, swing=70.0)
    time.sleep(0.8)  # longer than our own changes are protected
    assert device.value("Swing") == pytest.approx(70.0)
    device.turn("Swing", 50.0)
    wait_state(witness, since, swing=50.0)


def test_a_saved_set_wins_when_it_is_loaded(rig: Rig, bridge: HostedBridge, witness: OscClient) -> None:
    since = witness.mark()
    stored = {"Temperature": 1.5, "Quantise": 40.0, "Launch": 1, "Settings Saved": 1}
    device = Device(rig, bridge.osc[1], **stored)
    wait_state(witness, since, temperature=1.5, quantize=0.4, launch="step")
    device.wait_ready()
    assert device.value("Temperature") == pytest.approx(1.5)
    for address, value in (("temperature", 0.6), ("quantize", 1.0), ("launch", "bar")):
        witness.send(f"/melody/{address}", value)


def test_a_device_that_is_new_in_a_set_takes_over_what_the_bridge_has(
    rig: Rig, bridge: HostedBridge, witness: OscClient
) -> None:
    device = Device(rig, bridge.osc[1], Voice=2)
    device.wait_ready()
    assert device.value("Quantise") == 0, "drums are not quantised unless asked"
    assert device.value("Temperature") == pytest.approx(0.7)
    assert device.value("Model") == 3
    assert device.value("Settings Saved") == 1
    assert {one["address"] for one in device.sent()} <= {
        "/barline/probe",
        "/bridge/subscribe",
        "/bridge/ping",
        "/clock/live",
    }


def test_another_voice_brings_its_own_settings(device: Device, witness: OscClient) -> None:
    device.turn("Voice", 2)
    wait_until(lambda: device.value("Quantise"), lambda value: value == 0, what="the drums' settings")
    since, mark = witness.mark(), device.mark()
    device.press("Sample")
    bars_seen(witness, since, "drums")
    assert device.wait_clip(0)["name"].startswith("drums ")
    assert not [one for one in device.sent("", mark) if one["address"].startswith("/melody/")]


def test_corners_and_the_morph_between_them(device: Device, witness: OscClient) -> None:
    device.turn("Output", PORT)
    for slot in ("Store A", "Store B"):
        since = witness.mark()
        device.press("Sample")
        loop_id, _ = bars_seen(witness, since)
        wait_state(witness, since, pending_id=loop_id)
        device.press(slot)
    since = witness.mark()
    device.turn("Morph", 50.0)
    wait_state(witness, since, morph=0.5)
    bars_seen(witness, since)
    since = witness.mark()
    device.turn("X", 30.0)
    device.turn("Y", 70.0)
    pads = wait_until(lambda: device.sent("/melody/xy"), lambda sent: len(sent) == 2, what="both sent")
    assert [pad["values"] for pad in pads] == [[0.3, 0], [0.3, 0.7]]
    device.wait_for_status("corner c and d of melody is empty")


def test_a_clip_is_stored_while_the_voice_has_no_loop(device: Device, rig: Rig, witness: OscClient) -> None:
    rig.do("clip", track=device.track, slot=0, length=8, notes=eighths(16))
    rig.do("playSlot", track=device.track, slot=0)
    mark = device.mark()
    device.press("Store C")
    (message,) = device.wait_sent("/melody/store", mark)
    assert message["values"][:2] == ["c", 8]
    assert len(message["values"]) == 2 + 16 * 5
    witness.ask("/bridge/ping", 3, answer="/bridge/pong")
    assert_nothing_refused(device)


def test_refusals_are_shown_in_plain_words_and_the_device_goes_on(device: Device, rig: Rig, witness: OscClient) -> None:
    device.press("Vary")
    device.wait_for_status("has no loop to vary")
    since = witness.mark()
    device.press("Sample")
    bars_seen(witness, since)


@pytest.mark.parametrize(
    ("name", "value", "address", "values"),
    [
        ("Density", -50.0, "/melody/attribute", ["density", -0.5]),
        ("Syncopation", 100.0, "/melody/attribute", ["syncopation", 1]),
        ("Surprise", 60.0, "/melody/surprise", [0.6]),
        ("Scale Lock", 2, "/melody/scale", ["hard"]),
        ("Jam", 1, "/melody/jam", ["respond", 2]),
        ("Launch", 0, "/melody/launch", ["now"]),
        ("Play", 0, "/melody/stop", []),
        ("Model", 3, "/melody/model", ["drums-2bar"]),
    ],
)
def test_each_control_says_what_it_means(
    device: Device, witness: OscClient, name: str, value: float, address: str, values: list[Any]
) -> None:
    mark = device.mark()
    device.turn(name, value)
    (message,) = device.wait_sent(address, mark)
    assert message["values"] == values
    witness.ask("/bridge/ping", 9, answer="/bridge/pong")
    assert_nothing_refused(device)
    witness.send("/melody/play")
    witness.send("/melody/model", "melody-2bar")
    witness.send("/melody/launch", "bar")
    witness.send("/melody/jam", "off")


# -- key -------------------------------------------------------------------------------------------------------------


def test_the_key_is_taken_from_live_or_set_by_hand(device: Device, rig: Rig) -> None:
    mark = device.mark()
    assert not device.sent("/bridge/key"), "no key in Live: the bridge's own stays"
    rig.do("song", name="root_note", value=9)
    rig.do("song", name="scale_name", value="Minor")
    rig.do("song", name="scale_intervals", value=[0, 2, 3, 5, 7, 8, 10])
    rig.do("song", name="scale_mode", value=1)
    wait_until(
        lambda: [one["values"] for one in device.sent("/bridge/key", mark)],
        lambda keys: [9, "minor"] in keys,
        what="the key",
    )
    rig.do("song", name="scale_intervals", value=[0, 2, 4, 6, 9])
    rig.do("song", name="scale_name", value="Some Scale")
    wait_until(
        lambda: device.sent("/bridge/key", mark)[-1]["values"],
        lambda key: key == [9, "lydian"],
        what="the nearest mode",
    )
    device.turn("Key From", 1)
    device.turn("Key", 2)
    device.turn("Scale", 2)
    assert device.wait_sent("/bridge/key", mark)[-1]["values"] == [2, "dorian"]
    device.turn("Key From", 0)
    rig.do("song", name="scale_mode", value=0)
    wait_until(lambda: device.sent("/bridge/key", mark)[-1]["values"], lambda key: key == [-1, "major"], what="no key")


# -- Live's transport ------------------------------------------------------------------------------------------------


def test_the_transport_is_told_steadily_and_at_every_change(device: Device, rig: Rig, witness: OscClient) -> None:
    mark = device.mark()
    time.sleep(2.0)
    resting = device.sent("/clock/live", mark)
    assert 2 <= len(resting) <= 8, "a song that stands is told twice a second"
    assert resting[-1]["values"][:4] == [0, 120, 0, 0]
    since, mark = witness.mark(), device.mark()
    rig.do("song", name="tempo", value=97.5)
    rig.do("song", name="is_playing", value=1)
    witness.wait_for("/clock/state", 5, since, lambda said: said.args[1] == 1 and abs(said.args[2] - 97.5) < 0.01)
    time.sleep(2.0)
    moving = device.sent("/clock/live", mark)
    assert len(moving) > 30
    positions = [message["values"][2] + message["values"][3] for message in moving if message["values"][0]]
    assert positions == sorted(positions)
    now = rig.do("moment")
    assert positions[-1] == pytest.approx(now["beats"] - (now["ms"] - moving[-1]["at"]) / 60_000 * 97.5, abs=0.5)
    for message in moving:
        playing, _, beats, fraction, numerator, denominator, bar, beat_in_bar = message["values"]
        assert (numerator, denominator) == (4, 4)
        assert bar * 4 + beat_in_bar == pytest.approx(beats + fraction, abs=1e-3)
        assert 0 <= fraction < 1
        del playing
    rig.do("jump", beats=32.0)
    witness.wait_for("/clock/beat", 5, since, lambda said: said.args[0] >= 32)
    since = witness.mark()
    rig.do("song", name="is_playing", value=0)
    witness.wait_for("/clock/state", 5, since, lambda said: said.args[1] == 0)


def test_a_transport_object_that_does_not_follow_live_is_not_believed(device: Device, rig: Rig) -> None:
    rig.do("transportLag", device=device.index, beats=-6)
    rig.do("song", name="is_playing", value=1)
    wait_until(lambda: device.sent("/clock/live")[-1]["tags"], lambda tags: len(tags) == 6, 10, "Live's own position")
    last = device.sent("/clock/live")[-1]
    beats = last["values"][2] + last["values"][3]
    assert rig.ms_at_beat(beats) == pytest.approx(last["at"], abs=300)
    rig.do("transportLag", device=device.index, beats=0)
    wait_until(
        lambda: device.sent("/clock/live")[-1]["tags"], lambda tags: len(tags) == 8, 10, "the object believed again"
    )


# -- through the device ----------------------------------------------------------------------------------------------


def test_notes_come_out_of_the_device_where_the_loop_has_them_and_all_are_closed(
    rig: Rig, bridge: HostedBridge, witness: OscClient
) -> None:
    rig.do("song", name="is_playing", value=1)
    device = Device(rig, bridge.osc[1], Output=DEVICE)
    device.wait_ready()
    since = witness.mark()
    device.press("Sample")
    _, notes = bars_seen(witness, since)
    launched = witness.wait_for("/melody/launched", 20, since)
    state = wait_state(witness, since, sounding_id=launched.args[0])
    start_ms = rig.ms_at_beat(state["start"])
    time.sleep(4.5)
    rig.do("song", name="is_playing", value=0)
    wait_until(device.notes, lambda seen: balanced(seen), 5, "every note closed")
    expected = sorted({(round(start, 3), pitch) for pitch, start, _, _ in notes})
    ons = [(at, pitch) for at, status, pitch, velocity in device.notes() if status == 0x90 and velocity > 0]
    first_round = [(at, pitch) for at, pitch in ons if -60 < at - start_ms < 8 * 500 - 60]
    assert sorted(pitch for _, pitch in first_round) == sorted(pitch for _, pitch in expected)
    errors = [abs(at - start_ms - due * 500) for (due, _), (at, _) in zip(expected, sorted(first_round), strict=True)]
    assert statistics.median(errors) < 25, errors


def balanced(notes: list[tuple[float, int, int, int]]) -> bool:
    """Each key is opened and closed in turn, and closed in the end."""
    held: set[int] = set()
    for _, _, pitch, velocity in notes:
        if velocity:
            assert pitch not in held, f"key {pitch} sounds twice"
            held.add(pitch)
        else:
            held.discard(pitch)
    return not held


def test_after_a_jump_back_the_loop_is_where_it_would_have_been(
    rig: Rig, bridge: HostedBridge, witness: OscClient
) -> None:
    rig.do("jump", beats=64)
    rig.do("song", name="is_playing", value=1)
    device = Device(rig, bridge.osc[1])
    device.wait_ready()
    since = witness.mark()
    device.press("Sample")
    _, notes = bars_seen(witness, since)
    launched = witness.wait_for("/melody/launched", 20, since)
    start = wait_state(witness, since, sounding_id=launched.args[0])["start"]
    time.sleep(1.0)
    rig.do("jump", beats=41.0)
    jumped_ms = rig.ms_at_beat(41.0)
    time.sleep(4.3)
    rig.do("song", name="is_playing", value=0)
    wait_until(device.notes, balanced, 5, "every note closed")
    heard = [
        (pitch, (41.0 + (at - jumped_ms) / 500 - start) % 8)
        for at, _, pitch, velocity in device.notes()
        if velocity and jumped_ms + 60 < at < jumped_ms + 4060
    ]
    assert abs(len(heard) - len({(pitch, round(at, 3)) for pitch, at, _, _ in notes})) <= 1, "one round of eight beats"
    for pitch, phase in heard:
        distance = min(min((phase - at) % 8, (at - phase) % 8) for key, at, _, _ in notes if key == pitch)
        assert distance * 500 < 60, (pitch, phase)


def test_a_clip_or_port_output_sends_no_notes_through_the_device(device: Device, rig: Rig, witness: OscClient) -> None:
    rig.do("song", name="is_playing", value=1)
    since = witness.mark()
    device.press("Sample")
    witness.wait_for("/melody/launched", 20, since)
    time.sleep(0.5)
    assert device.notes() == []
    device.turn("Output", DEVICE)
    wait_until(device.notes, bool, 10, "notes through the device, fetched from the bridge")
    device.turn("Output", PORT)
    wait_until(device.notes, balanced, 3, "closed")


def test_stop_and_play_of_the_voice(rig: Rig, bridge: HostedBridge, witness: OscClient) -> None:
    rig.do("song", name="is_playing", value=1)
    device = Device(rig, bridge.osc[1])
    device.wait_ready()
    device.press("Sample")
    wait_until(device.notes, bool, 15, "notes")
    device.turn("Play", 0)
    wait_until(device.notes, balanced, 3, "closed")
    time.sleep(0.4)
    count = len(device.notes())
    time.sleep(1.0)
    assert len(device.notes()) == count
    device.turn("Play", 1)
    wait_until(device.notes, lambda notes: len(notes) > count, 10, "notes again")


# -- several devices -------------------------------------------------------------------------------------------------


def test_two_devices_have_their_own_ports_voices_and_bars(rig: Rig, bridge: HostedBridge, witness: OscClient) -> None:
    melody = Device(rig, bridge.osc[1], Output=CLIP)
    drums = Device(rig, bridge.osc[1], Output=CLIP, Voice=2)
    for device in (melody, drums):
        device.wait_ready()
    ports = [device.sent("/bridge/subscribe")[-1]["values"][0] for device in (melody, drums)]
    assert len(set(ports)) == 2
    since = witness.mark()
    melody.press("Sample")
    drums.press("Sample")
    _, tune = bars_seen(witness, since)
    _, beat = bars_seen(witness, since, "drums")
    assert_clip_has(melody.wait_clip(0), tune, 8)
    assert_clip_has(drums.wait_clip(0), beat, 8)
    melody.turn("Swing", 66.0)
    wait_state(witness, since, swing=66.0)
    time.sleep(0.7)
    assert drums.value("Swing") == pytest.approx(50.0)
    melody.turn("Swing", 50.0)
    twin = Device(rig, bridge.osc[1], Output=CLIP)  # a second one on the same voice writes only what it has asked for
    twin.wait_ready()
    melody.press("Sample")
    melody.wait_clip(1)
    assert not any(twin.clips())
