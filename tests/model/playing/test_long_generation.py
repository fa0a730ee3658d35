"""Sixteen bars and trios through the same functions as two bars, with random weights."""

import numpy as np
import pytest
import torch
from held_out import windows
from small_models import SMALL_LONG_DRUMS, SMALL_LONG_LINE, SMALL_TRIO, small_hierarchy

from bridge.model.nets import registry
from bridge.model.nets.compiled_hierarchy import CompiledHierarchy
from bridge.model.playing import drawing
from bridge.model.playing.candidates import chosen
from bridge.model.playing.decoding import Decoded, WindowDecode, between_beats
from bridge.model.playing.drawing import prior_point
from bridge.model.playing.encoding import encode_bars
from bridge.model.playing.framing import (
    Frame,
    WindowTokens,
    frame_of,
    is_heard,
    rested,
    streamed,
    to_bars,
    to_windows,
    unstreamed,
)
from bridge.model.playing.generation import continue_bars, reconstruct_bars, sample_bars, vary_bars
from bridge.model.playing.morphing import interpolated, morph_at, prepare_morph
from bridge.model.playing.shaping import shape_of, shaped
from bridge.model.playing.steering import Steering, steered_bias
from bridge.model.reporting.held_out import grid_tokens
from bridge.music.grids import LOWEST_PITCH, PITCHES
from bridge.music.locking import Lock
from bridge.music.notes import STEPS_PER_BAR, Bars, Note, cut, in_order

MAJOR = frozenset({0, 2, 4, 5, 7, 9, 11})
_MODELS = {}


def long_model(config):
    if config.name not in _MODELS:
        model, flow, maps = small_hierarchy(config)
        _MODELS[config.name] = CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)
    return _MODELS[config.name]


@pytest.fixture(params=[SMALL_LONG_LINE, SMALL_LONG_DRUMS, SMALL_TRIO], ids=lambda config: config.name)
def model(request):
    return long_model(request.param)


def trio_loop(bars=4):
    notes = []
    for beat in range(4 * bars):
        notes.append(Note(60 + (beat * 7) % 12, float(beat), 0.5, 90, 0))
        notes.append(Note(36 + (beat * 5) % 12, float(beat), 1.0, 80, 1))
        notes += [Note(36 if beat % 2 == 0 else 38, float(beat), 0.25, 110, 2), Note(42, beat + 0.5, 0.25, 70, 2)]
    return Bars(in_order(notes), 4.0 * bars)


def test_sampling_fills_the_length_asked_for_and_repeats_itself_by_seed(model):
    made = sample_bars(model, 16, 3, 1.0)
    assert made.length == 64.0
    assert {note.part for note in made.notes} == set(range(len(model.config.parts)))
    assert max(note.end for note in made.notes) <= 64.0
    assert sample_bars(model, 16, 3, 1.0) == made
    assert sample_bars(model, 16, 4, 1.0) != made
    assert sample_bars(model, 4, 3, 1.0).length == 16.0


def test_of_trios_in_which_a_part_rests_the_plainer_or_the_bolder_is_played_too():
    """The one with the most parts, not the last of them."""
    config, loop = SMALL_TRIO, trio_loop(16)

    def row(parts, nats):
        bars = Bars(tuple(note for note in loop.notes if note.part in parts), loop.length)
        return Decoded(to_windows(bars, frame_of(loop, config), config)[0], np.full(config.stream_steps, -nats))

    rows = [row({0, 2}, 1.0), row({2}, 0.1), row({0, 2}, 2.0), row({}, 0.0)]
    assert [chosen(rows, surprise, config, 32) for surprise in (0.0, 1.0)] == [0, 2]
    assert chosen(rows[3:] * 2, 0.0, config, 32) == 1


@pytest.mark.parametrize("surprise", [None, 0.35])
def test_the_first_bars_are_told_early_and_are_those_that_come(model, surprise):
    source, steering, told = sample_bars(model, 16, 4, 1.0), Steering(surprise=surprise), []
    whole = continue_bars(model, source, 16, 3, 1.0, steering, told.append)
    assert whole == continue_bars(model, source, 16, 3, 1.0, steering)
    (first,) = told
    assert first.length == 64.0
    assert first.notes
    assert max(note.end for note in first.notes) <= 8.0
    starts = [[(n.pitch, n.start, n.part) for n in loop.notes if n.start < 7.8] for loop in (first, whole)]
    assert starts[0] == starts[1]


