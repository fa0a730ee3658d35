"""What every training run does: steps, schedules, moving average, validation, checkpoints. What it trains is a
subclass's business.

Of libraries it needs torch, numpy and safetensors, and mido to read a corpus that is not indexed yet: it runs where the
rest is not installed.
"""

from __future__ import annotations

import copy
import io
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as weights_as_bytes
from torch import Tensor, nn

from bridge import whole_file
from bridge.model.data.training_data import Array
from bridge.model.evaluation.scoring import ACTIVE_NATS, Readings, macro_note_f1, step_accuracy
from bridge.model.nets.config import ModelConfig
from bridge.model.training import ranks
from bridge.model.training.curves import CURVES, forget_rows_after, note_row

log = logging.getLogger(__name__)

DROPOUT = 0.15
#: Velocities and offsets are noisier than hits (77 nats a window against 40): at full weight they would take the
#: latent's rate for themselves.
DYNAMICS_SHARE = 0.25
_WEIGHT_DECAY = 0.01
EMA = 0.999
_CLIP = 1.0
_VALIDATIONS = 40
_VALIDATION_AT_MOST_EVERY_S = 90.0
_CHECKPOINT_EVERY_S = 120.0
_NEARLY = 1e-9
CHECKPOINT: Final = "checkpoint.pt"
#: What a run leaves in its folder.
_LEAVES: Final = (CHECKPOINT, "best.safetensors", CURVES)
#: A step that took longer was not training: the machine slept, or the process was stopped.
_LONGEST_STEP_S = 60.0


@dataclass(slots=True)
class Progress:
    """Where a training run stands; the mean losses are since the last report, in nats a window."""

    fraction: float
    steps: int
    windows: int
    elapsed_s: float
    token_nats: float
    dynamics_nats: float
    rate_nats: float
    note_f1: float = math.nan
    forced: float = math.nan
    sampled: float = math.nan
    active: int = 0


class CheckpointError(ValueError):
    """A checkpoint that a run cannot go on from."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run is: so many seconds of training, or, where `steps` are given, so many steps: what comes of those
    is the seed's alone, whatever the speed of the machine.
    """

    seconds: float = math.inf
    steps: int | None = None

    def share(self, part: float) -> Length:
        """A run that is a part of this one."""
        return Length(self.seconds * part, None if self.steps is None else max(1, round(self.steps * part)))

    def fraction(self, run: Run) -> float:
        """How much of it a run has done: 1 and more at its end."""
        return run.elapsed_s / self.seconds if self.steps is None else run.steps / self.steps

    @property
    def between_validations(self) -> float:
        """The fraction of the run from one validation to the next: they cost time, but no steps."""
        rarest = _VALIDATION_AT_MOST_EVERY_S / self.seconds if self.steps is None else 1.0 / self.steps
        return max(1.0 / _VALIDATIONS, rarest)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How learning rate, beta and the mixing of own tokens go over a run, all by fractions of its length."""

    peak_rate: float
    last_rate: float
    warm_up_steps: int
    first_beta: float
    beta_full_at: float
    mix_from: float
    mix_until: float
    mix_most: float = 0.5

    def at(self, fraction: float, step: int) -> tuple[float, float, float]:
        """Learning rate, beta and mixing probability at a fraction of the run."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, fraction)))
        rate = (self.last_rate + (self.peak_rate - self.last_rate) * cosine) * min(1.0, (step + 1) / self.warm_up_steps)
        beta = self.first_beta + (1.0 - self.first_beta) * min(1.0, fraction / self.beta_full_at)
        mix = self.mix_most * min(1.0, max(0.0, (fraction - self.mix_from) / (self.mix_until - self.mix_from)))
        return rate, beta, mix


