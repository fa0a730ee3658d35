"""The one table of the OSC interface: every request with its arguments, every answer and event.

From it come the dispatcher, the validation, the texts of the errors and the reference page (`bridge.osc.reference`).
The law it follows is the contract's section 3.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from bridge.limits import (
    MAX_BARS,
    MAX_LATENT_WAYS,
    MAX_LOOP_BEATS,
    MAX_OFFSET_MS,
    MAX_SONG_BEATS,
    MAX_TEMPERATURE,
    MAX_TEMPO_BPM,
    MIN_LOOP_BEATS,
    MIN_TEMPERATURE,
    MIN_TEMPO_BPM,
)
from bridge.music.harmony import MODES
from bridge.osc.arguments import Argument, check, signature
from bridge.session.outside import NO_SUCH

VOICE: Final = "VOICE"
"""Scope of the routes that every voice has under its own name."""
_INT32_MAX: Final = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One request.

    `scope` is ``bridge``, ``clock`` or `VOICE`; `verb` is the rest of the address. `answers` is what comes back, in
    words. `together`: the optional arguments come all or none.
    """

    scope: str
    verb: str
    text: str
    arguments: tuple[Argument, ...] = ()
    answers: str = ""
    example: str = ""
    together: bool = False

    @property
    def address(self) -> str:
        """The address, `VOICE` standing for the voice's name."""
        return f"/{self.scope}/{self.verb}"

    @property
    def signature(self) -> str:
        """The arguments as the contract writes them."""
        return signature(self.arguments)

    def check(self, arguments: tuple[object, ...]) -> dict[str, Any]:
        """The arguments by name, typed, in range, defaults filled in.

        Raises:
            RefusedError: 2 or 3 (5 for a slot) when they are not right.
        """
        return check(arguments, self.arguments, self.together)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One message that the bridge sends; `arguments` as the contract writes them."""

    address: str
    arguments: str
    text: str


def _int(name: str, low: int, high: int, default: int | None = None, unit: str = "") -> Argument:
    return Argument(name, "int", low, high, unit, default is not None, default)


def _float(name: str, low: float, high: float, unit: str = "", default: float | None = None) -> Argument:
    return Argument(name, "float", low, high, unit, default is not None, default)


def _truth(name: str) -> Argument:
    return Argument(name, "bool", 0, 1)


def _choice(name: str, *choices: str) -> Argument:
    return Argument(name, "choice", choices=choices)


_BARS: Final = _int("bars", 1, MAX_BARS, 2)
_LENGTH: Final = _float("length", MIN_LOOP_BEATS, MAX_LOOP_BEATS, "beats")
_LENGTH_OR_NONE: Final = dataclasses.replace(_LENGTH, optional=True)
_NOTES: Final = Argument("notes", "notes")
_SCENE: Final = Argument("name", "name")

_BRIDGE: Final = (
    Route("bridge", "ping", "Is it there, and is it ready?", (_int("token", -_INT32_MAX - 1, _INT32_MAX, 0),),
          "/bridge/pong token version uptime ready", "/bridge/ping 7"),
    Route("bridge", "subscribe",
          "Events from now on, to `port` on the sender's own host (default: the port it sends from); answers go there "
          "too. At most 16 subscribers; it lapses 60 s after the sender's last message, so ping now and then.",
          (Argument("port", "int", 1, 65535, optional=True),),
          "/bridge/welcome version voices, then what /bridge/state answers", "/bridge/subscribe 9101"),
    Route("bridge", "unsubscribe", "No more events.", (), "/bridge/bye"),
    Route("bridge", "state", "The whole state.", (),
          "/clock/state, one /VOICE/state per voice (and its jam/phase while it jams), then /bridge/ready i"),
    Route("bridge", "panic",
          "Closes every sounding note at once, then CC 123 and 120 on the channels in use; the voices stop. "
          "A second one within 2 s sends all 128 note-offs on every channel.", (), "/bridge/panicked n_notes"),
    Route("bridge", "save", "Keep a scene: every voice's bars, corners, knobs, mutes and `auto`.", (_SCENE,),
          example="/bridge/save verse"),
    Route("bridge", "load",
          "Bring a scene back: knobs at once, bars at each voice's launch boundary, from which on a voice without any "
          "is silent. Bars that were asked for before and do not sound yet are told, and kept, but called off.",
          (_SCENE,), example="/bridge/load verse"),
    Route("bridge", "key",
          "The session's key: `tonic` 0 is C; -1 takes it from the first seed or bars (a new seed of that voice "
          "gives it anew, `clear` sets it free). New bars are moved to it by the nearest way and bound by each voice's "
          "`scale`; what sounds is made again in it, and bound at once where it binds hard. Bars between stored "
          "corners are bound, not moved.",
          (_int("tonic", -1, 11), _choice("mode", *MODES)),
          example="/bridge/key 9 minor"),
    Route("bridge", "chords",
          "A chord loop to lean on, counted from the start of each voice's loop: beat root quality for each chord; its "
          "notes belong on the beats. Without arguments: none.",
          (_LENGTH_OR_NONE, Argument("chords", "chords", low=1)),
          example="/bridge/chords 8.0 0.0 9 min 4.0 5 maj"),
)  # fmt: skip

_CLOCK: Final = (
    Route("clock", "source",
          "Whose time is followed; `auto`: Link when it is enabled and has peers, else MIDI clock, gives tempo and "
          "phase, and Live's reports decide which bar; else Live's reports; else the internal clock. While the song "
          "plays it changes at a bar line. Error 4 where the source cannot be had.",
          (_choice("source", "auto", "internal", "live", "midi", "link"),), example="/clock/source internal"),
    Route("clock", "tempo",
          "Tempo of the internal clock, or of the Link session; error 4 while another clock is followed.",
          (_float("tempo", MIN_TEMPO_BPM, MAX_TEMPO_BPM, "BPM"),), example="/clock/tempo 98.5"),
    Route("clock", "tap", "Tap the tempo: the mean of the last eight taps; a pause of 3 s begins anew."),
    Route("clock", "nudge",
          "Shift everything that sounds once, whatever clock is in force; positive is later.",
          (_float("ms", -MAX_OFFSET_MS, MAX_OFFSET_MS, "ms"),), example="/clock/nudge 5.0"),
    Route("clock", "offset",
          "A standing offset of everything that sounds against the clock that is followed, kept for each source; "
          "positive is later.",
          (_float("ms", -MAX_OFFSET_MS, MAX_OFFSET_MS, "ms"),), example="/clock/offset -12.0"),
    Route("clock", "play", "Start the internal clock from beat 0."),
    Route("clock", "stop", "Stop the internal clock; every sounding note is closed."),
    Route("clock", "continue", "Go on from where it was stopped."),
    Route("clock", "live",
          "Live's transport as its device sees it: song position = beats + fraction, in quarter notes; `bar` (from 0) "
          "and the beat in it (quarter notes) where signatures change.",
          (_truth("playing"), _float("tempo", MIN_TEMPO_BPM, MAX_TEMPO_BPM, "BPM"),
           _int("beats", -MAX_SONG_BEATS, MAX_SONG_BEATS, unit="quarter notes"),
           _float("fraction", 0, 1, "quarter notes"),
           _int("numerator", 1, 99), Argument("denominator", "int", 1, 16, values=(1, 2, 4, 8, 16)),
           _int("bar", -1, MAX_SONG_BEATS, -1), _float("beat_in_bar", 0, 400, "quarter notes", 0.0)),
          example="/clock/live 1 120.0 16 0.25 4 4 4 0.25", together=True),
)  # fmt: skip

_BARS_COMING: Final = "bars/begin, bars/notes, bars/end; launched at its boundary, or late"

_VOICE_BARS: Final = (
    Route(VOICE, "next", "Bars that follow what is newest: a completed seed, pending bars, sounding bars.", (_BARS,),
          _BARS_COMING, "/melody/next 2"),
    Route(VOICE, "sample", "New bars from the prior.", (_BARS,), _BARS_COMING, "/drums/sample 4"),
    Route(VOICE, "vary",
          "Bars near the present loop: 0 the same, 1 far away. That is the newest of those that wait or sound, "
          "whatever seed came since; where there is none, the seed is varied.", (_float("amount", 0, 1, default=0.5),),
          _BARS_COMING, "/melody/vary 0.3"),
    Route(VOICE, "auto",
          "New bars by itself each time so many have been played; 0: off, and bars that it asked for by itself and "
          "that do not sound yet are called off.", (_int("bars", 0, 64),), example="/melody/auto 4"),
    Route(VOICE, "seed", "What to go on from, in one message of at most 30 notes.", (_LENGTH, _NOTES),
          example="/melody/seed 8.0 60 0.0 1.0 100 0 64 1.0 0.5 96 0"),
    Route(VOICE, "seed/begin", "A seed in several messages: its length.", (_LENGTH,), example="/melody/seed/begin 8.0"),
    Route(VOICE, "seed/notes", "Notes of that seed, at most 30 a message, again and again.",
          (dataclasses.replace(_NOTES, low=1),), example="/melody/seed/notes 60 0.0 1.0 100 0"),
    Route(VOICE, "seed/end", "The seed is complete."),
    Route(VOICE, "store", "Put the loop that sounds (before any does: the one to come), or these notes, in a corner.",
          (Argument("slot", "choice", choices=("a", "b", "c", "d"), code=NO_SUCH), _LENGTH_OR_NONE, _NOTES),
          example="/melody/store a"),
    Route(VOICE, "morph", "Between corners a and b, while it plays; error 5 names a corner that is empty. Bars that "
          "were asked for before and do not sound yet are told, and kept, but called off. A corner that is still to be "
          "stored is waited for; error 4 names one that holds drums where the model now plays a line, or the "
          "other way round.",
          (_float("x", 0, 1),), _BARS_COMING, "/melody/morph 0.25"),
    Route(VOICE, "xy", "Between the four corners: a = 0 0, b = 1 0, c = 0 1, d = 1 1. Otherwise as `morph`.",
          (_float("x", 0, 1), _float("y", 0, 1)), _BARS_COMING, "/melody/xy 0.25 0.75"),
    Route(VOICE, "clear", "Forget loop, pending bars and seed, not the history. Whoever still waits for what was "
          "asked of the voice before gets error 4."),
    Route(VOICE, "undo", "Back through the bars of this voice; pending bars are cancelled first."),
    Route(VOICE, "redo", "Forth again."),
    Route(VOICE, "recall", "Bring back any bars of this voice, from earlier sessions of the folder too. Where the "
          "key binds hard, they are bound as they are played.",
          (_int("id", 1, _INT32_MAX),), _BARS_COMING, "/melody/recall 12"),
    Route(VOICE, "random_seed", "After it and `clear`, the same requests give the same notes.",
          (_int("seed", -_INT32_MAX - 1, _INT32_MAX),), example="/melody/random_seed 1"),
    Route(VOICE, "model", "Swap the model; the old one plays until the new one is ready. Between lines and drums the "
          "corners stay stored for when it is swapped back, and nothing of the other kind is gone on from.",
          (Argument("name", "name"),),
          example="/melody/model melody-2bar"),
    Route(VOICE, "jam",
          "Play with what comes in at the MIDI input. `respond`: silent, it waits for the first note; from that bar's "
          "line it listens for so many bars, answers for as many what goes on from there (key, register, density, feel "
          "and loudness kept), and so on, always on the bar line. Notes up to a sixteenth before a line belong to the "
          "bar after it. Nothing played: it goes on from its own last answer, more softly; twice running: it is silent "
          "until somebody plays. Overdub: what is played into an answer is gone on from where nothing is played after "
          "it. What `undo`, `redo` or `recall` brings back meanwhile sounds in its next turn, as the answer; where "
          "`undo` calls off an answer that waits, that turn is silent. "
          "A started clock counts in one bar, unless somebody plays in it; a stop, of the clock or the voice, or "
          "a jump discards what was listened to. `follow`: at every bar line the loop moves towards the last so many "
          "bars that were played. "
          "`off`: the loop goes round as before.",
          (_choice("how", "off", "respond", "follow"), _BARS),
          "jam/phase; bars/begin, bars/notes, bars/end and launched of every answer", "/melody/jam respond 2"),
)  # fmt: skip

_VOICE_KNOBS: Final = (
    Route(VOICE, "temperature", "How bold new bars are.", (_float("temperature", MIN_TEMPERATURE, MAX_TEMPERATURE),),
          example="/melody/temperature 0.6"),
    Route(VOICE, "attribute",
          "Along an attribute vector: density, syncopation, interval, diatonic, register (melody, bass); density, "
          "syncopation, fill (drums). A trio has all of them: each moves the parts that have it, and no note of the "
          "others. More density fills rests too, but no locked bar.",
          (Argument("name", "name"), _float("amount", -1, 1)), _BARS_COMING, "/melody/attribute density 0.5"),
    Route(VOICE, "latent", "One latent direction, ordered by how much it matters.",
          (_int("index", 0, MAX_LATENT_WAYS - 1), _float("value", -3, 3, "standard deviations")), _BARS_COMING,
          "/melody/latent 0 1.5"),
    Route(VOICE, "scale",
          "How the session's key binds this voice: soft leans, hard allows nothing else (stored corners and locked "
          "bars sound as they are).",
          (_choice("how", "off", "soft", "hard"),), example="/melody/scale hard"),
    Route(VOICE, "hold",
          "What new bars (`next`, `sample`, `vary`) keep of the present loop: its rhythm (onsets and durations), or "
          "its pitches in their order.",
          (_choice("what", "rhythm", "pitch", "none"),), example="/melody/hold rhythm"),
    Route(VOICE, "lock",
          "A bar of the loop (from 0) stays as it is heard, whatever is generated or waits and whatever key binds, "
          "with what leads into it: struck just before its line, it belongs on it. Groove is still applied; on another "
          "grid its notes stay in it, on the nearest step there, and no others come into it. `clear` unlocks, and so "
          "does a loop that has no such bar.",
          (_int("bar", 0, MAX_BARS - 1), _truth("on")), example="/melody/lock 0 1"),
    Route(VOICE, "follow",
          "Lean on another voice's loop, heard or muted: on its harmony; on the drums' kick, and drums with their kick "
          "on its onsets. A bass on a melody takes its rhythm from the drums. `none`: off.",
          (Argument("voice", "name"), _float("amount", 0, 1)), example="/bass/follow melody 0.5"),
    Route(VOICE, "surprise", "Of several candidates, the plainer or the bolder.", (_float("surprise", 0, 1),),
          example="/melody/surprise 0.35"),
    Route(VOICE, "gate",
          "Length of notes: at 0.9 as they are written (stored notes as they were stored), at 0.45 half of that; "
          "drums: no effect.", (_float("gate", 0.1, 1.1),), example="/melody/gate 0.9"),
    Route(VOICE, "fill", "A fill in the bar to come (drums, those of a trio alone): that bar once, under the same id; "
          "the loop returns. Error 4 where that bar is locked.",
          answers="bars/begin, bars/notes, bars/end with the fill in them, and again without it"),
    Route(VOICE, "fill_every",
          "A fill in the last of so many bars of the song, again and again (drums, those of a trio alone), but in no "
          "locked bar; 0: off.",
          (_int("bars", 0, 64),),
          example="/drums/fill_every 4"),
    Route(VOICE, "swing", "Where every second step of the grid starts in its pair; nothing on triplet grids.",
          (_float("swing", 50, 75, "per cent"),), example="/melody/swing 58"),
    Route(VOICE, "quantize", "How far onsets are pulled to the grid.", (_float("strength", 0, 1),),
          example="/melody/quantize 1.0"),
    Route(VOICE, "humanize", "How much timing and velocity wander.", (_float("amount", 0, 1),),
          example="/drums/humanize 0.2"),
    Route(VOICE, "grid", "The grid of quantize and swing.",
          (_choice("grid", "1/4", "1/8", "1/8T", "1/16", "1/16T", "1/32"),), example="/melody/grid 1/16T"),
    Route(VOICE, "transpose", "Semitones up or down.", (_int("semitones", -48, 48, unit="semitones"),),
          example="/melody/transpose -12"),
    Route(VOICE, "velocity", "A factor on every velocity.", (_float("factor", 0, 2),), example="/melody/velocity 0.8"),
    Route(VOICE, "mute", "Silence the voice, or one part of it (-1: all).", (_truth("on"), _int("part", -1, 2, -1)),
          example="/melody/mute 1"),
    Route(VOICE, "loop", "1: the bars go round; 0: once round, then silence.", (_truth("on"),),
          example="/melody/loop 0"),
    Route(VOICE, "launch", "When a change sounds; beats and steps are counted from the line of the bar.",
          (_choice("when", "now", "step", "beat", "bar", "loop"),),
          example="/melody/launch beat"),
    Route(VOICE, "play", "Sound again, from the launch boundary; what `loop 0` has let sound once, once more."),
    Route(VOICE, "stop", "Close the voice's notes at once; its bars are kept."),
)  # fmt: skip

ROUTES: Final[tuple[Route, ...]] = (*_BRIDGE, *_CLOCK, *_VOICE_BARS, *_VOICE_KNOBS)

ERROR_CODES: Final[dict[int, str]] = {
    1: "no such address, or a pattern that matches none",
    2: "wrong number or type of arguments",
    3: "value out of range, NaN and infinity included; nothing is changed",
    4: "not ready, or not now",
    5: "no such model, slot, id, attribute or scene",
    6: "busy: too much is waiting",
    7: "failed inside; it is logged",
}

EVENTS: Final[tuple[Event, ...]] = (
    Event("/error", "code:i address:s message:s", "A request was refused; to its sender alone."),
    Event("/bridge/pong", "token:i version:s uptime:f ready:i", "Answer to ping; uptime in seconds."),
    Event("/bridge/welcome", "version:s voices:i", "Answer to subscribe; the whole state follows."),
    Event("/bridge/bye", "", "Answer to unsubscribe."),
    Event("/bridge/ready", "ready:i", "Ends a whole state; and whenever it changes."),
    Event("/bridge/heartbeat", "n:i", "Twice a second, to subscribers."),
    Event("/bridge/panicked", "n_notes:i", "Panic has closed so many notes."),
    Event("/bridge/key/state", "tonic:i mode:s sounding:i",
          "The key has changed: as asked for, and the tonic in force (-1: none yet); also in each /VOICE/state."),
    Event("/clock/beat", "beat:i tempo:f playing:i", "On every beat."),
    Event("/clock/state", "source:s playing:i tempo:f beat:f numerator:i denominator:i error_ms:f",
          "The clock has changed."),
    Event("/VOICE/bars/begin", "id:i notes:i start:f bars:i",
          "Bars are ready; start is the beat of the loop's position 0, -1 while the clock stands."),
    Event("/VOICE/bars/notes", "id:i notes...", "Their notes as they will sound, 30 a message."),
    Event("/VOICE/bars/end", "id:i latency:f", "All told; latency in ms from the request to the player."),
    Event("/VOICE/launched", "id:i beat:f", "They have begun to sound."),
    Event("/VOICE/jam/phase", "phase:s start:f length:f",
          "Jamming: `count_in` (a bar before anybody need play), `ready`, `listen`, `answer`, `follow` or `off`, from "
          "which beat (-1: none) and for how many beats; once more where the metre changes in it."),
    Event("/VOICE/late", "id:i ms:f", "They missed their boundary; the old loop goes round once more."),
    Event("/VOICE/state", "key:s value ...",
          "Keys and values in turn, after changes, at most 20 a second, the last value always. `muted` is 1 when all "
          'parts are; `muted_parts` says which are ("0 2").'),
)  # fmt: skip