def test_new_bars_are_drawn_between_exemplars_where_there_are_any_and_go_on_from_the_flow():
    model, flow, maps = small_hierarchy(SMALL_LONG_LINE)
    plain = CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)
    flow.set_exemplars(3.0 * torch.randn(40, SMALL_LONG_LINE.latent_size))
    compiled = CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)
    pairs = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    possible = compiled.between(pairs[:, 0], pairs[:, 1], drawing._TOWARDS_SECOND["melody-16bar"])
    taken = set()
    for seed in range(20):
        point = prior_point(compiled, seed)
        assert torch.equal(point, prior_point(compiled, seed))
        away = (possible - point).norm(dim=1)
        assert away.min() < 1e-4
        taken.add(int(away.argmin()))
    assert len(taken) > 10
    made = sample_bars(compiled, 16, 3, 1.0)
    assert made != sample_bars(plain, 16, 3, 1.0)
    assert continue_bars(compiled, made, 4, 3, 1.0) == continue_bars(plain, made, 4, 3, 1.0)


def test_a_new_loop_is_told_early_too(model):
    steering, told = Steering(surprise=0.35), []
    whole = sample_bars(model, 16, 3, 1.0, steering, told.append)
    assert whole == sample_bars(model, 16, 3, 1.0, steering)
    assert {(n.pitch, n.start) for n in told[0].notes if n.start < 7.8} <= {(n.pitch, n.start) for n in whole.notes}


def test_no_more_of_a_long_window_is_decoded_than_is_played(model, monkeypatch):
    decoded = []
    advance = WindowDecode.advance
    monkeypatch.setattr(WindowDecode, "advance", lambda self, steps: (decoded.append(steps), advance(self, steps))[1])
    made = sample_bars(model, 16, 3, 1.0)
    decoded.clear()
    assert continue_bars(model, made, 3, 5, 1.0).length == 12.0
    assert sum(decoded) == 3 * STEPS_PER_BAR * len(model.config.parts)


def test_going_on_varying_and_reconstructing(model):
    made = sample_bars(model, 16, 3, 1.0)
    for again in (continue_bars(model, made, 16, 5, 1.0), reconstruct_bars(model, made, 5, 1.0)):
        assert again.length == 64.0
        assert again.notes
    assert vary_bars(model, made, 0.0, 5, 1.0) == made
    assert vary_bars(model, made, 0.5, 5, 1.0) != made


def test_a_hard_key_binds_every_line(model):
    made = sample_bars(model, 16, 2, 1.0, Steering(MAJOR, "hard"))
    drums = model.config.parts.index("drums") if "drums" in model.config.parts else -1
    assert all(note.pitch % 12 in MAJOR for note in made.notes if note.part != drums)


def test_a_trio_goes_through_windows_part_by_part():
    loop = trio_loop(16)
    config = SMALL_TRIO
    frame = frame_of(loop, config)
    windows = to_windows(loop, frame, config)
    back = to_bars(windows, frame, config, loop.length)
    key = [(n.pitch, n.start, n.part) for n in loop.notes]
    assert [(n.pitch, n.start, n.part) for n in back.notes] == key
    again = streamed(unstreamed(windows[0], config))
    assert np.array_equal(again.tokens, windows[0].tokens)
    assert np.array_equal(again.velocities, windows[0].velocities)
    assert len(encode_bars(long_model(config), trio_loop(4)).windows) == 1