FROM_SCRATCH = Schedule(1.5e-3, 2e-5, 200, first_beta=0.02, beta_full_at=0.4, mix_from=0.3, mix_until=0.8)
#: Weights that know music already: small steps, and everything in force from the start.
FINE_TUNING = Schedule(2e-4, 1e-5, 50, first_beta=1.0, beta_full_at=1.0, mix_from=-1.0, mix_until=0.0)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 matrix products are clearly faster than float32: on a CPU that has instructions for them. It is
    asked, not timed: the weights are to be the same in the next run. A GPU's LSTMs (cuDNN) know no bfloat16; its
    float32 products are rounded to TF32 instead.
    """
    if device.type != "cpu":
        return False
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in asked if ask is not None)


class Optimiser:
    """AdamW on float32 master weights, with clipping and an exponential moving average; the model may be bfloat16.

    A weight without a gradient stays as it is.
    """

    def __init__(self, model: nn.Module, memory: float = EMA) -> None:
        """The average keeps a share `memory` of itself at every step."""
        self._memory = memory
        self.names = [name for name, _ in model.named_parameters()]
        self._live = list(model.parameters())
        self.master = [p.detach().float().clone().requires_grad_() for p in self._live]
        self.ema = [p.detach().clone() for p in self.master]
        self._adam = torch.optim.AdamW(
            self.master, lr=FROM_SCRATCH.peak_rate, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)
        )

    def step(self, rate: float, steps_done: int) -> None:
        """One update of the master weights from the model's gradients; the model gets the result."""
        for master, live in zip(self.master, self._live, strict=True):
            master.grad = None if live.grad is None else live.grad.float()
            live.grad = None
        ranks.average(master.grad for master in self.master if master.grad is not None)
        torch.nn.utils.clip_grad_norm_(self.master, _CLIP)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        keep = min(self._memory, (1.0 + steps_done) / (10.0 + steps_done))
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, [p.detach() for p in self.master], 1.0 - keep)
            self._publish()

    def _publish(self) -> None:
        for live, master in zip(self._live, self.master, strict=True):
            live.copy_(master)

    def averaged(self) -> dict[str, Tensor]:
        """The moving average of every weight, float32, by name."""
        return dict(zip(self.names, self.ema, strict=True))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"master": [p.detach() for p in self.master], "ema": self.ema, "adam": self._adam.state_dict()}

    @torch.no_grad()
    def begin_at(self, weights: Mapping[str, Tensor]) -> None:
        """Take these weights, by name, as rank 0 has them; to be done before the first step."""
        for name, ours, average in zip(self.names, self.master, self.ema, strict=True):
            if name in weights:
                ours.copy_(ranks.first_has(weights[name].to(ours)))
                average.copy_(ours)
        self._publish()

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off. Raises a ValueError that names a weight of another shape, if one is."""
        for name, ours, theirs in zip(2 * self.names, self.master + self.ema, state["master"] + state["ema"],
                                      strict=True):  # fmt: skip
            if ours.shape != theirs.shape:
                expected, found = (" by ".join(map(str, x.shape)) for x in (ours, theirs))
                raise ValueError(f"{name} of {expected}, found {found}")
            ours.copy_(theirs)
        self._adam.load_state_dict(state["adam"])
        self._publish()


class Run(ABC):
    """One training run of one model in one folder. The average of its weights keeps a share `memory` of itself at every
    step; `data` says what music it learns from.
    """

    memory = EMA
    data = ""

    def __init__(
        self,
        config: ModelConfig,
        model: nn.Module,
        out_dir: Path,
        device: torch.device,
        seed: int,
        schedule: Schedule = FROM_SCRATCH,
    ) -> None:
        self.config, self.out_dir, self.device, self.seed, self.schedule = config, out_dir, device, seed, schedule
        self.model = model.to(device)
        self.reference = copy.deepcopy(self.model).eval()
        self.optimiser = Optimiser(self.model, self.memory)  # its weights are as they were before they are rounded
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.bfloat16 = bool(ranks.first_says(float(fast_bfloat16(device)), device))
        if self.bfloat16:
            self.to_compute()
        self.steps = self.windows = 0
        self.elapsed_s = 0.0
        self.best_f1 = -1.0

    @abstractmethod
    def to_compute(self) -> None:
        """Put the heavy layers into bfloat16."""

    @abstractmethod
    def open_source(self, seed: int) -> int:
        """Make ready to draw training windows; returns how many there are."""

    @abstractmethod
    def losses(self, batch_size: int, fraction: float) -> tuple[Tensor, Tensor, Tensor]:
        """Token, dynamics and rate nats of a new batch."""

    @abstractmethod
    def readings(self) -> tuple[list[Readings], list[bool], Array]:
        """What the averaged weights (in `reference`) make of the validation windows, a reading a part; which parts are
        drums; and the source of each window.
        """

    def train_step(self, batch_size: int, fraction: float) -> Tensor:
        """One step; returns (token nats, dynamics nats, rate nats), detached."""
        rate, beta, _ = self.schedule.at(fraction, self.steps)
        tokens, dynamics, nats = self.losses(batch_size, fraction)
        loss = tokens + DYNAMICS_SHARE * dynamics + beta * torch.relu(nats - self.config.free_nats)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(rate, self.steps)
        self.steps += 1
        self.windows += batch_size * ranks.count()
        return torch.stack([tokens, dynamics, nats]).detach()

    def validate(self, progress: Progress) -> None:
        """Score the averaged weights on validation windows; keep them on disk when they are the best so far."""
        if not ranks.is_first():
            return
        self.reference.load_state_dict(self.optimiser.averaged(), strict=False)
        read, drums, groups = self.readings()
        scores = [macro_note_f1(x.sampled, x.truth, groups, drums=d) for x, d in zip(read, drums, strict=True)]
        progress.note_f1 = fmean(scores)
        progress.forced = fmean(step_accuracy(x.forced, x.truth) for x in read)
        progress.sampled = fmean(step_accuracy(x.sampled, x.truth) for x in read)
        progress.active = int((read[0].rate.mean(0) > ACTIVE_NATS).sum())
        log.info("%s", progress)
        if not math.isnan(progress.token_nats):
            note_row(self.out_dir, asdict(progress))
        if progress.note_f1 > self.best_f1:
            self.best_f1 = progress.note_f1
            meta = {"note_f1": f"{self.best_f1:.6f}", "steps": str(self.steps), "windows": str(self.windows)}
            meta.update(minutes=f"{self.elapsed_s / 60:.1f}", device=self.device.type)
            weights = {name: value.detach().cpu().contiguous() for name, value in self.optimiser.averaged().items()}
            whole_file.write(self.out_dir / "best.safetensors", weights_as_bytes(weights, meta))

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        if not ranks.is_first():
            return
        state = {
            "name": self.config.name, "steps": self.steps, "windows": self.windows, "elapsed_s": self.elapsed_s,
            "best_f1": self.best_f1, "data": self.data, "optimiser": self.optimiser.state(),
        }  # fmt: skip
        content = io.BytesIO()  # onto a full disk torch writes with a RuntimeError about its own archive
        torch.save(state, content)
        whole_file.write(self.out_dir / CHECKPOINT, content.getbuffer())

    def restore(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one.

        Raises:
            CheckpointError: it is damaged, another model's, or of other music.
        """
        path = self.out_dir / CHECKPOINT
        if not path.is_file():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            name, data = state["name"], state.get("data", self.data)
        except Exception as fault:  # torch raises what it likes for a file that is none of its own
            raise CheckpointError(
                f"{path}: expected a checkpoint of a training run ({type(fault).__name__})"
            ) from fault
        if name != self.config.name:
            raise CheckpointError(f"{path}: expected a checkpoint of {self.config.name}, found one of {name}")
        if data != self.data:
            raise CheckpointError(
                f"{path}: it has learnt from {data}; found {self.data}: go on with the same files, or begin anew "
                "without --resume"
            )
        try:
            self.optimiser.restore(state["optimiser"])
            self.steps, self.windows, self.elapsed_s = state["steps"], state["windows"], state["elapsed_s"]
            self.best_f1 = state["best_f1"]
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as fault:
            raise CheckpointError(
                f"{path}: expected weights of {self.config.name} as it is now: {fault}: begin anew without --resume"
            ) from fault
        self._take_up_what_was_left()
        return True

    def _take_up_what_was_left(self) -> None:
        """A run that was killed has left more than its checkpoint knows of: better weights, which stay the best, and
        rows of steps that are now done again.
        """
        best = self.out_dir / "best.safetensors"
        if best.is_file():
            with suppress(SafetensorError, ValueError), safe_open(best, framework="pt") as file:
                self.best_f1 = max(self.best_f1, float((file.metadata() or {}).get("note_f1", self.best_f1)))
        if ranks.is_first():
            forget_rows_after(self.out_dir, self.steps)

    def begin_anew(self) -> None:
        """Put a former run of the folder aside, in place of one put aside before."""
        if not (self.out_dir / CHECKPOINT).is_file():
            for name in _LEAVES:  # of a run that never came to its first checkpoint
                (self.out_dir / name).unlink(missing_ok=True)
            return
        aside = self.out_dir / "before"
        aside.mkdir(exist_ok=True)
        for name in _LEAVES:
            (aside / name).unlink(missing_ok=True)
            if (self.out_dir / name).is_file():
                (self.out_dir / name).replace(aside / name)
        log.warning("beginning anew: the run that was there is in %s (--resume would have gone on with it)", aside)


