"""The bytes that MIDI messages begin with, and the controllers that silence a channel: everything we send or read."""

from __future__ import annotations

from typing import Final

# -- of a channel, whose number 0-15 is in the lower four bits --------------------------------------------------------
NOTE_OFF: Final = 0x80
NOTE_ON: Final = 0x90
CONTROL_CHANGE: Final = 0xB0
KIND: Final = 0xF0  # the bits that say which of these it is
CHANNEL: Final = 0x0F  # and those of the channel
ALL_SOUND_OFF: Final = 120
ALL_NOTES_OFF: Final = 123

# -- of the whole system ----------------------------------------------------------------------------------------------
SYSTEM: Final = 0xF0  # from here on messages have no channel: clock and transport are among them
SONG_POSITION: Final = 0xF2
TICK: Final = 0xF8
START: Final = 0xFA
CONTINUE: Final = 0xFB
STOP: Final = 0xFC