def test_a_line_of_a_trio_rests_where_it_would_hold_a_note_for_bars_on_end():
    held = [(60, 1.0, 2.0, 0), (62, 5.0, 11.0, 0), (64, 20.0, 8.0, 0), (65, 30.0, 34.0, 0), (40, 0.0, 64.0, 1)]
    drums = [Note(36, float(beat), 0.25, 110, 2) for beat in range(64)]
    bars = Bars(in_order([*(Note(p, start, long, 90, part) for p, start, long, part in held), *drums]), 64.0)
    frame = frame_of(bars, SMALL_TRIO)
    (window,) = to_windows(bars, frame, SMALL_TRIO)
    made = to_bars([rested(window, SMALL_TRIO)], frame, SMALL_TRIO, 64.0)
    lines = [(n.start, n.duration, n.part) for n in made.notes if n.part != 2]
    assert lines == [(0.0, 4.0, 1), (1.0, 2.0, 0), (5.0, 3.0, 0), (20.0, 8.0, 0), (30.0, 2.0, 0)]
    assert sum(n.part == 2 for n in made.notes) == 64
    after_long_ones = rested(window, SMALL_TRIO, [window])
    assert to_bars([after_long_ones], frame, SMALL_TRIO, 64.0) == to_bars([window], frame, SMALL_TRIO, 64.0)
    melody = unstreamed(window, SMALL_TRIO)[0]
    assert rested(melody, SMALL_LONG_LINE) is melody


def test_a_trio_that_plays_no_more_notes_does_not_hold_its_last_ones():
    model = long_model(SMALL_TRIO)
    long = [
        note.duration
        for seed in range(6)
        for made in (sample_bars(model, 16, seed, 0.05), continue_bars(model, trio_loop(16), 16, seed, 0.05))
        for note in made.notes
        if note.part != 2
    ]
    assert max(long) <= 8.0


def test_a_locked_bar_of_a_trio_is_forced_in_every_part():
    model, loop = long_model(SMALL_TRIO), trio_loop(16)
    steering = Steering(lock=Lock(loop, ((8.0, 12.0),)), binding="off")
    made = sample_bars(model, 16, 1, 1.0, steering)
    inside = [
        {(n.pitch, round(4 * n.start), n.part) for n in x.notes if 32 <= round(4 * n.start) < 48} for x in (made, loop)
    ]
    assert inside[0] == inside[1]


def test_the_bias_of_a_trio_is_that_of_its_parts():
    config = SMALL_TRIO
    whole = steered_bias(Steering(MAJOR, "hard"), (), config, Frame())
    assert whole.shape == (config.stream_steps, config.classes)
    by_bar = whole.reshape(config.bars, 3, 16, -1)
    for part in range(3):
        alone = steered_bias(Steering(MAJOR, "hard"), (), config.of_part(part), Frame())
        mine = by_bar[:, part, :, : config.of_part(part).classes].reshape(alone.shape)
        assert torch.equal(mine, alone)


def test_each_line_of_a_trio_keeps_to_its_own_key_and_all_to_a_hard_one():
    """The melody goes on in C, the bass in E; with `hard` and no key set both are bound to one. A bass that plays C, E
    and G may be in C, in F or in G.
    """

    def on(bass):
        scale = (0, 2, 4, 5, 7, 9, 11, 12)
        notes = [Note(60 + scale[beat % 8], float(beat), 1.0, 90, 0) for beat in range(64)]
        notes += [Note(40 + bass[beat % len(bass)], float(beat), 1.0, 90, 1) for beat in range(64)]
        loop = Bars(in_order(notes), 64.0)
        frame = frame_of(loop, SMALL_TRIO)
        return frame, to_windows(loop, frame, SMALL_TRIO)

    def against(binding, part):
        """The sounding pitch classes that are made rarer in the first bar."""
        bound, free = (
            steered_bias(Steering(binding=how), windows, SMALL_TRIO, frame).reshape(SMALL_TRIO.bars, 3, 16, -1)
            for how in (binding, "off")
        )
        rarer = torch.nonzero(bound[0, part, 0, :PITCHES] < free[0, part, 0, :PITCHES] - 1.0).flatten()
        return {(index + LOWEST_PITCH - frame.of_part(part, SMALL_TRIO).shift) % 12 for index in rarer.tolist()}

    chromatic = set(range(12))
    frame, windows = on((0, 2, 4, 5, 7, 9, 11, 12))
    assert against("hard", 0) == against("hard", 1)
    assert against("soft", 0) == chromatic - MAJOR
    assert against("soft", 1) == chromatic - {(pitch_class + 4) % 12 for pitch_class in MAJOR}
    frame, windows = on((8, 12, 3))
    assert against("soft", 0) == chromatic - MAJOR
    assert against("soft", 1) == {1, 3, 8}


