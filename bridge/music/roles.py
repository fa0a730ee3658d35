"""Which tracks of a MIDI file are melody, bass and drums: from a manifest where there is one, else by General MIDI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from bridge.music.midi_files import MidiScore, MidiTrack
from bridge.music.notes import DRUM_CHANNEL

#: What `evaluate` prints when it has no manifest to go by.
GENERAL_MIDI_RULES = (
    "drums: channel 10; bass: General MIDI programs 33-40, or a track named bass, or one whose middle pitch is below "
    "48; melody: a track named melody, lead, vocal, voice or violin 1, else single-line tracks whose middle pitch is "
    "55 or higher, else the highest track"
)
_BASS_PROGRAMS = range(32, 40)
_MELODY_NAMES = ("melody", "lead", "vocal", "voice", "violin 1")
_MELODY_PROGRAMS_NOT = range(112, 128)  # percussive and sound effects
_MAX_POLYPHONY = 1.3


@dataclass(frozen=True, slots=True)
class Roles:
    """The tracks of a file by role; a file may have several melodies."""

    melody: tuple[MidiTrack, ...]
    bass: tuple[MidiTrack, ...]
    drums: tuple[MidiTrack, ...]

    def of(self, part: str) -> tuple[MidiTrack, ...]:
        """The tracks of a part: melody, bass or drums."""
        return {"melody": self.melody, "bass": self.bass, "drums": self.drums}[part]


def roles_of(score: MidiScore, manifest_roles: Mapping[str, object] | None, *, named: bool) -> Roles:
    """The roles of a file's tracks.

    `manifest_roles` maps a part to the indices of its (track, channel) pairs, or to "all"; `named` says that the
    tracks carry their role as a name ("melody:Voice"), as the prepared collections do.
    """
    if manifest_roles is not None:
        return Roles(
            _picked(score, manifest_roles.get("melody"), drums=False),
            _picked(score, manifest_roles.get("bass"), drums=False),
            _picked(score, manifest_roles.get("drums"), drums=True),
        )
    if named:
        return Roles(_labelled(score, "melody"), _labelled(score, "bass"), _labelled(score, "drums"))
    return by_general_midi(score)


def _picked(score: MidiScore, wanted: object, *, drums: bool) -> tuple[MidiTrack, ...]:
    """Drums are always channel 10, whatever the index says; pitched parts never are."""
    if drums:
        return tuple(t for t in score.tracks if t.channel == DRUM_CHANNEL) if wanted else ()
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        return ()
    found = (score.tracks[i] for i in wanted if isinstance(i, int) and 0 <= i < len(score.tracks))
    return tuple(track for track in found if track.channel != DRUM_CHANNEL)


def _labelled(score: MidiScore, role: str) -> tuple[MidiTrack, ...]:
    """Tracks named "role", "role:instrument" or, for a second line, "role2:instrument"."""
    return tuple(t for t in score.tracks if t.name.split(":")[0].rstrip("2") == role)


def by_general_midi(score: MidiScore) -> Roles:
    """Roles by the rules in `GENERAL_MIDI_RULES`."""
    drums = tuple(t for t in score.tracks if t.channel == DRUM_CHANNEL)
    pitched = [t for t in score.tracks if t.channel != DRUM_CHANNEL]
    bass = tuple(t for t in pitched if _is_bass(t))
    others = [t for t in pitched if t not in bass and t.program not in _MELODY_PROGRAMS_NOT]
    called = [t for t in others if any(name in t.name.lower() for name in _MELODY_NAMES)]
    lines = [t for t in others if median(n.pitch for n in t.notes) >= 55 and _polyphony(t) <= _MAX_POLYPHONY]
    highest = sorted(others, key=lambda t: median(n.pitch for n in t.notes))[-1:]
    if not others and not drums:
        highest = pitched[:1]
    return Roles(tuple(called or lines or highest), bass, drums)


def _is_bass(track: MidiTrack) -> bool:
    if "bass" in track.name.lower() or track.program in _BASS_PROGRAMS:
        return True
    return median(n.pitch for n in track.notes) < 48 and _polyphony(track) <= _MAX_POLYPHONY


def _polyphony(track: MidiTrack) -> float:
    """How many notes are struck at once, on average."""
    counts: dict[float, int] = {}
    for note in track.notes:
        counts[note.start] = counts.get(note.start, 0) + 1
    return fmean(counts.values())
