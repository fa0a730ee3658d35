"""New long bars have a form: some of their bars come back."""

import copy

import numpy as np
import pytest
import torch
from small_models import SMALL_LINE, SMALL_LONG_DRUMS, SMALL_LONG_LINE, SMALL_TRIO, small_hierarchy

from bridge.model.nets.compiled_hierarchy import CompiledHierarchy
from bridge.model.nets.flow import flow_from, tensors_of
from bridge.model.playing.decoding import WindowDecode, between_beats
from bridge.model.playing.forms import drawn_forms, formed, own_forms, steps_of
from bridge.model.playing.framing import WindowTokens
from bridge.model.playing.generation import continue_bars, sample_bars, vary_bars
from bridge.model.playing.shaping import shape_of, shaped
from bridge.model.playing.steering import Steering
from bridge.music.notes import BEATS_PER_BAR, STEPS_PER_BAR

BARS = 16
#: A B A C, A B A D, A B A E, A B A F: for each bar the one that it is, or is the return of.
BACK = {bar: (0, 1, 0, bar)[bar % 4] for bar in range(BARS)}
MAJOR = frozenset({0, 2, 4, 5, 7, 9, 11})


def forms_like(back, parts):
    return torch.tensor([[[back[bar] for bar in range(BARS)]] * parts])


def with_forms(config, forms):
    model, flow, maps = small_hierarchy(config)
    plain = CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)
    flow = copy.deepcopy(flow)
    flow.set_forms(forms)
    return plain, CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)


@pytest.fixture(params=[SMALL_LONG_LINE, SMALL_LONG_DRUMS, SMALL_TRIO], ids=lambda config: config.name)
def models(request):
    """One without forms, and one with a single one."""
    config = request.param
    return with_forms(config, forms_like(BACK, len(config.parts)))


