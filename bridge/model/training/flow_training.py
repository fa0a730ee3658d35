"""Fitting the second-stage prior to chains of unaugmented training windows."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from bridge.limits import MAX_LATENT_WAYS
from bridge.model.data.chains import Chains
from bridge.model.nets.flow import LAYERS, MEMORY, Flow
from bridge.model.nets.keys import SHIFTS

#: Steps there are at most, and those for a corpus of no size; with so many windows a step more.
STEPS, _FEWEST_STEPS, _WINDOWS_A_STEP = 4000, 60, 8
#: Long windows overlap, so there is less in as many, and their few songs were learnt by heart (after twice as many
#: steps the trio's prior was worth 45 nats a window less on songs not trained on; after three times as many that of
#: melodies of sixteen bars was worth 3 nats more, but its samples were thinner).
_LONG_STEPS, _LONG_WINDOWS_A_STEP = 900, 16
_BATCH, _FEWEST_A_BATCH = 384, 32
_LEARNING_RATE = 1.5e-3
_WEIGHT_DECAY = 0.05
_WARM_STEPS = 100
_EMA = 0.995
_CLIP = 5.0
_DROPOUT = 0.2
#: So much of what is told of the windows before long ones is left out: their songs are few, and what they do next was
#: learnt by heart (melody-16bar: being told is worth 6 nats a window without it, 9 with it, on songs not trained on).
#: By the number of parts: with .8 trios' true next windows were told from others worse than with .6.
_TOLD_DROPOUT = {1: 0.8, 3: 0.6}
#: Of what there are few songs for, fewer layers tell as much of those not trained on.
_LONG_LAYERS = 5
#: How often a window is learnt without what came before it.
_ALONE = 0.35
#: Of those with a past, how often all of it is told; else a part of it.
_ALL_TOLD = 0.6
_CHECKS = 12
_SPACE_POINTS = 20_000
#: Ways in which the posterior's noise is more than this share of all there is say nothing.
_LEAST_SIGNAL = 0.03
_MOST_WAYS = 192


def fit_flow(train: Chains, held_out: Chains, seed: int, steps: int | None = None) -> Flow:
    """A flow fitted to the chains of training songs, as it was when it was best on the held-out ones; deterministic.
    Without `steps` they are as many as suit the number of windows.
    """
    if steps is None:
        most, windows_a_step = (_LONG_STEPS, _LONG_WINDOWS_A_STEP) if train.long else (STEPS, _WINDOWS_A_STEP)
        steps = min(most, _FEWEST_STEPS + len(train.rows) // windows_a_step)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _Fit(train, held_out, seed, steps).run()


def space_of(means: Tensor, spreads: Tensor) -> tuple[Tensor, Tensor, int]:
    """Where the flow works: the centre (Z,), rows (Z, Z) that make posterior samples white, those that tell windows
    (n, Z) apart first, and how many of those there are (an even number, at least 2).
    """
    size = means.shape[1]
    centre = means.mean(0)
    away = (means - centre).double()
    between = away.T @ away / max(1, len(means) - 1)
    whole = between + torch.diag(spreads.double().square().mean(0))
    root = torch.linalg.inv(torch.linalg.cholesky(whole + 1e-6 * torch.eye(size)))
    signal, ways = torch.linalg.eigh(root @ between @ root.T)
    rows = (ways.flip(1).T @ root).float()
    count = min(_MOST_WAYS, size, int((signal > _LEAST_SIGNAL).sum()))
    return centre, rows, max(2, count - count % 2)


class _Fit:
    """One fit under way."""

    def __init__(self, train: Chains, held_out: Chains, seed: int, steps: int) -> None:
        self._train, self._held_out, self._steps = train, held_out, steps
        self._size = min(_BATCH, max(_FEWEST_A_BATCH, len(train.rows)))
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        own = train.before[torch.from_numpy(train.drawn_by_diet(_SPACE_POINTS, seed)), 0]
        centre, rows, ways = space_of(train.means[own], train.spreads[own])
        self._flow = Flow(len(centre), ways, layers=_LONG_LAYERS if train.long else LAYERS)
        self._flow.set_space(centre, rows)
        if len(centre) > MAX_LATENT_WAYS:
            self._flow.keep_ways_that_tell()
        if train.turned.any():
            shares = [float(train.chances[train.turned == shift].sum()) for shift in SHIFTS]
            self._flow.set_keys(torch.tensor(shares) / sum(shares))
        self._average = copy.deepcopy(self._flow)

    def run(self) -> Flow:
        """Fit, and return the best there was."""
        learnt = [p for p in self._flow.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(learnt, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.99))
        best, best_score = copy.deepcopy(self._average), -math.inf
        every = max(1, self._steps // _CHECKS)
        for step in range(self._steps):
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * pace(step, self._steps, _WARM_STEPS)
            batch = training_batch(self._train, self._size, self._rng, self._generator)
            loss = likelihood_loss(self._flow, self._train, batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learnt, _CLIP)
            optimiser.step()
            follow(self._average, self._flow, step)
            if (step + 1) % every == 0:
                score = sum(densities(self._average, self._held_out, 0))
                if score > best_score:
                    best, best_score = copy.deepcopy(self._average), score
        return best.eval()


def training_batch(
    train: Chains, size: int, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Posterior samples (B, Z) of windows, and what came before them, (B, 4, Z) and (B, 4): all of it, some of it or
    nothing.
    """
    which = torch.from_numpy(rng.choice(len(train.rows), size, p=train.chances))
    alone = (torch.rand(size, generator=generator) < _ALONE) | (train.after[which] < 0)
    told = torch.randint(1, MEMORY + 1, (size,), generator=generator)
    told = torch.where(torch.rand(size, generator=generator) < _ALL_TOLD, MEMORY, told)
    target = torch.where(alone, train.before[which, 0], train.after[which])
    return train.drawn(target, generator), *train.context(which, torch.where(alone, 0, told))


