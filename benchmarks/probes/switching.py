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
from gpu_worker.lora.cache import MAX_ADAPTERS, AdapterCache
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import LoraUse

LORAS = 100
SWITCHES = 1000


def main() -> None:
    """Measure times on the model given, and memory on the embedded one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    base = load_base_model(parser.parse_args().model)
    loras = [make_lora(base, number) for number in range(MAX_ADAPTERS)]
    adapter_cache = AdapterCache()
    cold = [time_switch(adapter_cache, base, lora) for lora in loras]
    cached = [time_switch(adapter_cache, base, lora) for lora in loras * 3]
    document = {"cold_s": median(cold), "cached_s": median(cached), "lora_bytes": len(loras[0].data)}
    del base, loras, adapter_cache
    print(json.dumps({**document, **measure_memory()}))


def measure_memory() -> dict[str, int]:
    """Switch among many LoRAs; return memory after the first round and the most seen later."""
    base, adapter_cache, process = load_base_model("tiny"), AdapterCache(), psutil.Process()
    loras = [make_lora(base, number) for number in range(LORAS)]
    for lora in loras:
        time_switch(adapter_cache, base, lora)
    rss_before = process.memory_info().rss
    rss_peak = 0
    for number in range(SWITCHES):
        time_switch(adapter_cache, base, loras[number * 37 % LORAS])
        rss_peak = max(rss_peak, process.memory_info().rss)
    return {"rss_before_bytes": rss_before, "rss_most_bytes": rss_peak}


def make_lora(base: BaseModel, seed: int) -> LoraUse:
    """Return a LoRA of random numbers as the bot sends it."""
    data = lora_file.write(random_lora(base, seed), {}, "fp16")
    return LoraUse(data=data, sha256=hashlib.sha256(data).hexdigest(), name=f"{seed:08}")


def time_switch(adapter_cache: AdapterCache, base: BaseModel, lora: LoraUse) -> float:
    """Return the seconds from bytes to a LoRA that has its effect."""
    started_at = time.perf_counter()
    adapter, _ = adapter_cache.get(base, (lora,))
    assert adapter is not None  # noqa: S101 - one was given
    adapter.activate()
    return time.perf_counter() - started_at


if __name__ == "__main__":
    main()