def bars_of(loop):
    """The notes that start in each bar, from its line on."""
    found = [[] for _ in range(BARS)]
    for note in loop.notes:
        bar = int(note.start // BEATS_PER_BAR)
        found[bar].append((round(note.start - bar * BEATS_PER_BAR, 6), note.part, note.pitch, note.velocity))
    return [sorted(bar) for bar in found]


def inside_bars(loop):
    """Those bars but for what lies near a line: a note may hold on into a bar, a drum be early."""
    return [[one for one in bar if 0.2 < one[0] < 3.8] for bar in bars_of(loop)]


def decoded(model, seeds=(3,), steps=()):
    z = torch.from_numpy(
        np.stack([np.random.default_rng(seed).normal(size=model.config.latent_size) for seed in seeds])
    )
    decode = WindowDecode(model, z.float(), list(seeds), 1.0, new=True)
    for count in steps:
        decode.advance(count)
    return decode.run()


def by_bar(row, config):
    return row.window.tokens.reshape(BARS, len(config.parts), STEPS_PER_BAR)


def test_bars_that_come_back_are_the_first_s_to_the_last_step_and_others_are_their_own(models):
    plain, model = models
    (row,) = decoded(model)
    bars = by_bar(row, model.config)
    assert all(np.array_equal(bars[bar], bars[back]) for bar, back in BACK.items())
    new = [bar for bar, back in BACK.items() if bar == back]
    assert len({bars[bar].tobytes() for bar in new}) == len(new)
    (other,) = decoded(plain)
    own = by_bar(other, model.config)
    assert all(np.array_equal(bars[bar], own[bar]) for bar in new), "what is new is what it would be without a form"
    assert not np.array_equal(bars, own)
    if row.window.velocities is not None and model.config.part == "drums":
        for told in (row.window.velocities, row.window.offsets):
            assert all(np.array_equal(*told.reshape(BARS, -1)[[bar, back]]) for bar, back in BACK.items())


def test_any_chunking_and_any_row_plays_the_same(models):
    model = models[1]
    (whole,) = decoded(model)
    (pieces,) = decoded(model, steps=(4, 12, 16, 5, 40, 1, 3, 100))
    among = decoded(model, (5, 3, 4))
    for other in (pieces, among[1]):
        assert np.array_equal(whole.window.tokens, other.window.tokens)
    z = torch.zeros(3, model.config.latent_size)
    decode = WindowDecode(model, z, [5, 3, 4], 1.0, new=True)
    decode.advance(STEPS_PER_BAR)
    decode.keep(1)
    alone = WindowDecode(model, z[:1], [3], 1.0, new=True).run()[0]
    assert np.array_equal(decode.run()[0].window.tokens, alone.window.tokens)


def test_new_bars_and_those_that_go_on_have_it(models):
    model = models[1]
    made = sample_bars(model, BARS, 3, 1.0)
    beats = []
    with between_beats(lambda: beats.append(1)):
        assert sample_bars(model, BARS, 3, 1.0) == made
    assert len(beats) > BARS
    for loop in (
        made,
        continue_bars(model, made, BARS, 5, 1.0),
        sample_bars(model, BARS, 4, 1.0, Steering(surprise=0.4)),
    ):
        inside = inside_bars(loop)
        assert all(inside[bar] == inside[back] for bar, back in BACK.items())


def test_bars_that_are_varied_keep_the_form_that_they_have(models):
    plain, model = models
    made = sample_bars(model, BARS, 3, 1.0)
    varied = vary_bars(plain, made, 0.6, 3, 1.0)
    before, inside = inside_bars(made), inside_bars(varied)
    assert sum(inside[bar] != before[bar] for bar in BACK) > BARS / 2
    assert all(inside[bar] == inside[back] for bar, back in BACK.items())
    loose = sample_bars(plain, BARS, 3, 1.0)
    assert len({tuple(bar) for bar in inside_bars(vary_bars(model, loose, 0.6, 3, 1.0))}) == BARS, "it has its own form"


def test_a_turned_knob_decodes_bars_that_come_back_as_one(models, monkeypatch):
    plain, model = models
    made = sample_bars(model, BARS, 3, 1.0)
    given = []
    begin = WindowDecode.__init__

    def spied(self, *args, forms=None, **others):
        given.append(forms)
        begin(self, *args, forms=forms, **others)

    monkeypatch.setattr(WindowDecode, "__init__", spied)
    assert shaped(plain, made, shape_of({}, {0: 1.0}), 1.0) != made
    assert all((form == np.array(list(BACK.values()))[:, None]).all() for forms in given for form in forms)
    assert given
    if "fill" in model.config.attributes:
        given.clear()
        shaped(plain, made, shape_of({"fill": 0.5}, {}), 1.0)
        assert given == [None], "a fill is what does not come back"


def test_short_windows_have_none():
    window = WindowTokens(np.zeros(SMALL_LINE.steps, dtype=np.int64))
    assert own_forms([window], SMALL_LINE) is None
    long = WindowTokens(np.zeros(SMALL_LONG_LINE.steps, dtype=np.int64))
    assert np.array_equal(own_forms([long], SMALL_LONG_LINE), np.zeros((1, BARS, 1)))


def test_what_binds_a_bar_binds_its_return(models):
    model = models[1]
    made = sample_bars(model, BARS, 2, 1.0, Steering(MAJOR, "hard"))
    drums = model.config.parts.index("drums") if "drums" in model.config.parts else -1
    assert {note.pitch % 12 for note in made.notes if note.part != drums} <= MAJOR


def test_of_forms_with_as_many_returns_the_bars_that_are_nearest_come_back():
    far = torch.zeros(1, BARS, 1, 3)
    far[0, :, 0, 0] = 10.0 * torch.arange(BARS)
    far[0, 9] = far[0, 4] + 0.1
    last = np.arange(BARS)
    forms = np.stack([np.where(last == bar, bar - 3, last)[None] for bar in (5, 9, 12, 15)])
    forms[1, 0, 9] = 4
    for seed in range(5):
        (form,) = drawn_forms(forms, far, [seed])
        assert form[:, 0].tolist() == forms[1, 0].tolist()


def test_windows_have_the_forms_of_songs_with_many_returns_and_with_few():
    few, many = np.arange(BARS), np.zeros(BARS, dtype=np.int64)
    forms = np.stack([few[None]] * 40 + [many[None]] * 40)
    told = torch.randn(400, BARS, 1, 4, generator=torch.Generator().manual_seed(0))
    found = drawn_forms(forms, told, range(400))[:, :, 0]
    returns = (found != few).sum(1)
    assert set(returns.tolist()) == {0, 15}
    assert 0.4 < (returns > 0).mean() < 0.6
    assert np.array_equal(found, drawn_forms(forms, told, range(400))[:, :, 0])


def test_a_return_is_told_what_the_first_was_in_every_part_by_itself():
    told = torch.randn(2, BARS, 2, 3)
    forms = np.tile(np.arange(BARS)[:, None], (2, 1, 2))
    forms[1, 7, 1] = 2
    found = formed(told, forms)
    assert torch.equal(found[1, 7, 1], told[1, 2, 1])
    found[1, 7, 1] = told[1, 7, 1]
    assert torch.equal(found, told)


def test_the_noise_of_a_return_is_the_first_s():
    form = np.tile(np.arange(BARS)[:, None], (1, 2))
    form[1, 1] = 0
    assert steps_of(form, 0, 70) == [(0, 16), (16, 16), (32, 16), (16, 16), (64, 6)]
    assert steps_of(form, 50, 4) == [(18, 4)]


def test_forms_are_stored_with_the_prior_and_only_where_there_are_any():
    flow = small_hierarchy(SMALL_TRIO)[1]
    assert "prior.forms" not in tensors_of(flow)
    assert len(flow_from(tensors_of(flow)).forms) == 0
    flow.set_forms(forms_like(BACK, 3))
    assert torch.equal(flow_from(tensors_of(flow)).forms, forms_like(BACK, 3).float())