def test_a_line_of_a_trio_leans_to_the_notes_that_it_has_in_its_key():
    """The bass goes on from C, with some G: C is made likelier than G, and G than F, which it did not play."""
    notes = [Note(72, float(beat), 1.0, 90, 0) for beat in range(64)]
    notes += [Note(43 if beat % 4 == 3 else 36, float(beat), 1.0, 90, 1) for beat in range(64)]
    loop = Bars(in_order(notes), 64.0)
    frame = frame_of(loop, SMALL_TRIO)
    windows = to_windows(loop, frame, SMALL_TRIO)

    def nats(steering):
        bias = steered_bias(steering, windows, SMALL_TRIO, frame).reshape(SMALL_TRIO.bars, 3, 16, -1)
        first = -LOWEST_PITCH + frame.of_part(1, SMALL_TRIO).shift
        return np.array([float(bias[0, 1, 0, first + pitch]) for pitch in (36, 43, 41)])

    free = nats(Steering(binding="off"))  # there the register alone tells them apart
    c, g, f = nats(Steering()) - free
    assert c > g + 0.2
    assert g > f + 0.2
    for bound in (Steering(MAJOR), Steering(MAJOR, "hard")):
        assert (nats(bound) == free).all()


def test_between_trios_every_part_changes_over_by_itself():
    model = long_model(SMALL_TRIO)
    a, b = sample_bars(model, 16, 3, 1.0), sample_bars(model, 16, 4, 1.0)
    morph = prepare_morph(model, (a, b), 1, 1.0)
    assert morph_at(model, morph, 0.0) == a
    assert morph_at(model, morph, 1.0) == b
    middle = morph_at(model, morph, 0.5)
    assert {note.part for note in middle.notes} == {0, 1, 2}
    assert middle not in (a, b)
    near = [morph_at(model, morph, x).notes for x in (0.5, 0.52)]
    assert len(set(near[0]) & set(near[1])) > len(set(near[0])) / 2
    loops = interpolated(model, a, b, 3, 1, 1.0)
    assert [loop.length for loop in loops] == [64.0, 64.0, 64.0]


def test_a_pad_over_four_loops():
    model = long_model(SMALL_TRIO)
    corners = tuple(sample_bars(model, 16, seed, 1.0) for seed in range(4))
    pad = prepare_morph(model, corners, 1, 1.0)
    assert morph_at(model, pad, 0.0, 1.0) == corners[2]
    assert morph_at(model, pad, 0.4, 0.6).notes


def test_latent_directions_move_a_trio():
    model, loop = long_model(SMALL_TRIO), trio_loop(16)
    assert shaped(model, loop, shape_of({}, {0: 0.0}), 1.0) == loop
    moved = shaped(model, loop, shape_of({}, {0: 3.0}), 1.0)
    assert moved != loop
    assert {note.part for note in moved.notes} == {0, 1, 2}


def test_the_last_bars_can_be_decoded_without_those_before(model):
    parts = len(model.config.parts)
    z = torch.randn(2, model.config.latent_size, generator=torch.Generator().manual_seed(1))
    (whole, _), first = WindowDecode(model, z, [3, 4], 1.0).run(), (13 * parts + parts - 1) * STEPS_PER_BAR
    last = WindowDecode(model, z, [3, 4], 1.0, first=first).run()[0]
    assert np.array_equal(last.window.tokens, whole.window.tokens[first:])
    if "drums" in model.config.parts:
        assert np.array_equal(last.window.velocities, whole.window.velocities[first:])
        assert np.array_equal(last.window.offsets, whole.window.offsets[first:])


