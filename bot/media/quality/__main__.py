"""`python -m bot.media.quality woman photos/*.jpg`: what the coach thinks of pictures, and what that cost."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.media import contact_sheet
from bot.media.decoding import PhotoGate
from bot.media.quality import ChildEye, Sight, Verdict, advice_sentence, mark, report, sentence


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bot.media.quality",
        description="What the coach says of pictures, and what that costs.",
    )
    parser.add_argument("class_word", help="person, woman, man, dog, cat, thing or style")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path, help="write the marked contact sheet into this PNG file")
    asked = parser.parse_args()
    uploads = [Upload(path.name, path.read_bytes()) for path in asked.pictures]
    sheet = asyncio.run(look(asked.class_word, uploads))
    if asked.sheet is not None:
        asked.sheet.write_bytes(sheet)


async def look(class_word: str, uploads: Sequence[Upload]) -> bytes:
    """Write a line for each picture, then advice and cost; gives the marked contact sheet."""
    eye, gate = ChildEye(), PhotoGate()
    photos, sights, times_ms = list[bytes](), list[Sight | None](), list[float]()
    try:
        for upload in uploads:
            try:
                photo = await gate.check(upload)
            except UserError as error:
                _say(f"{upload.name}: {error.sentence}")
                continue
            photos.append(photo.data)
            begun_s = time.perf_counter()
            seen = await eye.see(photo.data)
            times_ms.append(1000 * (time.perf_counter() - begun_s))
            sights.append(seen)
            verdict = report([seen], class_word).verdicts[0]
            _say(f"{upload.name}: {_line(seen, verdict)}, {times_ms[-1]:.0f} ms")
        said = report(sights, class_word)
        told = [sentence(number, verdict) for number, verdict in enumerate(said.verdicts, 1)]
        for line in [*filter(None, told), *map(advice_sentence, said.advice), _cost(times_ms, eye.pid)]:
            _say(line)
        return contact_sheet.compose(photos, [mark(verdict) for verdict in said.verdicts])
    finally:
        await eye.close()
        await gate.close()


def _line(seen: Sight | None, verdict: Verdict) -> str:
    if seen is None:
        return "not seen"
    faces = "faces not looked for" if seen.faces is None else f"{len(seen.faces)} faces"
    return f"{seen.width_px} x {seen.height_px}, {faces}, {verdict.grade.name.lower()}"


def _cost(times_ms: Sequence[float], pid: int | None) -> str:
    if not times_ms or pid is None:
        return "nothing was looked at"
    held_mib = psutil.Process(pid).memory_info().rss / 2**20
    middle_ms = statistics.median(times_ms)
    return f"{middle_ms:.0f} ms a picture, at most {max(times_ms):.0f} ms; {held_mib:.0f} MiB held"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
