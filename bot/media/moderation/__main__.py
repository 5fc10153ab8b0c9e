"""`python -m bot.media.moderation photos/*.jpg`: what the content check says, and what that costs."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.media.decoding import PhotoGate
from bot.media.moderation import ChildLooker, is_installed

NOT_INSTALLED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the pictures that are named; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bot.media.moderation",
        description="Scores pictures: 0 is none, 1 is surely pornography. Looks at no age and no violence.",
    )
    parser.add_argument("pictures", nargs="+", type=Path)
    asked = parser.parse_args(arguments)
    if not is_installed():
        _say("The extra `safety` is not installed: pip install --editable '.[safety]'")
        return NOT_INSTALLED
    asyncio.run(look(asked.pictures))
    return 0


async def look(paths: Sequence[Path]) -> None:
    """Write a line for each picture, then a summary."""
    looker, gate = ChildLooker(), PhotoGate()
    scores, times_ms = list[float](), list[float]()
    try:
        for path in paths:
            try:
                photo = await gate.check(Upload(path.name, await asyncio.to_thread(path.read_bytes)))
            except (UserError, OSError) as error:
                _say(f"-      {path}: {error}")
                continue
            begun_s = time.perf_counter()
            score = await looker.score(photo.data)
            times_ms.append(1000 * (time.perf_counter() - begun_s))
            _say(f"{'?' if score is None else f'{score:.3f}':<6} {path}")
            scores += [] if score is None else [score]
        _say(_summary(scores, times_ms))
    finally:
        await looker.close()
        await gate.close()


def _summary(scores: Sequence[float], times_ms: Sequence[float]) -> str:
    if not scores:
        return "nothing was scored"
    middle_ms, most = statistics.median(times_ms), max(scores)
    return f"{len(scores)} of {len(times_ms)} scored, {most:.3f} at most; {middle_ms:.0f} ms a picture"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
