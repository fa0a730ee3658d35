"""Floor 1: beat and time. Tempo maps, the internal clock, followers, and time itself."""
