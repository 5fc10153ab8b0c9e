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
from bot.media.decoding import SandboxedPhotoDecoder
from bot.media.moderation import SandboxedNsfwScorer, is_installed

NOT_INSTALLED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the pictures that are named; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bot.media.moderation",
        description="Scores pictures: 0 is none, 1 is surely pornography. Looks at no age and no violence.",
    )
    parser.add_argument("pictures", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    if not is_installed():
        _print_line("The extra `safety` is not installed: pip install --editable '.[safety]'")
        return NOT_INSTALLED
    asyncio.run(score_pictures(options.pictures))
    return 0


async def score_pictures(paths: Sequence[Path]) -> None:
    """Write a line for each picture, then a summary."""
    scorer, decoder = SandboxedNsfwScorer(), SandboxedPhotoDecoder()
    scores, times_ms = list[float](), list[float]()
    try:
        for path in paths:
            try:
                photo = await decoder.decode(Upload(path.name, await asyncio.to_thread(path.read_bytes)))
            except (UserError, OSError) as error:
                _print_line(f"-      {path}: {error}")
                continue
            started_s = time.perf_counter()
            score = await scorer.score(photo.data)
            times_ms.append(1000 * (time.perf_counter() - started_s))
            _print_line(f"{'?' if score is None else f'{score:.3f}':<6} {path}")
            scores += [] if score is None else [score]
        _print_line(_format_summary(scores, times_ms))
    finally:
        await scorer.close()
        await decoder.close()


def _format_summary(scores: Sequence[float], times_ms: Sequence[float]) -> str:
    if not scores:
        return "nothing was scored"
    median_ms, max_score = statistics.median(times_ms), max(scores)
    return f"{len(scores)} of {len(times_ms)} scored, {max_score:.3f} at most; {median_ms:.0f} ms a picture"


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