def likelihood_loss(flow: Flow, train: Chains, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What a flow loses on a batch, in nats a window."""
    told_dropout = _TOLD_DROPOUT[train.parts] if train.long else 0.0
    return -flow.log_density(*batch, dropout=_DROPOUT, told_dropout=told_dropout).mean()


def pace(step: int, steps: int, warm_steps: int) -> float:
    """The share of the highest rate of learning at a step: rising at first, then down a cosine."""
    return min(1.0, (step + 1) / warm_steps) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


@torch.no_grad()
def follow(average: nn.Module, live: nn.Module, step: int) -> None:
    """Bring the moving average of what is learnt up to date after a step, the sooner the fewer there were."""
    keep = min(_EMA, (step + 1) / (step + 10))
    for mean, value in zip(average.parameters(), live.parameters(), strict=True):
        if value.requires_grad:
            mean.lerp_(value, 1.0 - keep)


@torch.no_grad()
def densities(flow: Flow, chains: Chains, seed: int) -> tuple[float, float]:
    """The mean log density, in nats, of posterior samples of windows that come next, given all windows before them; and
    that of windows by themselves. Without any that come next both are the latter.
    """
    generator = torch.Generator().manual_seed(seed)
    every, going_on = torch.arange(len(chains.rows)), chains.followed()
    nothing = chains.context(every, 0)
    alone = flow.log_density(chains.drawn(chains.before[:, 0], generator), *nothing).mean().item()
    if not len(going_on):
        return alone, alone
    after = chains.drawn(chains.after[going_on], generator)
    return flow.log_density(after, *chains.context(going_on)).mean().item(), alone


@torch.no_grad()
def context_gains(flow: Flow, chains: Chains, seed: int) -> Tensor:
    """By how many nats (m,) each window that comes next is likelier to the flow that is told of the windows before it
    than to the same flow when it is told of none; a posterior sample of each, the same for both.
    """
    going_on = chains.followed()
    after = chains.drawn(chains.after[going_on], torch.Generator().manual_seed(seed))
    told, alone = (flow.log_density(after, *chains.context(going_on, longest)) for longest in (MEMORY, 0))
    return told - alone
