"""The OSC floor: one table of routes is the whole interface; a strict decoder stands before it."""
