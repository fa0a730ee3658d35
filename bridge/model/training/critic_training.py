"""Teaching the critics of a fitted flow what music is and what only this model makes: of points, posterior samples of
training songs against the flow's own draws; of what is played at those, songs read against it read again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bridge.model.data.chains import Chains
from bridge.model.nets.flow import MEMORY, Critic, Flow
from bridge.model.training.flow_training import follow

#: Steps there are at most, those for a corpus of no size, and with so many windows a step more.
STEPS, _FEWEST_STEPS, _WINDOWS_A_STEP = 6000, 60, 10
_BATCH = 256
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.05
_DROPOUT = 0.3
_CHECKS = 12
_CHECKED_ON = 4000
#: What is learnt from is drawn so many at a time, for as many batches as they are enough for.
_POOL = 20 * _BATCH
#: So many points (n, N), in the flow's coordinates.
_Points = Callable[[int], Tensor]


def fit_critic(flow: Flow, train: Chains, held_out: Chains, seed: int) -> None:
    """Teach `flow.critic`, as it was when it was best on held-out songs; where it never was better than saying nothing,
    it says nothing. Deterministic.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def songs(chains: Chains, count: int) -> Tensor:
        return seen(flow, songs_drawn(chains, count, rng, generator))

    def draws(count: int) -> Tensor:
        return seen(flow, draws_alone(flow, count, generator))

    with torch.no_grad():
        checked = songs(held_out, _CHECKED_ON), draws(_CHECKED_ON)
    taught = _taught(flow.ways, lambda n: songs(train, n), draws, checked, _steps(train), seed)
    flow.critic.load_state_dict(taught.state_dict())


def fit_judge(flow: Flow, train: Chains, held_out: Chains, played: Tensor, played_besides: Tensor, seed: int) -> None:
    """Teach `flow.judge`, in the same way, by the posterior means (n, Z) of what the model plays at its own draws; and
    (m, Z) of more of it, to check with.
    """
    rng = np.random.default_rng(seed)

    def songs(chains: Chains, count: int) -> Tensor:
        chosen = torch.from_numpy(rng.choice(len(chains.rows), count, p=chains.chances))
        return seen(flow, chains.means[chains.before[chosen, 0]])

    def made(count: int) -> Tensor:
        return seen(flow, played[torch.from_numpy(rng.integers(0, len(played), count))])

    checked = songs(held_out, _CHECKED_ON), seen(flow, played_besides)
    taught = _taught(flow.ways, lambda n: songs(train, n), made, checked, _steps(train), seed)
    flow.judge.load_state_dict(taught.state_dict())


def songs_drawn(chains: Chains, count: int, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Samples (count, Z) of the narrowed posteriors of windows by themselves, by the diet."""
    chosen = torch.from_numpy(rng.choice(len(chains.rows), count, p=chains.chances))
    return chains.drawn(chains.before[chosen, 0], generator)


def draws_alone(flow: Flow, count: int, generator: torch.Generator) -> Tensor:
    """Draws (count, Z) of a flow that is told of nothing before them."""
    size = len(flow.centre)
    noise = torch.randn(count, size, generator=generator)
    z: Tensor = flow(torch.full((count,), 0.5), noise, torch.zeros(count, MEMORY, size), torch.zeros(count, MEMORY))
    return z


def seen(flow: Flow, z: Tensor) -> Tensor:
    """Points (B, Z) as critics see them: (B, N) in the flow's coordinates."""
    return flow.white(z)[:, : flow.ways]


def _steps(train: Chains) -> int:
    return min(STEPS, _FEWEST_STEPS + len(train.rows) // _WINDOWS_A_STEP)


def _taught(ways: int, songs: _Points, made: _Points, checked: tuple[Tensor, Tensor], steps: int, seed: int) -> Critic:
    """A critic that has learnt to tell songs from what was made: the best there was on the pair it was checked with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = Critic(ways)
        average, best, least = copy.deepcopy(critic), copy.deepcopy(critic), 2.0 * math.log(2.0)
        learnt = list(critic.parameters())
        optimiser = torch.optim.AdamW(learnt, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        every = max(1, steps // _CHECKS)
        of_songs = of_made = torch.zeros(0, ways)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            place = step * _BATCH % _POOL
            if place == 0:
                with torch.no_grad():
                    of_songs, of_made = songs(_POOL), made(_POOL)
            batch = slice(place, place + _BATCH)
            loss = telling_loss(critic, of_songs[batch], of_made[batch], _DROPOUT)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            follow(average, critic, step)
            if (step + 1) % every == 0:
                with torch.no_grad():
                    found = telling_loss(average, *checked, 0.0).item()
                if found < least:
                    best, least = copy.deepcopy(average), found
        return best


def telling_loss(critic: nn.Module, songs: Tensor, made: Tensor, dropout: float) -> Tensor:
    """Cross-entropy, in nats, of telling songs from what was made, both counted whole."""
    of_songs, of_made = critic(songs, dropout), critic(made, dropout)
    return functional.softplus(-of_songs).mean() + functional.softplus(of_made).mean()
