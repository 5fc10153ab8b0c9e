"""Start LoraCode: `python -m bot`, which is `loracode`."""

from __future__ import annotations

import sys

from bot.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
