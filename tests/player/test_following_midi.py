"""The player on a MIDI clock that jitters: every note once, in order, where the song has it; closed when it stops."""

from __future__ import annotations

import itertools
import random

import pytest
from player_rig import BEGAN_NS, Rig, hooked, player_process
from twins import Song, live_reports, tick_stamps

from bridge import messages

TICK, START, STOP = 0xF8, 0xFA, 0xFC
SIXTEENTHS = [(48 + k, k / 4, 0.2, 100, 0) for k in range(16)]
FIRST_NS = BEGAN_NS + 2_000_000_000


def follow(rig: Rig, song: Song, seconds: float, jitter_ms: float, seed: int = 1) -> None:
    """Start on the first tick, and ticks until `seconds`."""
    rng = random.Random(seed)
    rig.launch(1, SIXTEENTHS)
    period_ns = round(60e9 / song.tempo_at(0.0) / 24)
    for k in range(24, 0, -1):
        hear(rig, FIRST_NS - k * period_ns, TICK)
    hear(rig, FIRST_NS - period_ns // 2, START)
    for stamp_ns in tick_stamps(
        song, seconds, rng, began_ns=FIRST_NS, jitter_ms=jitter_ms, lost=0.01, doubled=0.001, first_tick=0
    ):
        hear(rig, max(stamp_ns, rig.now_ns), TICK)


def hear(rig: Rig, stamp_ns: int, *message: int) -> None:
    rig.player.run_to(stamp_ns)
    rig.performer.midi_in(stamp_ns, message, stamp_ns)
    rig.events += rig.player.take_events()


@pytest.mark.parametrize("jitter_ms", [0.0, 1.0, 4.0])
def test_a_ramp_from_60_to_180_in_four_bars_reorders_no_note(tmp_path, jitter_ms):
    rig = Rig(tmp_path)
    song = Song.ramp(60.0, 180.0, 16.0, at_s=2.0)
    follow(rig, song, 14.0, jitter_ms)
    played, _ = rig.reader.since(0)
    ons = [p for p in played if p.status >> 4 == 9]
    assert len(ons) > 90
    assert [p.data1 for p in ons] == [48 + k % 16 for k in range(len(ons))]
    assert all(a.intended_ns < b.intended_ns for a, b in itertools.pairwise(ons))
    errors_ms = [abs((p.intended_ns - FIRST_NS) / 1e6 - song.seconds_at(k / 4) * 1e3) for k, p in enumerate(ons)]
    assert max(errors_ms[:8]) < 8.0  # before the ramp
    if jitter_ms <= 1.0:
        assert max(errors_ms[24:]) < 5.0


def test_stop_closes_every_note_in_the_same_moment(tmp_path):
    rig = Rig(tmp_path)
    follow(rig, Song.steady(120.0), 2.05, 0.0)
    hear(rig, rig.now_ns, STOP)
    heard = rig.heard()
    assert len(heard) == len(rig.strokes())
    assert rig.of(messages.ClockState)[-1].playing is False


def test_live_decides_which_bar_and_the_ticks_when(tmp_path):
    """Live at beat 32 while the device that ticks was started at 0: no note leaves the ticks' grid."""
    rig = Rig(tmp_path)
    rng = random.Random(3)
    song = Song.steady(120.0)
    follow(rig, song, 4.0, 0.5)
    assert rig.performer.timekeeper.source_in_force == "midi"
    heard = [(t, None) for t in tick_stamps(song, 12.0, rng, began_ns=FIRST_NS, jitter_ms=0.5, first_tick=8 * 24)]
    live = live_reports(song, 12.0, rng, began_ns=FIRST_NS, from_s=4.0)
    shifted = [
        (r.arrival_ns, messages.LiveReport(r.arrival_ns, True, 120.0, r.beats + 33.0, 4, 4, -1.0, -1.0)) for r in live
    ]
    for stamp_ns, report in sorted([*heard, *shifted], key=lambda pair: pair[0]):
        if report is None:
            hear(rig, stamp_ns, TICK)
        else:
            rig.player.handle(report, stamp_ns)
    rig.events += rig.player.take_events()
    song_map = rig.performer.timekeeper.map
    assert rig.performer.timekeeper.source_in_force == "midi"
    assert song_map.beat_at_ns(FIRST_NS + 12_000_000_000) == pytest.approx(24.0 + 33.0, abs=0.004)
    played, _ = rig.reader.since(0)
    ons = [(p.intended_ns - FIRST_NS) / 125e6 for p in played if p.status >> 4 == 9]
    assert max(abs(on - round(on)) * 125 for on in ons) < 2.0


def test_a_clock_that_goes_away_is_told_and_the_music_goes_on(tmp_path):
    rig = Rig(tmp_path)
    follow(rig, Song.steady(120.0), 4.0, 0.0)
    rig.player.run_to(rig.now_ns + 8_000_000_000)
    rig.events += rig.player.take_events()
    told = [notice.text for notice in rig.of(messages.Notice)]
    assert told == [
        "clock: following MIDI clock, 120.0 BPM",
        "clock: MIDI clock is silent; going on at 120.0 BPM",
        "clock: MIDI clock is followed no longer; its own, 120.0 BPM",
    ]
    strokes = rig.strokes()
    assert [beat for beat, _ in strokes] == pytest.approx([4 + k / 4 for k in range(len(strokes))], abs=0.002)
    assert len(strokes) > 90
    assert rig.performer.timekeeper.source_in_force == "internal"


@pytest.mark.parametrize(
    ("backend", "midi", "why"),
    [
        ("none", {}, "MIDI clock cannot be heard: midi.backend is none"),
        ("memory", {"input": "none"}, "MIDI clock cannot be heard: midi.input is none"),
        ("memory", {}, ""),
    ],
)
def test_why_no_midi_clock_can_be_heard_is_in_the_clocks_state(tmp_path, backend, midi, why):
    with player_process(tmp_path, backend, **midi) as player:
        assert player.wait_for(messages.ClockState).missing.get("midi", "") == why


def test_an_input_that_is_not_there_yet_is_no_clock_until_it_comes(tmp_path):
    """In the real process, whose backend is given the news."""
    env = hooked(
        tmp_path / "hook",
        "from bridge.player.ports import InnerBackend, InputNews\n"
        "none_yet = InputNews('no port called KEYS yet; still looking', False)\n"
        "news = iter([none_yet, None, InputNews('KEYS 1', True)])\n"
        "InnerBackend.input_change = lambda self: next(news, None)\n",
    )
    with player_process(tmp_path, env=env, input="KEYS") as player:
        missing = player.wait_for(messages.ClockState).missing
        assert missing["midi"] == "MIDI clock cannot be heard: no port called KEYS yet; still looking"
        assert player.wait_for(messages.Ports).lines[-1] == "in: no port called KEYS yet; still looking"
        assert player.wait_for(messages.Notice).text == "in: KEYS 1"
        assert "midi" not in player.wait_for(messages.ClockState).missing


@pytest.mark.parametrize("jitter_ms", [0.0, 4.0])
def test_our_own_clock_goes_on_through_a_ramp_that_is_followed(tmp_path, jitter_ms):
    """Whoever follows us gets every tick once, smoother than we got them, though some of ours were lost or doubled."""
    rig = Rig(tmp_path, clock_out=True)
    song = Song.ramp(90.0, 140.0, 16.0, at_s=4.0)
    follow(rig, song, 14.0, jitter_ms)
    words = [word for word in rig.messages_sent() if word[1] == "clock"]
    assert [word[2] for word in words] == [START] + [TICK] * (len(words) - 1)
    late_ms = [
        abs((BEGAN_NS + beat * 0.5e9 - FIRST_NS) / 1e6 - song.seconds_at(k / 24) * 1e3)
        for k, (beat, *_) in enumerate(words[1:])
    ]
    assert len(late_ms) > 550
    assert sorted(late_ms)[int(0.95 * len(late_ms))] < 0.5 + jitter_ms
