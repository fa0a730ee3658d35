"""The voices of a session: what they hold, where new bars come from, gestures, history and undo."""
