"""Takes the panel's pictures for the docs from a real bridge: ``PYTHONPATH=. python tests/panel_pictures.py docs``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from browser import Browser
from PIL import Image
from whole_bridge import PATIENCE_S, subscribed

from bridge.hosted import HostedBridge

#: The bass plays whatever model there is for it.
VOICES = {"melody": "melody-2bar", "bass": "bass-2bar", "drums": "drums-2bar"}
SIZES = {"panel": (1160, 730), "panel-device": (1000, 169), "panel-phone": (390, 844)}


def main(folder: Path) -> None:
    """Play a little, and take the pictures."""
    with tempfile.TemporaryDirectory() as work:
        settings = ["panel.enabled=true", "panel.port=0", "midi.backend=none", "clock.tempo=112"]
        with HostedBridge(Path(work) / "s", settings) as bridge, Browser(Path(work) / "b") as browser:
            bridge.wait_until_ready()
            shoot(bridge, browser, folder)


def shoot(bridge: HostedBridge, browser: Browser, folder: Path) -> None:
    """Loops in every voice that has a model, corners filled, the pad in the middle, bars coming."""
    with subscribed(bridge) as user, browser.tab(f"http://{bridge.processes()['panel']}/", *SIZES["panel"]) as tab:
        ready = [voice for voice in VOICES if user.state(voice)["ready"]]
        user.send("/clock/play")
        for voice in ready:
            user.send(f"/{voice}/launch", "now")
            for slot in "cbad":
                user.launched(user.bars(f"/{voice}/sample", 2), voice)
                user.send(f"/{voice}/store", slot)
            user.send(f"/{voice}/launch", "loop")
        user.send("/melody/xy", 0.38, 0.62)
        user.wait_for("/melody/bars/end", PATIENCE_S, user.mark())
        time.sleep(2.5)  # the gesture comes to rest and enters the history
        user.wait_for("/clock/beat", PATIENCE_S, user.mark(), lambda said: said.args[0] % 8 == 1)
        for voice in ready:
            user.bars(f"/{voice}/next", 2)
        for name, size in SIZES.items():
            tab.resize(*size)
            time.sleep(0.4)
            raw = folder / f"{name}.png"
            tab.picture(raw)
            with Image.open(raw) as picture:
                shades = picture.convert("RGB").point(lambda level: level & 0xFC)  # smaller, and no eye sees it
                shades.save(raw, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
