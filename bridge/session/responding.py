"""Call and response: a voice that listens for some bars, answers for as many, and so on, always on the bar line.

Three phases. *Ready*: nobody has played yet; the bar of the first note begins a phrase. *Listening*: the voice rests.
In the last bar an answer to what was heard so far is asked for and handed to the player; nearer to the line it is asked
for again, as late as the engine allows, with the last notes folded in, and takes the other's place when it comes in
time. So there is an answer before the listening has ended, come what may. *Answering*: the answer sounds once round.

What is played into an answer (overdub) is not answered by itself, but where nothing is played in the next listening it
is what the voice goes on from; where nothing was played there either, it goes on from its own last answer, more softly,
and after two such rounds it is ready again: silent until somebody plays. A stop or a jump of the clock discards what
was being listened to: the voice is ready from the next bar line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bridge import messages
from bridge.music.answering import KeySense, Played, in_key, softer
from bridge.music.notes import Bars
from bridge.session.bending import start_expected, with_locks_of
from bridge.session.listening import PICK_UP_BEATS, Phrase, Phrases, hears
from bridge.session.loops import Loop
from bridge.session.outside import Handle, Request
from bridge.session.restoring import NEAR_LINE_BEATS
from bridge.session.turns import Band, Turns, Wish
from bridge.session.voice import Voice

_GUARD_MS: Final = 20.0  # so long before the line it is made sure that the player has something to answer with
_TOO_LATE_MS: Final = 3.0  # what is sent later than this before the line may not be there in time
_TAIL_BEATS: Final = 1.0  # what is played so soon after the line ends the phrase before, and is no overdub
_PATIENT_ROUNDS: Final = 2
_WORSE: Final = 1.0  # half or twice as many notes, or an octave off: rather the answer that lacks the last notes
_SOFTER: Final = 0.8
_NEARLY: Final = 1e-6
_SOON_BEATS: Final = {"now": 0.0, "step": 0.25, "beat": 1.0}  # at most until a launch that waits for no bar line


class Responder:
    """One voice that responds."""

    def __init__(self, band: Band, voice: Voice, request: Request) -> None:
        """Ready from the next bar line; `request` is the one that began the jam (contract 3.3)."""
        self._band = band
        self._stage = band.stage
        self._voice = voice
        self._request = request
        self._count = voice.jam_bars
        self._turns = Turns(band, voice, request)
        self._phrases = Phrases(voice, band.listening)
        self._key = KeySense()
        self._phase = "ready"
        self._from_beats = self._to_beats = self._bar_beats = 0.0
        self._answered_from = -1.0
        self._step = 0
        self._handle: Handle | None = None
        self._asked: Phrase | None = None
        self._asked_ns = 0
        self._loop_id = self._waiting_id = self._passed_id = 0
        self._given: Loop | None = None
        self._answered_id = 0
        self._folded_in = False
        self._ill = 0.0
        self._last: Loop | None = None
        self._brought: Loop | None = None
        self._empty_rounds = 0
        self._arm()

    # -- what happens around it ------------------------------------------------------------------------------------

    def heard(self, begun: list[Played]) -> None:
        """Notes have begun: the first one begins a phrase."""
        if self._phase != "ready" or not self._voice.playing:
            return
        for note in begun:
            if hears(self._voice, note) and note.start_beats >= self._from_beats - PICK_UP_BEATS:
                line = self._stage.clock.bar_line_at_or_before(note.start_beats + PICK_UP_BEATS)
                self._listen(max(self._from_beats, line))
                return

    def clock_moved(self, *, stood: bool) -> None:
        """The clock has started (`stood`: it stood before), stopped or leapt: what was listened to is discarded."""
        self._discard(counting_in=stood and self._stage.clock.running)

    def switched(self) -> None:
        """The voice was stopped, and listens to nobody, or is to play again: it is ready from the next bar line on."""
        self._discard()

    def _discard(self, *, counting_in: bool = False) -> None:
        self._turns.void()
        self._call_off_pending(self._waiting_id, self._passed_id)
        self._stage.player.send(messages.RestVoice(self._voice.name, -1.0))
        self._answered_from, self._given = -1.0, None
        self._arm(counting_in=counting_in)

    def clock_slid(self) -> None:
        """Tempo or metre are others: the bar lines come at other moments."""
        clock = self._stage.clock
        if self._phase == "ready" or not clock.running:
            return
        if clock.bar_beats != self._bar_beats:  # as many bars as before are still to come
            line = clock.bar_line_at_or_before(clock.beat_at(self._stage.timers.now_ns()) + NEAR_LINE_BEATS)
            bars = max(0, round((self._to_beats - line) / self._bar_beats))
            self._to_beats, self._bar_beats = line + bars * clock.bar_beats, clock.bar_beats
            self._tell(self._phase, self._from_beats, self._to_beats - self._from_beats)
        else:
            self._to_beats = clock.nearest_bar_line(self._to_beats)
        self._plan()

    def came_late(self, loop_id: int) -> None:
        """The player got the answer after the line: it comes in where it would be, at the next step."""
        if self._given is not None and loop_id == self._loop_id:
            now_ns = self._stage.timers.now_ns()
            self._band.performer.launch(self._voice, self._given, self._request.origin, now_ns, "step")

    def forget(self) -> None:
        """`clear`: nothing is gone on from but what is played; that is still to be answered."""
        self._turns.void()
        self._last = self._given = self._asked = self._brought = None
        self._loop_id = 0

    def end(self) -> None:
        """No more jamming; bars that were to wait for its turn need not."""
        self._voice.resting = False
        self._turns.void()
        self._cancel_plan()
        self._call_off_pending(self._waiting_id)
        if self._brought is not None and self._given is not self._brought:
            now_ns = self._stage.timers.now_ns()
            self._band.performer.launch(self._voice, self._brought, self._request.origin, now_ns)

    def keeps(self, loop: Loop) -> bool:
        """Whether bars that were brought back are kept for the voice's turn, in the place of an answer: now, or from
        the end of its turn on, they would be played over somebody.
        """
        voice, stage, now_ns = self._voice, self._stage, self._stage.timers.now_ns()
        self._brought = None
        if self._phase == "answer" and stage.clock.running:
            soon = _SOON_BEATS.get(voice.knobs.launch)
            here = stage.clock.beat_at(now_ns)
            takes_over = start_expected(stage, voice, now_ns) if soon is None else here + soon
            if takes_over < self._to_beats - self._beats(_GUARD_MS) - _NEARLY:
                self._passed_id = loop.id
                return False
        self._brought = loop
        if self._phase == "listen" and self._asked is not None:  # its turn is the next bar
            self._give_brought(loop)
        return True

    # -- phases ----------------------------------------------------------------------------------------------------

    def _arm(self, *, counting_in: bool = False) -> None:
        clock = self._stage.clock
        self._cancel_plan()
        self._phase, self._empty_rounds = "ready", 0
        here = clock.beat_at(self._stage.timers.now_ns())
        self._from_beats = clock.bar_line_at_or_after(here - PICK_UP_BEATS)
        self._tell("count_in" if counting_in else "ready", self._from_beats, clock.bar_beats)

    def _listen(self, from_beats: float) -> None:
        self._phase = "listen"
        self._from_beats, self._to_beats = from_beats, from_beats + self._count * self._stage.clock.bar_beats
        self._asked, self._given, self._loop_id, self._folded_in = None, None, 0, False
        self._begin_phase()

    def _answer(self) -> None:
        """The line has come."""
        phrase = self._phrases.heard(self._from_beats, self._to_beats)
        self._phrases.remember(self._from_beats, self._to_beats)
        self._key.hear(phrase.bars)
        self._empty_rounds = 0 if phrase.bars.notes else self._empty_rounds + 1
        if self._asked is None:
            self._arm()
            return
        self._phase = "answer"
        self._answered_from, self._from_beats = self._to_beats, self._to_beats
        self._to_beats += self._count * self._stage.clock.bar_beats
        self._brought = None
        if self._given is not None and not self._is_called_off(self._given):
            self._last, self._answered_id = self._given, max(self._answered_id, self._given.id)
            if self._folded_in:
                self._band.performer.keep(self._voice, self._given)
        self._begin_phase()

    def _begin_phase(self) -> None:
        self._step, self._bar_beats = 0, self._stage.clock.bar_beats
        self._tell(self._phase, self._from_beats, self._to_beats - self._from_beats)
        self._plan()

    # -- what is to be done when -----------------------------------------------------------------------------------

    def _agenda(self) -> list[tuple[float, Callable[[], None]]]:
        """The rest of this phase: beats, and what is done there."""
        if self._phase == "answer":
            return [
                (self._to_beats - self._beats(_GUARD_MS), self._rest),
                (self._to_beats, lambda: self._listen(self._to_beats)),
            ]
        most_ms = self._most_ms()
        choice_ms, last_ms = min(self._turns.lead_ms(most_ms), most_ms), min(self._turns.lead_ms(0.0), most_ms)
        early_ms = max(60_000.0 / self._stage.clock.bpm, 2.0 * choice_ms) if self._turns.timed else 2.0 * most_ms
        return [
            (self._to_beats - self._beats(min(early_ms, 2.0 * most_ms)), lambda: self._ask(most_ms)),
            (self._to_beats - self._beats(choice_ms), lambda: self._ask(most_ms)),
            (self._to_beats - self._beats(last_ms), self._ask_last),
            (self._to_beats - self._beats(_GUARD_MS), self._make_sure),
            (self._to_beats, self._answer),
        ]

    def _rest(self) -> None:
        """Its turn is nearly over: bars that were brought back into it may be longer than what is left of it."""
        self._stage.player.send(messages.RestVoice(self._voice.name, self._to_beats))

    def _plan(self) -> None:
        self._cancel_plan()
        clock, timers = self._stage.clock, self._stage.timers
        if self._phase == "ready" or not clock.running:
            return
        beats, action = self._agenda()[self._step]
        wait_s = (beats - clock.beat_at(timers.now_ns())) * 60.0 / clock.bpm

        def act() -> None:
            phase, self._handle = (self._phase, self._from_beats), None
            self._step += 1
            action()
            if self._phase == phase[0] and self._from_beats == phase[1] and self._handle is None:
                self._plan()

        self._handle = timers.call_later(max(0.0, wait_s), act)

    def _cancel_plan(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _most_ms(self) -> float:
        """How long asking may take: three eighths of a bar, so that twice fits into the last one."""
        return 0.375 * self._stage.clock.bar_beats * 60_000.0 / self._stage.clock.bpm

    def _beats(self, ms: float) -> float:
        return ms * self._stage.clock.bpm / 60_000.0

    # -- the answer ------------------------------------------------------------------------------------------------

    def _material(self) -> tuple[Phrase, float] | None:
        """What to go on from, and how loud: what is played; else what was played into the last answer; else the last
        answer itself; None: nothing.
        """
        phrase = self._phrases.heard(self._from_beats, self._to_beats)
        if phrase.bars.notes:
            return phrase, 1.0
        if self._answered_from >= 0:
            tail_beats = _TAIL_BEATS + PICK_UP_BEATS
            if self._phrases.heard(self._answered_from + tail_beats, self._from_beats).bars.notes:
                return self._phrases.heard(self._answered_from, self._from_beats), 1.0
        last, voice = self._last, self._voice
        if last is not None and last.bars.notes and not voice.is_foreign(last) and self._empty_rounds < _PATIENT_ROUNDS:
            return Phrase(last.bars, last.feel), _SOFTER
        return None

    def _ask(self, most_ms: float) -> None:
        """Have an answer made to what was heard up to now, unless that was asked for already, or bars that were brought
        back are to sound in its place.
        """
        if self._brought is not None:
            if self._given is not self._brought:
                self._give_brought(self._brought)
            return
        found = self._material()
        if found is None or (self._asked is not None and found[0].bars == self._asked.bars):
            return
        phrase, loudness = found
        self._asked, self._asked_ns = phrase, self._stage.timers.now_ns()
        self._loop_id = self._loop_id or self._stage.archive.new_id()
        classes = self._key.classes_with(phrase.bars)
        wish = Wish("next", (phrase.bars,), self._count, 0.0, softer(phrase.bars, loudness), classes)
        line, loop_id, drums = self._to_beats, self._loop_id, self._voice.is_drums

        def take(bars: Bars, ill: float) -> None:
            clock = self._stage.clock
            loop = Loop(loop_id, bars, loop_id, None, phrase.feel, clock.bar_beats, drums=drums)
            loop = with_locks_of(self._voice, loop)
            left_ms = (line - clock.beat_at(self._stage.timers.now_ns())) * 60_000.0 / clock.bpm
            if left_ms < _TOO_LATE_MS:
                if self._given is None:  # else what the player has is as good as this was to be
                    self._too_late(loop, max(0.0, -left_ms))
            elif self._given is None or ill < self._ill + _WORSE:
                self._ill = ill
                self._take(loop)

        self._turns.ask(wish, loop_id, most_ms, take)

    def _ask_last(self) -> None:
        self._ask(0.0)
        self._bind()

    def _take(self, loop: Loop) -> None:
        """An answer is made: the player gets it, or it takes the place of the one that the player has. Where that was
        called off, by `undo` or for other bars, there is none in this round.
        """
        voice, performer = self._voice, self._band.performer
        if self._given is not None and self._is_called_off(self._given):
            return
        waiting = voice.pending is not None and voice.pending.id == loop.id
        self._given, self._waiting_id = loop, loop.id
        voice.newest, voice.newest_order = loop.source, self._stage.next_order()
        if waiting:
            self._folded_in = True
            performer.replace_pending(voice, loop)
            handed = voice.handed[loop.id]
            if handed.confirmed:  # else it is told when it is
                ms = (self._stage.timers.now_ns() - self._asked_ns) / 1e6
                self._stage.announce_bars(voice, loop, handed.start_beats, ms, self._request.origin)
        else:
            performer.launch(voice, loop, self._request.origin, self._asked_ns, "bar", for_this_place=True)
        self._stage.voice_changed(voice)

    def _give_brought(self, loop: Loop) -> None:
        """Bars that were brought back are the answer of this round."""
        self._turns.void()
        self._given, self._asked, self._folded_in = loop, Phrase(loop.bars, loop.feel), False
        self._loop_id = self._waiting_id = loop.id
        now_ns = self._stage.timers.now_ns()
        self._band.performer.launch(self._voice, loop, self._request.origin, now_ns, "bar", for_this_place=True)

    def _is_called_off(self, loop: Loop) -> bool:
        """Whether an answer that the player was given neither waits nor sounds."""
        return all(known is None or known.id != loop.id for known in (self._voice.pending, self._voice.sounding))

    def _bind(self) -> None:
        """What the player has may have been made before the last notes were played, and they tell the key too, however
        late the engine is.
        """
        waits = self._voice.pending
        if self._given is None or waits is None or waits.id != self._loop_id or self._brought is not None:
            return
        loop = self._in_key_of_all(waits)
        if loop.bars != waits.bars:
            self._take(loop)

    def _in_key_of_all(self, loop: Loop) -> Loop:
        """An answer in the key of all that was played up to now, but for its locked bars."""
        phrase = self._phrases.heard(self._from_beats, self._to_beats)
        if self._voice.is_drums or not phrase.bars.notes:
            return loop
        classes = self._turns.classes_of(self._key.classes_with(phrase.bars))
        return with_locks_of(self._voice, replace(loop, bars=in_key(loop.bars, classes)))

    def _make_sure(self) -> None:
        """The line is near. Where nothing has come the last answer goes round once more rather than nothing: under
        another id where another key is played in now.
        """
        self._bind()
        last = self._last
        if self._given is None and self._asked is not None and last is not None:
            bound = self._in_key_of_all(last)
            again = last if bound.bars == last.bars else bound.renamed(self._stage.archive.new_id())
            now_ns, self._waiting_id = self._stage.timers.now_ns(), again.id
            self._band.performer.launch(self._voice, again, self._request.origin, now_ns, "bar", for_this_place=True)

    def _too_late(self, loop: Loop, ms: float) -> None:
        """The line was before it: that is told once, where the round has had no answer."""
        if loop.id <= self._answered_id:
            return
        voice, stage, self._answered_id = self._voice, self._stage, loop.id
        stage.outbox.publish(f"/{voice.name}/late", loop.id, float(ms), also=self._request.origin)
        here = stage.clock.beat_at(stage.timers.now_ns())
        if self._last is None and self._phase == "answer" and here < (self._from_beats + self._to_beats) / 2:
            self._waiting_id = loop.id
            self._given = self._last = loop  # there is nothing else: it comes in, in its place, at the next step
            self._band.performer.launch(voice, loop, self._request.origin, stage.timers.now_ns(), "step")

    def _call_off_pending(self, *ids: int) -> None:
        if self._voice.pending is not None and self._voice.pending.id in ids:
            self._band.performer.cancel_pending(self._voice)

    def _tell(self, phase: str, start_beats: float, length_beats: float) -> None:
        self._voice.resting = phase != "answer"
        self._stage.tell_phase(self._voice, phase, start_beats, length_beats, self._request.origin)
