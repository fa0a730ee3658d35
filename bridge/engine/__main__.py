"""``python -m bridge.engine``: started by the supervisor, ended by the end of its standard input."""

from __future__ import annotations

import json
import logging
import os
import sys

from bridge.channel import listen


def main() -> int:
    """Listen first, so that the bridge can connect at once; then import torch, which takes seconds."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="engine: %(levelname)s %(message)s")
    init = json.loads(sys.stdin.readline() or "null")
    if init is None:
        return 0
    server, port = listen()
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    from bridge.engine.server import EngineServer

    EngineServer(server, init).run()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a model may be loading on a thread, which the interpreter's own way out would trip over
