"""Training: schedules as fractions of the minutes given, checkpoints that survive a kill, the best weights kept.

Runs on torch 2.11-2.13 with numpy and safetensors alone; tqdm, where it is installed, draws the progress bar.
"""

from __future__ import annotations

import copy
import csv
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from bridge.model.config import BAR_CONFIGS, ModelConfig, config_of
from bridge.model.dataset import load
from bridge.model.scoring import ACTIVE_NATS, macro_note_f1, read_windows, step_accuracy
from bridge.model.training_data import Source, Validation, indexed_config, training_source, validation_windows
from bridge.model.vae import MusicVae, training_losses

log = logging.getLogger(__name__)

_PEAK_RATE, _LAST_RATE, _WARM_UP_STEPS = 1.5e-3, 2e-5, 200
_FIRST_BETA, _BETA_FULL_AT = 0.02, 0.4
_MIX_FROM, _MIX_UNTIL, _MIX_MOST = 0.3, 0.8, 0.5
_DROPOUT = 0.15
#: Velocities and offsets are noisier than hits (77 nats a window against 40): at full weight they would take the
#: latent's rate for themselves.
_DYNAMICS_SHARE = 0.25
_WEIGHT_DECAY = 0.01
_EMA = 0.999
_CLIP = 1.0
_VALIDATIONS = 40
_VALIDATION_AT_MOST_EVERY_S = 60.0
_CHECKPOINT_EVERY_S = 120.0
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


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run leaves: the best weights, how good they were on validation songs, and after how many steps."""

    weights: Path
    note_f1: float
    steps: int
    windows: int
    minutes: float


def schedule(fraction: float, step: int) -> tuple[float, float, float]:
    """Learning rate, beta and mixing probability at a fraction of the run."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, fraction)))
    rate = (_LAST_RATE + (_PEAK_RATE - _LAST_RATE) * cosine) * min(1.0, (step + 1) / _WARM_UP_STEPS)
    beta = _FIRST_BETA + (1.0 - _FIRST_BETA) * min(1.0, fraction / _BETA_FULL_AT)
    mix = _MIX_MOST * min(1.0, max(0.0, (fraction - _MIX_FROM) / (_MIX_UNTIL - _MIX_FROM)))
    return rate, beta, mix


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 matrix products are clearly faster than float32 here (measured on a CPU, not guessed)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(512, 512).to(dtype)
        runs = []
        for _ in range(8):
            began = time.perf_counter()
            torch.mm(a, a)
            runs.append(time.perf_counter() - began)
        seconds[dtype] = min(runs)
    return seconds[torch.bfloat16] * 1.5 < seconds[torch.float32]


