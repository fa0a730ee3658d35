"""Barline: a model that plays along in Ableton Live, over OSC and MIDI."""

__version__ = "0.1.0"
