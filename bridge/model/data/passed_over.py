"""Files that nothing is learnt from, and why: those that cannot be read, and those with no useful window in them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from bridge.model.data.corpus import Piece, common_time_sections
from bridge.model.nets.config import ModelConfig

log = logging.getLogger(__name__)
#: Of the files of one kind so many are named; the others are counted.
_NAMED = 3


@dataclass
class PassedOver:
    """What was passed over: a line for each file that cannot be read, and files by what is wrong with all of them."""

    faults: list[str] = field(default_factory=list)
    useless: dict[tuple[Path, str], list[str]] = field(default_factory=dict)

    def add(self, path: Path, piece: Piece, config: ModelConfig) -> None:
        """A file of the collection at `path` that gave no window."""
        self.useless.setdefault((path, _why(piece, config)), []).append(piece.file)

    def tell(self) -> None:
        """Log it."""
        for fault in self.faults[:_NAMED]:
            log.warning("passed over: %s", fault)
        if len(self.faults) > _NAMED:
            log.warning("passed over: %d more files that cannot be read", len(self.faults) - _NAMED)
        for line in self._useless_told():
            log.warning("passed over: %s", line)

    def why_nothing(self, files: int) -> str:
        """Why there is no window at all in so many files, in one line; empty where nothing is known of it."""
        unread = [f"{len(self.faults)} of {files} files cannot be read: {self.faults[0]}"] if self.faults else []
        return "; ".join([*unread, *self._useless_told()])

    def _useless_told(self) -> list[str]:
        return [f"{path}: {_counted(names)} {why}: {_some(names)}" for (path, why), names in self.useless.items()]


def _counted(names: list[str]) -> str:
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _why(piece: Piece, config: ModelConfig) -> str:
    """What keeps a file from having a window of a model's."""
    long = "a bar" if config.bars == 1 else f"{config.bars} bars"
    if max((bars for _, bars in common_time_sections(piece.score)), default=0) < config.bars:
        return f"with less than {long} of 4/4 on end"
    wanted = ("melody", "bass") if config.part == "trio" else (config.part,)
    missing = [part for part in wanted if not piece.roles.of(part)]
    if missing:
        return f"without {' and '.join(missing)}"
    return f"in which no {long} of {config.part} have notes enough in range and on the grid"
