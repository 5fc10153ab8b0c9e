"""How long it takes to draw with another person's LoRA, and what a thousand times of that leave behind."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from statistics import median

import psutil

from benchmarks.probes.task import random_lora
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.cache import MAX_KEPT, LoraShelf
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import LoraUse

LORAS = 100
SWITCHES = 1000


def main() -> None:
    """Measure times on the model given, and memory on the embedded one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    base = BaseModel.load(parser.parse_args().model)
    uses = [use(base, number) for number in range(MAX_KEPT)]
    shelf = LoraShelf()
    cold = [timed(shelf, base, each) for each in uses]
    cached = [timed(shelf, base, each) for each in uses * 3]
    told = {"cold_s": median(cold), "cached_s": median(cached), "lora_bytes": len(uses[0].data)}
    del base, uses, shelf
    print(json.dumps({**told, **memory()}))


def memory() -> dict[str, int]:
    """Switch among many LoRAs; return memory after the first round and the most seen later."""
    base, shelf, process = BaseModel.load("tiny"), LoraShelf(), psutil.Process()
    uses = [use(base, number) for number in range(LORAS)]
    for each in uses:
        timed(shelf, base, each)
    before = process.memory_info().rss
    most = 0
    for number in range(SWITCHES):
        timed(shelf, base, uses[number * 37 % LORAS])
        most = max(most, process.memory_info().rss)
    return {"rss_before_bytes": before, "rss_most_bytes": most}


def use(base: BaseModel, seed: int) -> LoraUse:
    """Return a LoRA of random numbers as the bot sends it."""
    data = lora_file.write(random_lora(base, seed), {}, "fp16")
    return LoraUse(data=data, sha256=hashlib.sha256(data).hexdigest(), name=f"{seed:08}")


def timed(shelf: LoraShelf, base: BaseModel, each: LoraUse) -> float:
    """Return the seconds from bytes to a LoRA that has its effect."""
    began = time.perf_counter()
    adapter, _ = shelf.take(base, (each,))
    assert adapter is not None  # noqa: S101 - one was given
    adapter.activate()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
