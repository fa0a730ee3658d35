"""`python -m bridge` is `barline`: how a program that has only this Python at hand starts a command."""

import sys

from bridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
