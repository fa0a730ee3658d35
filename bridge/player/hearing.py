"""What is played at the MIDI input, as the bridge is told it: notes in beats, by the map of the moment they came in.

Pure: it is given the time and the tempo map. Nothing is quantised here, and nothing is known of voices but what they
have just sent, so that the bridge does not answer itself where an output is looped back to the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bridge import messages
from bridge.messages import HeardRow
from bridge.player.echo import Echo, Verdict
from bridge.timing.midi import ALL_NOTES_OFF, ALL_SOUND_OFF, CHANNEL, CONTROL_CHANGE, KIND, NOTE_OFF, NOTE_ON
from bridge.timing.tempo_map import TempoMap

BATCH_NS: Final = 12_000_000  # what comes within it goes in one record; the first note after a pause goes at once
SHORTEST_BEATS: Final = 1 / 480
HELD: Final = -1.0
NOBODY: Final = ""  # of ours
LOOP_BACK: Final = (
    "Barline hears itself: an output is connected back to its MIDI input; what it sends itself is not answered"
)


class Hearing:
    """The notes that are held at the input, and the rows that wait to be told."""

    def __init__(self, tell: Callable[[object], None], latency_ms: float = 0.0) -> None:
        """Silence.

        Args:
            tell: gets the records for the bridge.
            latency_ms: what the way in takes, from the key to the stamp; it is taken off.
        """
        self._tell = tell
        self._latency_ns = round(latency_ms * 1e6)
        self._echo = Echo()
        self._held: dict[tuple[int, int], HeardRow] = {}
        self._doubtful: list[tuple[HeardRow, str]] = []
        self._rows: list[HeardRow] = []
        self._told_ns = 0
        self._said_loop_back = False

    # -- what goes out and comes in -----------------------------------------------------------------------------------

    def sent(self, voice: str, pitch: int, velocity: int, time_ns: int) -> None:
        """A voice has struck a note, at that moment."""
        self._echo.sent(voice, pitch, velocity, time_ns)

    def midi_in(self, stamp_ns: int, message: Sequence[int], tempo_map: TempoMap) -> None:
        """A message of a channel has come in. While the clock stands there are no bars, and nothing is heard."""
        if len(message) < 3 or not tempo_map.playing:
            return
        kind, channel, data1, data2 = message[0] & KIND, message[0] & CHANNEL, message[1], message[2]
        beats = tempo_map.beat_at_ns(stamp_ns - self._latency_ns)
        if kind == NOTE_ON and data2 > 0:
            self._begin(channel, data1, data2, beats, stamp_ns)
        elif kind in (NOTE_ON, NOTE_OFF):
            self._end(channel, data1, beats)
        elif kind == CONTROL_CHANGE and data1 in (ALL_SOUND_OFF, ALL_NOTES_OFF):
            for held_channel, pitch in list(self._held):
                if held_channel == channel:
                    self._end(channel, pitch, beats)

    def close(self, beats: float, *, lost: bool = False) -> None:
        """The clock stops or leaps, or the port has gone (`lost`): what is held ends here."""
        for channel, pitch in list(self._held):
            self._end(channel, pitch, beats)
        self._doubtful.clear()
        if lost:
            self._tell(messages.Heard(self._rows, True))
            self._rows = []

    # -- to the bridge ------------------------------------------------------------------------------------------------

    def next_due_ns(self) -> int | None:
        """When `flush` has something to tell."""
        return self._told_ns + BATCH_NS if self._rows else None

    def flush(self, now_ns: int) -> None:
        """Tell what has been heard, in batches."""
        if self._rows and now_ns >= self._told_ns + BATCH_NS:
            self._told_ns = now_ns
            self._tell(messages.Heard(self._rows))
            self._rows = []

    # -- inside -------------------------------------------------------------------------------------------------------

    def _begin(self, channel: int, pitch: int, velocity: int, beats: float, stamp_ns: int) -> None:
        self._end(channel, pitch, beats)
        verdict, voice = self._echo.heard(pitch, velocity, stamp_ns)
        row = (pitch, velocity, channel, beats, HELD, voice if verdict is Verdict.OURS else NOBODY)
        if verdict is Verdict.OURS:
            self._own_up(voice)
        elif verdict is Verdict.PERHAPS_OURS:
            self._doubtful = [*self._doubtful, (row, voice)][-8:]
        self._held[channel, pitch] = row
        self._rows.append(row)

    def _end(self, channel: int, pitch: int, beats: float) -> None:
        began = self._held.pop((channel, pitch), None)
        if began is None:
            return
        row = (*began[:4], max(beats - began[3], SHORTEST_BEATS), began[5])
        self._rows.append(row)
        self._doubtful = [(row if doubted == began else doubted, voice) for doubted, voice in self._doubtful]

    def _own_up(self, voice: str) -> None:
        """The notes that looked like this voice's were."""
        for row, suspect in self._doubtful:
            if suspect == voice:
                own = (*row[:5], voice)
                self._rows.append(own)
                if self._held.get((row[2], row[0])) == row:
                    self._held[row[2], row[0]] = own
        self._doubtful = [(row, suspect) for row, suspect in self._doubtful if suspect != voice]
        if not self._said_loop_back:
            self._said_loop_back = True
            self._tell(messages.Notice(LOOP_BACK))