def test_the_first_bars_can_be_played_before_the_others_are_decoded(model):
    config = model.config
    z = torch.randn(1, config.latent_size, generator=torch.Generator().manual_seed(1))
    early, whole = (WindowDecode(model, z, [3], 1.0) for _ in range(2))
    early.advance(2 * STEPS_PER_BAR * len(config.parts))
    first = to_bars([early.rows()[0].window], Frame(), config, 8.0)
    bars = to_bars([whole.run()[0].window], Frame(), config, 64.0)
    before = [[n for n in loop.notes if n.start < 7.8] for loop in (first, cut(bars, 0.0, 8.0))]
    assert [(n.pitch, n.start, n.velocity, n.part) for n in before[0]] == [
        (n.pitch, n.start, n.velocity, n.part) for n in before[1]
    ]  # an early stroke of the third bar lies at the end of the second
    early.run()
    assert np.array_equal(early.rows()[0].window.tokens, whole.rows()[0].window.tokens)


def test_a_trio_is_heard_when_all_of_its_parts_are():
    config = SMALL_TRIO
    loop = trio_loop(16)
    silent = Bars(tuple(note for note in loop.notes if note.part != 0), loop.length)
    for bars, heard in ((loop, True), (silent, False)):
        window = to_windows(bars, frame_of(bars, config), config)[0]
        assert is_heard(window, config, config.steps) is heard


def places_in_the_bar(bars, part, index=None):
    """How often something is struck at each place in the bar, of drums each sound by itself, as a direction."""
    tokens = grid_tokens(bars, part, index).reshape(-1, STEPS_PER_BAR)
    struck = tokens[..., None] >> np.arange(9) & 1 if part == "drums" else (tokens < PITCHES)[..., None]
    counts = struck.sum(0).ravel().astype(float)
    return counts / max(1e-9, np.linalg.norm(counts))


@pytest.mark.parametrize(("name", "closer"), [("drums-16bar", 0.2), ("melody-16bar", 0.095)])
def test_what_follows_sixteen_bars_is_more_like_them_than_like_others(name, closer):
    """Held-out songs, one window of each: drums were by .09, melodies by .075 more like their own, now by .41 and .114;
    what really comes next, by .4 and .15.
    """
    model, kept = registry.load_compiled(name, "cpu"), windows(name)
    part, whole = model.config.part, model.config.bars * 4.0
    rows = [int(np.flatnonzero(kept.song == song)[0]) for song in np.unique(kept.song)][:30]
    dynamics = [(kept.velocities[row], kept.offsets[row]) if part == "drums" else () for row in rows]
    given = [WindowTokens(kept.tokens[row].astype(np.int64), *own) for row, own in zip(rows, dynamics, strict=True)]
    sources = [to_bars([window], Frame(), model.config, whole) for window in given]
    known = np.stack([places_in_the_bar(source, part) for source in sources])
    like = np.zeros((len(rows), len(rows)))
    for seed in range(3):
        made = [continue_bars(model, source, 2, seed, 0.6) for source in sources]
        like += np.stack([places_in_the_bar(bars, part) for bars in made]) @ known.T / 3
    own = like.diagonal().mean()
    others = (like.sum() - like.trace()) / (like.size - len(rows))
    assert own > others + closer


@pytest.fixture
def happened(monkeypatch):
    """When the long drums' model reads and begins to decode, and when somebody looks about."""
    model, found = long_model(SMALL_LONG_DRUMS), []
    encode, begin = model.encode, WindowDecode.__init__

    def reads(*tokens):
        found.append("read")
        return encode(*tokens)

    def begins(*args, **others):
        found.append("decode")
        begin(*args, **others)

    monkeypatch.setattr(model, "encode", reads)
    monkeypatch.setattr(WindowDecode, "__init__", begins)
    with between_beats(lambda: found.append("look")):
        yield found


def test_what_waits_is_looked_for_before_and_after_bars_are_read_to_go_on_from_them(happened):
    heard = Bars(tuple(Note(36, float(beat), 0.1, 90) for beat in range(63)), 64.0)
    continue_bars(long_model(SMALL_LONG_DRUMS), heard, 2, 3, 1.0)
    assert happened[:4] == ["look", "read", "look", "decode"]