class Optimiser:
    """AdamW on float32 master weights, with clipping and an exponential moving average; the model may be bfloat16."""

    def __init__(self, model: MusicVae) -> None:
        self.names = [name for name, _ in model.named_parameters()]
        self._live = list(model.parameters())
        self.master = [p.detach().float().clone().requires_grad_() for p in self._live]
        self.ema = [p.detach().clone() for p in self.master]
        self._adam = torch.optim.AdamW(self.master, lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98))

    def step(self, rate: float, steps_done: int) -> None:
        """One update of the master weights from the model's gradients; the model gets the result."""
        for master, live in zip(self.master, self._live, strict=True):
            assert live.grad is not None
            master.grad = live.grad.float()
            live.grad = None
        torch.nn.utils.clip_grad_norm_(self.master, _CLIP)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        keep = min(_EMA, (1.0 + steps_done) / (10.0 + steps_done))
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
    def restore(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""
        for ours, theirs in zip(self.master + self.ema, state["master"] + state["ema"], strict=True):
            ours.copy_(theirs)
        self._adam.load_state_dict(state["adam"])
        self._publish()


class Run:
    """One training run of one model in one folder."""

    def __init__(
        self, config: ModelConfig, validation: Validation, out_dir: Path, device: torch.device, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.out_dir, self.device, self.validation = config, out_dir, device, validation
        self.model = MusicVae(config).to(device)
        self.reference = copy.deepcopy(self.model).eval()
        self.cuda = device.type == "cuda"
        self.bfloat16 = fast_bfloat16(device)
        if self.bfloat16 and not self.cuda:
            self.model.to_compute(torch.bfloat16)
        self.optimiser = Optimiser(self.model)
        self.steps = self.windows = 0
        self.elapsed_s = 0.0
        self.best_f1 = -1.0
        self.seed = seed

    def train_step(self, source: Source, batch_size: int, fraction: float) -> Tensor:
        """One step; returns (token nats, dynamics nats, rate nats), detached."""
        rate, beta, mix = schedule(fraction, self.steps)
        batch = source.batch(batch_size).to(self.device)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.cuda and self.bfloat16):
            losses = training_losses(self.model, batch, mix=mix, dropout=_DROPOUT)
            loss = losses.tokens + _DYNAMICS_SHARE * losses.dynamics
            loss = loss + beta * torch.relu(losses.rate - self.config.free_nats)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(rate, self.steps)
        self.steps += 1
        self.windows += batch_size
        return torch.stack([losses.tokens, losses.dynamics, losses.rate]).detach()

    def validate(self, progress: Progress) -> None:
        """Score the averaged weights on validation windows; keep them on disk when they are the best so far."""
        self.reference.load_state_dict(self.optimiser.averaged(), strict=False)
        readings = read_windows(self.reference, self.validation.batch.to(self.device), self.seed)
        drums = self.config.part == "drums"
        progress.note_f1 = macro_note_f1(readings.sampled, readings.truth, self.validation.groups, drums=drums)
        progress.forced = step_accuracy(readings.forced, readings.truth)
        progress.sampled = step_accuracy(readings.sampled, readings.truth)
        progress.active = int((readings.rate.mean(0) > ACTIVE_NATS).sum())
        log.info("%s", progress)
        self._note_curve(progress)
        if progress.note_f1 > self.best_f1:
            self.best_f1 = progress.note_f1
            meta = {"note_f1": f"{self.best_f1:.6f}", "steps": str(self.steps), "windows": str(self.windows)}
            meta["minutes"] = f"{self.elapsed_s / 60:.1f}"
            weights = {name: value.detach().cpu().contiguous() for name, value in self.optimiser.averaged().items()}
            _atomically(self.out_dir / "best.safetensors", lambda path: save_file(weights, path, metadata=meta))

    def _note_curve(self, progress: Progress) -> None:
        path = self.out_dir / "curves.csv"
        row = asdict(progress)
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = {
            "name": self.config.name, "steps": self.steps, "windows": self.windows, "elapsed_s": self.elapsed_s,
            "best_f1": self.best_f1, "optimiser": self.optimiser.state(),
        }  # fmt: skip
        _atomically(self.out_dir / "checkpoint.pt", lambda path: torch.save(state, path))

    def restore(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one."""
        path = self.out_dir / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.optimiser.restore(state["optimiser"])
        self.steps, self.windows, self.elapsed_s = state["steps"], state["windows"], state["elapsed_s"]
        self.best_f1 = state["best_f1"]
        return True


def _atomically(path: Path, write: Callable[[Path], None]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    write(beside)
    beside.replace(path)


def train(
    name: str,
    data_paths: Sequence[Path],
    minutes: float,
    *,
    resume: bool,
    out_dir: Path,
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
    batch_size: int = 256,
    cache: Path | None = None,
) -> Trained:
    """Train a model for `minutes` in all (a resumed run goes on with its own clock).

    `out_dir` gets checkpoint.pt, best.safetensors (float32, moving average, best macro note F1 on validation songs)
    and curves.csv. An interrupt ends the run in good order: the checkpoint is written and the best weights stay.

    Raises:
        UnknownModelError, CorpusError: a wrong name, or data with nothing useful in it.
    """
    config = BAR_CONFIGS.get(name) or config_of(name)
    out_dir.mkdir(parents=True, exist_ok=True)
    dataset = load(data_paths, indexed_config(config), cache or out_dir / "index")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    run = Run(config, validation_windows(dataset, config), out_dir, torch.device(chosen), seed)
    if not (resume and run.restore()):
        (out_dir / "curves.csv").unlink(missing_ok=True)
    source = training_source(dataset, config, seed + run.steps)
    log.info("%s on %s, bfloat16 %s, %d windows", name, chosen, run.bfloat16, source.windows)
    bar = _bar(name, run.elapsed_s, minutes * 60.0) if progress else None
    try:
        _loop(run, source, minutes * 60.0, batch_size, bar)
    except KeyboardInterrupt:
        log.info("interrupted: the checkpoint is kept in %s", out_dir)
    finally:
        if bar is not None:
            bar.close()
    run.save()
    best = out_dir / "best.safetensors"
    return Trained(best, run.best_f1, run.steps, run.windows, run.elapsed_s / 60.0)


def _loop(run: Run, source: Source, total_s: float, batch_size: int, bar: Any) -> None:
    """Steps until the time is up; validation at even fractions and at the end, a checkpoint every two minutes."""
    last = time.monotonic()
    saved_at = run.elapsed_s
    validation_s = max(total_s / _VALIDATIONS, _VALIDATION_AT_MOST_EVERY_S)
    next_validation = (run.elapsed_s // validation_s + 1) * validation_s
    sums, count = torch.zeros(3), 0
    while run.elapsed_s < total_s:
        sums += run.train_step(source, batch_size, run.elapsed_s / total_s).cpu()
        count += 1
        now = time.monotonic()
        run.elapsed_s, last = run.elapsed_s + min(now - last, _LONGEST_STEP_S), now
        if bar is not None:
            bar.n = min(run.elapsed_s, total_s)
            bar.set_postfix_str(f"{sums[0] / count:.1f} nats, rate {sums[2] / count:.1f}, {run.steps} steps")
        if run.elapsed_s >= min(next_validation, total_s):
            tokens, dynamics, rate = (sums / count).tolist()
            fraction = run.elapsed_s / total_s
            run.validate(Progress(fraction, run.steps, run.windows, run.elapsed_s, tokens, dynamics, rate))
            sums, count = torch.zeros(3), 0
            next_validation += validation_s
        if run.elapsed_s - saved_at > _CHECKPOINT_EVERY_S:
            run.save()
            saved_at = run.elapsed_s


def _bar(name: str, done_s: float, total_s: float) -> Any:
    """A progress bar in seconds of training on stderr, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    form = "{l_bar}{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=total_s, initial=done_s, desc=name, unit="s", bar_format=form)
