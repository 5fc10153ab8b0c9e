"""`python -m bot.media.quality woman photos/*.jpg`: what the coach says of pictures, and its cost."""

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
from bot.core.photos import StoredPhoto
from bot.media import contact_sheet
from bot.media.decoding import SandboxedPhotoDecoder
from bot.media.quality import (
    PhotoMeasurements,
    PhotoVerdict,
    SandboxedPhotoAnalyzer,
    advice_sentence,
    build_report,
    verdict_overlay,
    verdict_sentence,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bot.media.quality",
        description="What the coach says of pictures, and what that costs.",
    )
    parser.add_argument("class_word", help="person, woman, man, dog, cat, thing or style")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path, help="write the marked contact sheet into this PNG file")
    options = parser.parse_args()
    uploads = [Upload(path.name, path.read_bytes()) for path in options.pictures]
    sheet_jpeg = asyncio.run(review_pictures(options.class_word, uploads))
    if options.sheet is not None:
        options.sheet.write_bytes(sheet_jpeg)


async def review_pictures(class_word: str, uploads: Sequence[Upload]) -> bytes:
    """Print a line for each picture, then advice and cost. Return the marked contact sheet."""
    analyzer, decoder = SandboxedPhotoAnalyzer(), SandboxedPhotoDecoder()
    photos, measurements_list, times_ms = list[StoredPhoto](), list[PhotoMeasurements | None](), list[float]()
    try:
        for upload in uploads:
            try:
                photo = await decoder.decode(upload)
            except UserError as error:
                _print_line(f"{upload.name}: {error.message}")
                continue
            photos.append(photo.stored)
            started_s = time.perf_counter()
            measurements = await analyzer.analyze(photo.data)
            times_ms.append(1000 * (time.perf_counter() - started_s))
            measurements_list.append(measurements)
            verdict = build_report([measurements], class_word).verdicts[0]
            _print_line(
                f"{upload.name}: {_format_measurements(measurements, verdict)}, {times_ms[-1]:.0f} ms"
            )
        quality_report = build_report(measurements_list, class_word)
        sentences = [
            verdict_sentence(number, verdict) for number, verdict in enumerate(quality_report.verdicts, 1)
        ]
        for line in [
            *filter(None, sentences),
            *map(advice_sentence, quality_report.advice),
            _format_cost(times_ms, analyzer.pid),
        ]:
            _print_line(line)
        return contact_sheet.compose(
            photos, [verdict_overlay(verdict) for verdict in quality_report.verdicts]
        )
    finally:
        await analyzer.close()
        await decoder.close()


def _format_measurements(measurements: PhotoMeasurements | None, verdict: PhotoVerdict) -> str:
    if measurements is None:
        return "not seen"
    face_count = "faces not looked for" if measurements.faces is None else f"{len(measurements.faces)} faces"
    return f"{measurements.width_px} x {measurements.height_px}, {face_count}, {verdict.grade.name.lower()}"


def _format_cost(times_ms: Sequence[float], pid: int | None) -> str:
    if not times_ms or pid is None:
        return "nothing was looked at"
    memory_mib = psutil.Process(pid).memory_info().rss / 2**20
    median_ms = statistics.median(times_ms)
    return f"{median_ms:.0f} ms a picture, at most {max(times_ms):.0f} ms; {memory_mib:.0f} MiB held"


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
