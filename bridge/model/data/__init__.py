"""From MIDI files to windows, batches and chains of windows."""
