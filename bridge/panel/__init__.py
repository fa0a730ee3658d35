"""The browser panel: a page, and a WebSocket that carries the OSC of contract section 3 in both directions."""