def training_loop(run: Run, length: Length, batch_size: int, bar: Any) -> None:
    """Steps until the run is as long as it is to be; validation at even fractions and at the end, a checkpoint every
    two minutes. One that is as long already and was never validated is now. `bar` counts to 1.
    """
    last = time.monotonic()
    saved_at = run.elapsed_s
    between = length.between_validations
    next_validation = (length.fraction(run) // between + 1) * between
    sums, count = torch.zeros(3), 0
    while (fraction := length.fraction(run)) < 1.0:
        sums += run.train_step(batch_size, fraction).cpu()
        count += 1
        now = time.monotonic()
        elapsed_s, last = run.elapsed_s + min(now - last, _LONGEST_STEP_S), now
        run.elapsed_s = ranks.first_says(elapsed_s, run.device)
        fraction = length.fraction(run)
        if bar is not None:
            bar.n = min(fraction, 1.0)
            bar.set_postfix_str(f"{sums[0] / count:.1f} nats, rate {sums[2] / count:.1f}, {run.steps} steps")
        if fraction >= min(next_validation - _NEARLY, 1.0):
            tokens, dynamics, rate = (sums / count).tolist()
            run.validate(Progress(fraction, run.steps, run.windows, run.elapsed_s, tokens, dynamics, rate))
            sums, count = torch.zeros(3), 0
            next_validation += between
        if run.elapsed_s - saved_at > _CHECKPOINT_EVERY_S:
            run.save()
            saved_at = run.elapsed_s
    if not (run.out_dir / "best.safetensors").is_file():
        unknown = math.nan  # the losses: nothing was trained in this run
        run.validate(Progress(length.fraction(run), run.steps, run.windows, run.elapsed_s, unknown, unknown, unknown))
