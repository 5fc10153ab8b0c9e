"""Stands in for sd-scripts' `train_network.py`: takes its flags, prints as it does, writes a LoRA.

Copied into a folder as `train_network.py`; the file `how` beside it says what goes wrong, `seen.json` tells
what it was given. It needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TEXTS = (
    "pretrained_model_name_or_path train_data_dir output_dir output_name save_model_as save_precision "
    "resolution network_module optimizer_type lr_scheduler mixed_precision"
)
WHOLE = "train_batch_size max_train_steps network_dim max_data_loader_n_workers seed"
BROKEN = "learning_rate unet_lr network_alpha max_grad_norm min_snr_gamma"
SWITCHES = "sdpa cache_latents gradient_checkpointing network_train_unet_only"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for names, kind in ((TEXTS, str), (WHOLE, int), (BROKEN, float)):
        for name in names.split():
            parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--network_weights")
    parser.add_argument("--vae")
    parser.add_argument("--text_encoder_lr", type=float, nargs="*", required=True)
    for name in SWITCHES.split():
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def start_child(how: str) -> list[int]:
    stay = "import signal; print(1, flush=True); signal.pause()"
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stay = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {stay}"
    if how not in ("hang", "stubborn", "linger"):
        return []
    return [subprocess.Popen([sys.executable, "-c", stay]).pid]


def tell(asked: argparse.Namespace, photos: list[Path], pids: list[int]) -> None:
    data = Path(asked.train_data_dir)
    seen = {
        "args": vars(asked),
        "cwd": str(Path.cwd()),
        "pids": pids,
        "photos": [str(path.relative_to(data)) for path in photos],
        "tmp": os.environ["TMPDIR"],
        "mode": data.parent.stat().st_mode & 0o777,
        "pythonpath": os.environ.get("PYTHONPATH"),
    }
    (HERE / "seen.part").write_text(json.dumps(seen))
    (HERE / "seen.part").replace(HERE / "seen.json")  # whole, or not there


def show(step: int, steps: int) -> None:
    bar = f"{100 * step // steps:3d}%|\u2588\u258f   | {step}/{steps} [00:01<00:09,  1.43it/s, avr_loss=0.1]"
    sys.stderr.write(f"\rsteps: {bar}")
    sys.stderr.flush()


def go_wrong(how: str, photos: list[Path]) -> None:
    if how == "crash":
        raise RuntimeError(f"cannot open {photos[0]} / {photos[1].name}")
    if how == "memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    if how == "module":
        import a_library_that_is_not_there  # type: ignore[import-not-found]  # noqa: F401
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    while how in ("hang", "stubborn"):
        signal.pause()


def lora(steps: int, value: bytes = b"\x00\x3c") -> bytes:
    """Return a LoRA of one module in half precision, all numbers alike (1.0)."""
    head: dict[str, object] = {"__metadata__": {"ss_steps": str(steps)}}
    at = 0
    for suffix, shape, count in (
        ("lora_down.weight", [2, 4], 8),
        ("lora_up.weight", [4, 2], 8),
        ("alpha", [], 1),
    ):
        place = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + 2 * count]}
        head[f"lora_unet_mid_block.{suffix}"] = place
        at += 2 * count
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + value * (at // 2)


def main() -> None:
    asked, how = arguments(), (HERE / "how").read_text()
    photos = sorted(Path(asked.train_data_dir).rglob("*.*"))
    tell(asked, photos, [os.getpid(), *start_child(how)])
    print("prepare tokenizer / \u6e96\u5099")  # noqa: T201 - what it is there for
    sys.stderr.write("\r100%|\u2588| 5/5 [00:01<00:00,  4.00it/s]\n")
    if how == "garbage":
        os.write(1, os.urandom(300_000) + b"steps: 1/2\r\n" * 1000 + b"steps:  50%|a| 99/100 [0]\n")
    for step in range(asked.max_train_steps + 1):
        show(step, asked.max_train_steps)
        if step == 2:
            go_wrong(how, photos)
    made = lora(asked.max_train_steps)
    if how == "damaged":
        made = lora(asked.max_train_steps)[:-9]
    elif how == "nan":
        made = lora(asked.max_train_steps, b"\x00\x7e")
    if how != "nothing":
        Path(asked.output_dir, f"{asked.output_name}.{asked.save_model_as}").write_bytes(made)


if __name__ == "__main__":
    main()
