"""Every bound of the live program in one place, each with its reason.

Whatever a stranger can make grow (packets, queues, loops, histories) has its limit here and nowhere else.
"""

from typing import Final

# -- the wire ---------------------------------------------------------------------------------------------------------
MAX_DATAGRAM_BYTES: Final = 8192  # contract section 3: a UDP datagram larger than this is not ours
MAX_ARGUMENTS: Final = 256  # 30 notes of five numbers and a length make 151; a chord loop of 64 makes 193
MAX_ADDRESS_CHARS: Final = 128  # the longest address of the table has under 64, a pattern may list alternatives
MAX_BUNDLE_DEPTH: Final = 4  # a client nests once; hundreds of levels are an attack on the stack
MAX_BUNDLE_ELEMENTS: Final = 256  # of one datagram, nested ones included: 8 KiB of ordinary knob messages (32 bytes)
MAX_REQUESTS_PER_DATAGRAM: Final = 512  # patterns multiply: three that match every address of three voices still fit
MAX_PATTERN_CHARS_PER_DATAGRAM: Final = 1024  # patterns not met before, matched for one datagram: about 0.5 ms of work
MAX_KNOWN_PATTERNS: Final = 256  # patterns whose matches are remembered; a client uses a dozen
MAX_WAITING_BUNDLES: Final = 256  # contract section 3: time-tagged bundles kept for later
MAX_BUNDLE_AHEAD_S: Final = 60.0  # contract section 3: a bundle further ahead is refused
NUMBER_SLACK: Final = 1e-6  # contract section 3: 32-bit floats may miss a bound by this much
MAX_SUBSCRIBERS: Final = 16  # contract 3.1
SUBSCRIPTION_S: Final = 60.0  # contract 3.1: silence after which a subscription lapses
HEARTBEAT_S: Final = 0.5  # contract 3.1: twice a second
MAX_NOTES_PER_MESSAGE: Final = 30  # contract section 3: keeps a message under 1 KiB
DATAGRAMS_PER_WAKE: Final = 32  # a flood may not starve timers: so many are read before the loop breathes
WAKE_BUDGET_NS: Final = 2_000_000  # ... or for so long, when the datagrams are costly ones
MAX_SENDERS_PER_SUBSCRIBER: Final = 8  # a shell that speaks from a new port each time may not grow the table
MAX_FAULT_KINDS_LOGGED: Final = 64  # a fault is logged once per kind, and so many kinds at most
MAX_NAME_CHARS: Final = 64  # names of voices, models, scenes and attributes
MAX_LATENT_WAYS: Final = 512  # directions of a model's latent that can be turned; the rest move next to nothing
MAX_CHORDS: Final = 64  # a chord a bar for the longest loop, four times over

# -- what a voice holds -----------------------------------------------------------------------------------------------
MAX_VOICES: Final = 16  # each has a MIDI port of its own; beyond this a set of ports is a mistake
MAX_BARS: Final = 16  # contract 3.3: bars of one request
MAX_LOOP_BEATS: Final = 16 * 16.0  # sixteen bars of up to sixteen quarter notes
MAX_LOOP_NOTES: Final = 2048  # sixteen bars of busy drums have about 600
MIN_LOOP_BEATS: Final = 0.25  # one sixteenth; a loop of nothing would wrap for ever
MIN_NOTE_BEATS: Final = 1 / 480  # one tick of the files we write: no note of zero length
MAX_UNDO: Final = 256  # undo steps kept in memory a voice; every set of bars stays on disk
MAX_HEARD_NOTES: Final = 4096  # of what was played lately: 32 bars of more than ten fingers
MAX_REQUESTS_WAITING: Final = 32  # requests for new bars a voice may have before it answers "busy" (error 6)
STATE_EVENTS_PER_S: Final = 20  # contract 3.3
MIN_TEMPERATURE: Final = 0.05  # contract 3.3; at 0 only the likeliest would ever be played
MAX_TEMPERATURE: Final = 2.0
GESTURE_BARS_PER_S: Final = 10  # contract 3.3: a moving knob sends its bars at most so often

# -- time -------------------------------------------------------------------------------------------------------------
MIN_TEMPO_BPM: Final = 20.0  # contract 3.2, the range of Ableton Link
MAX_TEMPO_BPM: Final = 999.0
MAX_OFFSET_MS: Final = 1000.0  # of the clock, either way: more than any driver or radio link delays
LEAP_BEATS: Final = 0.25  # a clock that is followed slides by less: what is further away is another place of the song
LATEST_NS: Final = 30_000_000  # what a stall has made later is not made up for: a flam of notes, a burst of ticks
MAX_SONG_BEATS: Final = 10_000_000  # seven days at 999 BPM
TICKS_PER_BEAT: Final = 480  # contract section 1: of the files we write
CLOCK_TICKS_PER_BEAT: Final = 24  # MIDI clock
MAX_FILES: Final = 999  # written by one command: their numbers have three digits
MAX_FILE_BARS: Final = 1024  # read or written by the commands on files, window by window: half an hour at 120 BPM

# -- between processes ------------------------------------------------------------------------------------------------
MAX_FRAME_BYTES: Final = 1 << 20  # 2,048 notes take about 80 KB of JSON
MAX_BACKLOG_BYTES: Final = 8 << 20  # unsent bytes to one peer; beyond it the peer is taken for dead
MAX_READ_BYTES: Final = 1 << 16  # of a peer before the loop looks at what else is due; most loops fit
MAX_STRANGERS: Final = 8  # who has connected and not said who it is; beyond it the oldest gives way
MAX_MIDI_WAITING: Final = 4096  # received MIDI messages not yet looked at; the oldest give way
MIDI_PER_TURN: Final = 32  # of them in one turn of the player's loop: 5 ms of clock ticks at the worst
PLAYED_RECORD_SLOTS: Final = 65536  # messages kept in the player's own record: several minutes at full density
CONNECT_TIMEOUT_S: Final = 5.0  # a process that has not said who it is by then is sent away
STOP_TIMEOUT_S: Final = 2.0  # what a process gets to end by itself before it is killed
PANIC_REPEAT_S: Final = 2.0  # contract 3.1: a second panic within this sends every note-off

# -- the panel --------------------------------------------------------------------------------------------------------
MAX_PANEL_CONNECTIONS: Final = 64  # a wall of tablets; each costs a share of every event
MAX_PANEL_BACKLOG_BYTES: Final = 1 << 20  # unsent to one page: minutes of events; a page so far behind is dropped
PANEL_MESSAGES_PER_S: Final = 2000  # of one page; ten fingers at 120 Hz send 1,200; beyond it it is read more slowly
PANEL_MESSAGES_AT_ONCE: Final = 256  # so many may come in one go before that pace is held
PANEL_LISTED_BARS: Final = 64  # the newest bars of a voice that a page lists; older ones are recalled by id
PANEL_FILES_AT_ONCE: Final = 2  # bars read from disk for pages: they may not take all of a core
PANEL_KEEPALIVE_S: Final = 10.0  # a page that answers no ping for so long is gone
