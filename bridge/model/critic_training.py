"""Teaching the critic of a fitted flow: posterior samples of training songs against the flow's own draws."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bridge.model.chains import Chains
from bridge.model.flow import MEMORY, Critic, Flow
from bridge.model.flow_training import follow

#: Steps there are at most, those for a corpus of no size, and with so many windows a step more.
STEPS, _FEWEST_STEPS, _WINDOWS_A_STEP = 6000, 60, 10
_BATCH = 256
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.05
_DROPOUT = 0.3
_CHECKS = 12
_CHECKED_ON = 4000
#: The flow's draws are made so many at a time, for as many batches as they are enough for.
_POOL = 20 * _BATCH


def fit_critic(flow: Flow, train: Chains, held_out: Chains, seed: int) -> None:
    """Teach `flow.critic`, as it was when it was best on held-out songs; where it never was better than saying nothing,
    it says nothing. Deterministic.
    """
    steps = min(STEPS, _FEWEST_STEPS + len(train.rows) // _WINDOWS_A_STEP)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow.critic.load_state_dict(_Teaching(flow, train, held_out, seed, steps).run().state_dict())


class _Teaching:
    """One critic under way."""

    def __init__(self, flow: Flow, train: Chains, held_out: Chains, seed: int, steps: int) -> None:
        self._flow, self._train, self._steps = flow, train, steps
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._critic = Critic(flow.ways)
        self._average = copy.deepcopy(self._critic)
        self._checked = self._songs(held_out, _CHECKED_ON), self._draws(_CHECKED_ON)

    def run(self) -> Critic:
        """Teach, and return the best there was."""
        learnt = list(self._critic.parameters())
        optimiser = torch.optim.AdamW(learnt, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        best, least = copy.deepcopy(self._average), 2.0 * math.log(2.0)
        songs = draws = torch.zeros(0, self._flow.ways)
        every = max(1, self._steps // _CHECKS)
        for step in range(self._steps):
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * step / self._steps))
            place = step * _BATCH % _POOL
            if place == 0:
                songs, draws = self._songs(self._train, _POOL), self._draws(_POOL)
            batch = slice(place, place + _BATCH)
            loss = _loss(self._critic, songs[batch], draws[batch], _DROPOUT)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            follow(self._average, self._critic, step)
            if (step + 1) % every == 0:
                with torch.no_grad():
                    found = _loss(self._average, *self._checked, 0.0).item()
                if found < least:
                    best, least = copy.deepcopy(self._average), found
        return best

    @torch.no_grad()
    def _songs(self, chains: Chains, count: int) -> Tensor:
        """Posterior samples (n, N) of windows drawn by the diet, in the flow's coordinates."""
        chosen = torch.from_numpy(self._rng.choice(len(chains.rows), count, p=chains.chances))
        z = chains.drawn(chains.before[chosen, 0], self._generator)
        return self._flow.white(z)[:, : self._flow.ways]

    @torch.no_grad()
    def _draws(self, count: int) -> Tensor:
        """Draws (n, N) of the flow with nothing before them, in its coordinates."""
        size = len(self._flow.centre)
        noise = torch.randn(count, size, generator=self._generator)
        z = self._flow(torch.full((count,), 0.5), noise, torch.zeros(count, MEMORY, size), torch.zeros(count, MEMORY))
        return self._flow.white(z)[:, : self._flow.ways]


def _loss(critic: Critic, songs: Tensor, draws: Tensor, dropout: float) -> Tensor:
    """Cross-entropy, in nats, of telling songs from draws, both counted whole."""
    of_songs, of_draws = critic(songs, dropout), critic(draws, dropout)
    return functional.softplus(-of_songs).mean() + functional.softplus(of_draws).mean()
