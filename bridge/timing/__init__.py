"""Floor 1: beat and time. Tempo maps, the internal clock, followers, and the real and offline twins of time itself."""
