"""The second-stage prior: where music lies in the latent space, and where it goes from the bars before.

N(0, 1) is what training pulls towards, not where the music ends up: its samples are poor. The prior is a mixture: with
some chance a window comes back to one of up to four before it, as real music does; else it is new, and a small
normalising flow of affine couplings (Dinh et al. 2017, arXiv 1605.08803), told of the windows before, says where it
lies. It works in coordinates in which posterior samples are white and the ways that tell windows apart come first;
ways that tell nothing are N(0, 1), of which the middle is taken (with noise there, what is drawn costs up to .05 more
of what songs cost, and is told from them more easily). All of it is in one key (`keys`), but knows how
often songs are in which. Whatever is drawn comes from noise that is given: nothing in here is random.

A smooth flow leaves mass between the places where music is. A critic says of a point how much likelier it is to be
music than to be such a draw; of many draws one is taken by those odds (importance resampling; Grover et al. 2019,
arXiv 1906.09531). What is played at such a point can still go wrong, and that does not show in the point: a second
critic, the judge, says it of bars that were played and read again.

Of long windows there are too few songs for a flow to know where they lie, and what it draws for them is what songs have
in common. For those the flow says what comes next, and a window with nothing before it lies near an exemplar, which is
the point of a window of some song, on the way to another, or one made of two such (Norouzi et al. 2020, arXiv
2004.04795, whose prior is spread about its exemplars).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from bridge.model.nets import noise
from bridge.model.nets.keys import SHIFTS
from bridge.model.nets.scripting import kept

#: How many windows before it a window can go on from.
MEMORY = 4
LAYERS = 10
_HIDDEN = 256
_SUMMARY = 96
_SUMMARY_HIDDEN = 160
_CRITIC_HIDDEN = 256
#: No layer stretches by more than e to this power, so that no point runs away.
_STRETCH_BOUND = 1.5
#: How likely a return to a window before is held before anything is learnt, as a logarithm beside "new" at 0.
_RETURN_LOGIT = -2.0
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def _fixed(value: Tensor) -> nn.Parameter:
    """Part of the weights, but nothing that is learnt by descent."""
    return nn.Parameter(value, requires_grad=False)


class _Coupling(nn.Module):
    """Half of the coordinates is moved and stretched by what the other half and the summary say, after a rotation."""

    def __init__(self, ways: int, number: int) -> None:
        super().__init__()
        self.kept: int = ways // 2
        self.rotation = _fixed(_turned(ways, number).clone())
        self.into = nn.Linear(self.kept + _SUMMARY, _HIDDEN)
        self.inner = nn.Linear(_HIDDEN, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 2 * (ways - self.kept))

    def moves(self, kept: Tensor, summary: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """How the other half is stretched (as a logarithm) and moved, each (B, half); `summary` of one row is all's."""
        weight = self.into.weight
        told = functional.linear(summary, weight[:, self.kept :], self.into.bias)
        inner = functional.silu(functional.linear(kept, weight[:, : self.kept]) + told)
        if dropout > 0.0:
            inner = functional.dropout(inner, dropout)
        inner = inner + functional.silu(self.inner(inner))
        both = self.out(inner)
        half = both.size(1) // 2
        return _bounded(both[:, :half]), both[:, half:]

    def forward(self, u: Tensor, summary: Tensor) -> Tensor:
        """From noise towards music (B, N)."""
        kept, other = u[:, : self.kept], u[:, self.kept :]
        stretch, move = self.moves(kept, summary, 0.0)
        return torch.mm(torch.cat([kept, other * torch.exp(stretch) + move], dim=1), self.rotation.t())

    def back(self, y: Tensor, summary: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """From music towards noise (B, N), and the logarithm of how volumes change on the way (B,)."""
        y = torch.mm(y, self.rotation)
        kept, other = y[:, : self.kept], y[:, self.kept :]
        stretch, move = self.moves(kept, summary, dropout)
        return torch.cat([kept, (other - move) * torch.exp(-stretch)], dim=1), -stretch.sum(1)


class _LaidOut(nn.Module):
    """A coupling from noise towards music alone, its weights laid out as the products of a few rows read them: three
    quarters of the time.
    """

    def __init__(self, coupling: _Coupling) -> None:
        super().__init__()
        self.kept: int = coupling.kept
        into, inner, out = coupling.into, coupling.inner, coupling.out
        self.into, self.told = kept(into.weight[:, : self.kept].T), kept(into.weight[:, self.kept :].T)
        self.inner, self.out, self.rotation = kept(inner.weight.T), kept(out.weight.T), kept(coupling.rotation.T)
        self.into_bias, self.inner_bias, self.out_bias = kept(into.bias), kept(inner.bias), kept(out.bias)

    def forward(self, u: Tensor, summary: Tensor) -> Tensor:
        """As `_Coupling.forward`."""
        first, other = u[:, : self.kept], u[:, self.kept :]
        told = torch.matmul(summary, self.told) + self.into_bias  # mm: torch.jit would sum both by way of one cat
        inner = functional.silu(torch.mm(first, self.into) + told)
        inner = inner + functional.silu(torch.addmm(self.inner_bias, inner, self.inner))
        stretch, move = torch.addmm(self.out_bias, inner, self.out).chunk(2, 1)
        return torch.mm(torch.cat([first, other * torch.exp(_bounded(stretch)) + move], dim=1), self.rotation)


class Critic(nn.Module):
    """How much likelier a point of N ways is to be music than to be made by the model, as a logarithm; of all points
    nothing, before it has learnt.
    """

    def __init__(self, ways: int) -> None:
        super().__init__()
        self.into = nn.Linear(ways, _CRITIC_HIDDEN)
        self.inner = nn.Linear(_CRITIC_HIDDEN, _CRITIC_HIDDEN)
        self.out = nn.Linear(_CRITIC_HIDDEN, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, y: Tensor, dropout: float = 0.0) -> Tensor:
        """Log odds (B,) of points (B, N) in the flow's coordinates."""
        y = functional.silu(self.into(y))
        if dropout > 0.0:
            y = functional.dropout(y, dropout)
        y = functional.silu(self.inner(y))
        if dropout > 0.0:
            y = functional.dropout(y, dropout)
        odds: Tensor = self.out(y).squeeze(1)
        return odds

    @property
    def speaks(self) -> bool:
        """Whether it says anything."""
        return bool(self.out.weight.any())


class Flow(nn.Module):
    """p(z | up to four windows before) over latents of size Z, of which N `ways` tell windows apart.

    Context is (B, 4, Z): posterior means of the windows before, the nearest first; `present` (B, 4) is 1 where there
    is one, else 0. With none present it is the prior of a window alone; of that alone speak the critic, of draws
    (`odds`), and the judge, of the posterior means of what was played at them (`verdict`). Neither counts in `forward`
    or in the density. Where there are `exemplars` (K, N), in the flow's coordinates, windows alone are between those
    (`between`). `forms` (M, P, U) are what windows of U bars and P parts are like: see `playing.forms`.
    """

    def __init__(self, latent_size: int, ways: int, exemplars: int = 0, layers: int = LAYERS) -> None:
        super().__init__()
        self.ways: int = ways
        self.centre = _fixed(torch.zeros(latent_size))
        self.whitening = _fixed(torch.eye(latent_size))
        self.unwhitening = _fixed(torch.eye(latent_size))
        told = MEMORY * (ways + 1)
        self.told = nn.Linear(told, _SUMMARY_HIDDEN)
        self.summary = nn.Linear(_SUMMARY_HIDDEN, _SUMMARY)
        self.expected = nn.Linear(told, ways)
        self.scale = nn.Linear(_SUMMARY, ways)
        self.layers = nn.ModuleList(_Coupling(ways, number) for number in range(layers))
        self.choice = nn.Linear(_SUMMARY, 1 + MEMORY)
        self.return_scale = nn.Parameter(torch.full((MEMORY, ways), -1.0))
        self.keys = _fixed(torch.full((len(SHIFTS),), 1.0 / len(SHIFTS)))
        self.exemplars = _fixed(torch.zeros(exemplars, ways))
        self.forms = _fixed(torch.zeros(0, 1, 1))
        self.critic = Critic(ways)
        self.judge = Critic(ways)
        with torch.no_grad():
            self.choice.bias.copy_(torch.tensor([0.0] + [_RETURN_LOGIT] * MEMORY))
            last = [getattr(layer, "out") for layer in self.layers]  # noqa: B009 - typed as any module
            for linear in (self.expected, self.scale, *last):
                linear.weight.zero_()
                linear.bias.zero_()

    def lay_out(self) -> None:
        """Let go of what only training needs, and lay out what draws need: from here on it has no density."""
        self.layers = nn.ModuleList(_LaidOut(layer) for layer in self.layers if isinstance(layer, _Coupling))

    def set_space(self, centre: Tensor, whitening: Tensor) -> None:
        """Take the coordinates: the middle of posterior samples (Z,), and rows (Z, Z) that make them white."""
        with torch.no_grad():
            self.centre.copy_(centre)
            self.whitening.copy_(whitening)
            self.unwhitening.copy_(torch.linalg.inv(whitening.double()))

    def keep_ways_that_tell(self) -> None:
        """Let go of the ways that tell nothing: draws are what they were, densities those of the other ways. A large
        latent's matrices are most of what a prior weighs.
        """
        self.whitening = _fixed(self.whitening[: self.ways].clone())
        self.unwhitening = _fixed(self.unwhitening[:, : self.ways].clone())

    @property
    def knows_all_ways(self) -> bool:
        """Whether those that tell nothing are still known."""
        return len(self.whitening) == len(self.centre)

    def set_keys(self, chances: Tensor) -> None:
        """Take how likely (12,) each of `SHIFTS` is, by which windows have to be moved into the flow's key."""
        with torch.no_grad():
            self.keys.copy_(chances)

    def set_exemplars(self, points: Tensor) -> None:
        """Take the points (K, Z) of windows that draws with nothing before them are to be near."""
        with torch.no_grad():
            self.exemplars = _fixed(self.white(points)[:, : self.ways].clone())

    def set_forms(self, forms: Tensor) -> None:
        """Take the forms (M, P, U) of windows: for each bar of each part the number of the one it is the return of."""
        self.forms = _fixed(forms.float())

    @property
    def knows_keys(self) -> bool:
        """Whether some keys are likelier than others: of drums none is."""
        return bool((self.keys != self.keys[0]).any())

    def white(self, z: Tensor) -> Tensor:
        """Points (..., Z) in the flow's coordinates."""
        return torch.matmul(z - self.centre, self.whitening.t())

    def _told(self, context: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """The windows before (B, 4, N) in the flow's coordinates, and all that is told (B, 4 N + 4)."""
        before = self.white(context)[:, :, : self.ways] * present.unsqueeze(2)
        return before, torch.cat([before.flatten(1), present], dim=1)

    def _chances(self, summary: Tensor, present: Tensor) -> Tensor:
        """Log probabilities (B, 5): new, or a return to each of the windows before."""
        absent = torch.cat([torch.zeros_like(present[:, :1]), (present - 1.0) * 1e9], dim=1)
        return torch.log_softmax(self.choice(summary) + absent, dim=1)

    def forward(
        self, choice: Tensor, noise: Tensor, context: Tensor, present: Tensor, near_last: float = 0.0
    ) -> Tensor:
        """Points (B, Z), from `choice` (B,) uniform in (0, 1) and normal `noise` (B, Z); one context serves all. Those
        that are no return to a window before are drawn `near_last` (0 to 1, their correlation) to the nearest of them,
        as far out as both are: what follows lies near to it anyhow, and would come out further from window to window.
        """
        before, told = self._told(context, present)
        summary = functional.silu(self.summary(functional.silu(self.told(told))))
        y = noise[:, : self.ways]
        for layer in self.layers:
            y = layer(y, summary)
        new = y * torch.exp(_bounded(self.scale(summary))) + self.expected(told)
        near = near_last * present[:, :1]
        both = near * before[:, 0] + (1.0 - near.square()).sqrt() * new
        new = _as_far_out(both, torch.lerp(_norms(new), _norms(before[:, 0]), near))
        returned = before + torch.exp(self.return_scale) * noise[:, : self.ways].unsqueeze(1)
        bounds = self._chances(summary, present).exp().cumsum(1)[:, :-1]
        taken = (choice.unsqueeze(1) > bounds).sum(1)
        kinds = torch.cat([new.unsqueeze(1), returned], dim=1)
        y = kinds.gather(1, taken.view(-1, 1, 1).expand(-1, 1, self.ways)).squeeze(1)
        return self.centre + torch.mm(y, self.unwhitening[:, : self.ways].t())

    def between(self, first: Tensor, second: Tensor, towards: float) -> Tensor:
        """Points (B, Z) near the exemplars with numbers `first` (B,), a share of the way `towards` those with
        numbers `second` (B,), and as far out as they are.
        """
        return self.on_the_way(self.exemplars[first], self.exemplars[second], towards)

    def on_the_way(self, near: Tensor, far: Tensor, towards: float) -> Tensor:
        """As `between`, of points (B, N) in the flow's coordinates."""
        y = _as_far_out(torch.lerp(near, far, towards), torch.lerp(_norms(near), _norms(far), towards))
        return self.centre + torch.mm(y, self.unwhitening[:, : self.ways].t())

    def odds(self, z: Tensor) -> Tensor:
        """Log odds (B,) of points (B, Z) to be music rather than draws with nothing before."""
        odds: Tensor = self.critic(self.white(z)[:, : self.ways])
        return odds

    def verdict(self, z: Tensor) -> Tensor:
        """Log odds (B,) of windows read at points (B, Z) to be music rather than played by the model."""
        odds: Tensor = self.judge(self.white(z)[:, : self.ways])
        return odds

    def log_density(
        self, z: Tensor, context: Tensor, present: Tensor, dropout: float = 0.0, told_dropout: float = 0.0
    ) -> Tensor:
        """Log density (B,) in nats of points (B, Z). For training: `dropout` of what is inside, and `told_dropout` of
        what is told of the windows before.
        """
        y = self.white(z)
        rest = -0.5 * y[:, self.ways :].square().sum(1) - (y.shape[1] - self.ways) * _LOG_ROOT_TWO_PI
        y = y[:, : self.ways]
        before, told = self._told(context, present)
        told = functional.dropout(told, told_dropout, told_dropout > 0.0)
        hidden = functional.dropout(functional.silu(self.told(told)), dropout, dropout > 0.0)
        summary = functional.silu(self.summary(hidden))
        scale = _bounded(self.scale(summary))
        u, volume = (y - self.expected(told)) * torch.exp(-scale), -scale.sum(1)
        for layer in reversed(self.layers):
            assert isinstance(layer, _Coupling)
            u, change = layer.back(u, summary, dropout)
            volume = volume + change
        new = volume - 0.5 * u.square().sum(1)
        away = (y.unsqueeze(1) - before) * torch.exp(-self.return_scale)
        returned = -0.5 * away.square().sum(2) - self.return_scale.sum(1)
        kinds = torch.cat([new.unsqueeze(1), returned], dim=1) + self._chances(summary, present)
        density: Tensor = torch.logsumexp(kinds, dim=1) - self.ways * _LOG_ROOT_TWO_PI + rest
        return density + torch.linalg.slogdet(self.whitening)[1] if self.knows_all_ways else density


def _norms(y: Tensor) -> Tensor:
    return y.square().sum(1, keepdim=True).sqrt()


def _as_far_out(y: Tensor, norms: Tensor) -> Tensor:
    """Points (B, N) with these norms (B, 1)."""
    return y * norms / _norms(y).clamp_min(1e-6)


def _bounded(stretch: Tensor, bound: float = _STRETCH_BOUND) -> Tensor:
    return bound * torch.tanh(stretch / bound)


#: What is left out of a weights file where it says nothing, by how names begin.
_OPTIONAL = ("critic.", "judge.", "keys", "exemplars", "forms")
_ROTATION = ".rotation"


def tensors_of(flow: Flow) -> dict[str, Tensor]:
    """A flow by name, for the weights file; what follows from the rest is left out, and so is what says nothing:
    critics that have not learnt, keys that are all as likely, exemplars and forms that there are none of.
    """
    says = {"critic.": flow.critic.speaks, "judge.": flow.judge.speaks, "keys": flow.knows_keys}
    says |= {"exemplars": len(flow.exemplars) > 0, "forms": len(flow.forms) > 0}
    left_out = tuple(name for name in _OPTIONAL if not says[name])
    if flow.knows_all_ways:
        left_out += ("unwhitening",)
    return {
        f"prior.{name}": value
        for name, value in flow.state_dict().items()
        if not name.startswith(left_out) and not name.endswith(_ROTATION)
    }


def flow_from(tensors: dict[str, Tensor]) -> Flow:
    """A flow from the tensors of `tensors_of`, which are taken out of `tensors`.

    Raises:
        KeyError, RuntimeError: tensors that are missing or of another shape.
    """
    own = {name.removeprefix("prior."): tensors.pop(name) for name in list(tensors) if name.startswith("prior.")}
    layers = sum(name.startswith("layers.") and name.endswith(".into.weight") for name in own)
    flow = Flow(len(own["centre"]), len(own["return_scale"][0]), len(own.get("exemplars", ())), layers)
    if len(own["whitening"]) < len(own["centre"]):
        flow.keep_ways_that_tell()
    else:
        own["unwhitening"] = flow.unwhitening
    flow.set_forms(own.get("forms", flow.forms))
    for silent in _OPTIONAL:
        if not any(name.startswith(silent) for name in own):
            own |= {name: value for name, value in flow.state_dict().items() if name.startswith(silent)}
    for name, made in flow.state_dict().items():  # files of before rotations were made hold others
        if name.endswith(_ROTATION):
            own[name] = _orthogonal(own[name]) if name in own else made
    flow.load_state_dict(own)
    if flow.knows_all_ways:
        flow.set_space(own["centre"], own["whitening"])
    return flow.eval()


@lru_cache(maxsize=32)
def _turned(ways: int, number: int) -> Tensor:
    """A rotation (N, N) by chance, the same one for the same layer everywhere: it need not be stored."""
    chance = torch.from_numpy(noise.normal(number, noise.ROTATIONS, ways * ways)).view(ways, ways).double()
    q, r = torch.linalg.qr(chance)
    turned: Tensor = (q * r.diagonal().sign()).float()  # whichever signs a solver takes
    return turned


def _orthogonal(matrix: Tensor) -> Tensor:
    """The rotation that is nearest to a coarsely stored one (Newton's iteration for the polar decomposition; Higham
    1986): a flow goes back by the transpose.
    """
    q = matrix.double()
    for _ in range(3):
        q = 1.5 * q - 0.5 * q @ q.T @ q
    return q.float()
