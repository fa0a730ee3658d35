"""Every set of bars a session has made, each a MIDI file that anyone can open, found again by its id.

A file is called ``bars/000042-melody.mid``. MIDI ticks round what swing and micro-timing left between them, so the file
also carries the exact notes as a text event; a file without it, or with a damaged one (edited elsewhere), is read as
plain MIDI.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from bridge.music import midi_files
from bridge.session.loops import Loop, loop_from_json, loop_to_json

log = logging.getLogger(__name__)


class ArchiveError(OSError):
    """Bars that cannot be kept or found again; the message names the file."""


_NAME = re.compile(r"(\d{6,10})-([A-Za-z0-9_-]+)\.mid")
_MARK = "barline-bars "


class Archive:
    """The bars of one session folder. Ids are positive, rising, and never used twice in it."""

    def __init__(self, folder: Path, channels: dict[str, dict[int, int]]) -> None:
        """`folder` is the session folder; `channels` gives part -> MIDI channel of every voice, for the files."""
        self._folder = folder / "bars"
        self._channels = channels
        self._last_id = 0
        self._voice_of: dict[int, str] = {}
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                found = _NAME.fullmatch(path.name)
                if found:
                    self._voice_of[int(found[1])] = found[2]
        self._last_id = max(self._voice_of, default=0)

    def new_id(self) -> int:
        """The next id of this folder."""
        self._last_id += 1
        return self._last_id

    def skip_to(self, last_id: int) -> None:
        """Ids up to `last_id` are taken (by bars that a stopped process had not written yet)."""
        self._last_id = max(self._last_id, last_id)

    @property
    def last_id(self) -> int:
        """The highest id given out so far."""
        return self._last_id

    def path(self, loop_id: int, voice: str) -> Path:
        """Where the bars of that id are kept."""
        return self._folder / f"{loop_id:06d}-{voice}.mid"

    def ids(self, voice: str) -> list[int]:
        """The ids of all bars of a voice, oldest first."""
        return sorted(loop_id for loop_id, owner in self._voice_of.items() if owner == voice)

    def has(self, voice: str, loop_id: int) -> bool:
        """Whether these bars are on disk and belong to `voice`."""
        return self._voice_of.get(loop_id) == voice

    def save(self, voice: str, loop: Loop, tempo_bpm: float, metre: tuple[int, int]) -> None:
        """Write the bars (beside, then renamed).

        Raises:
            ArchiveError: the folder cannot be written to.
        """
        try:
            midi_files.write_midi(
                self.path(loop.id, voice),
                loop.bars,
                channels=self._channels.get(voice, {0: 0}),
                track_name=f"{voice} {loop.id}",
                tempo=tempo_bpm,
                time_signature=metre,
                remark=_MARK + json.dumps(loop_to_json(loop), separators=(",", ":")),
            )
        except midi_files.MidiFileError as fault:
            raise ArchiveError(str(fault)) from fault
        self._voice_of[loop.id] = voice

    def load(self, voice: str, loop_id: int) -> Loop | None:
        """The bars of that id, or None when this voice never had them.

        Raises:
            ArchiveError: the file is there but broken, or was taken away.
        """
        if not self.has(voice, loop_id):
            return None
        path = self.path(loop_id, voice)
        try:
            score = midi_files.read_midi(path, may_be_silent=True)  # bars of rests are bars too
        except midi_files.MidiFileError as fault:
            raise ArchiveError(str(fault)) from fault
        for remark in score.remarks:
            loop = _told_by(remark)
            if loop is not None:
                return loop.renamed(loop_id)
        parts = {channel: part for part, channel in self._channels.get(voice, {0: 0}).items()}
        return Loop(loop_id, midi_files.bars_of_score(score, parts), loop_id)


def _told_by(remark: str) -> Loop | None:
    """The bars that a text event carries exactly; None where it is another's, or has been cut or changed."""
    if not remark.startswith(_MARK):
        return None
    try:
        return loop_from_json(json.loads(remark[len(_MARK) :]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as fault:
        log.warning("the exact notes of bars cannot be used (%r): they are read as plain MIDI", fault)
        return None
