"""Floor 2: the player process. It holds the MIDI ports, the clock and the loops, and waits for nobody."""
