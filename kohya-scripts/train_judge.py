"""Train the net that judges the small base model's pictures.

    python kohya-scripts/train_judge.py --run /tmp/run --to gpu_worker/models/sd15/drawn/judge.safetensors

It learns from drawings and from drawings that went through the run's VAE, so that soft pictures are judged
as well. People and scenes up to the settings' `drawings` are for training; it is tested on others.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from small_base.architecture import build_vae
from small_base.settings import SmallBaseSettings
from small_base.state import SmallBaseState
from torch import Tensor

import drawn
from gpu_worker.models.sd15.drawn.judge import SIDE_PX, IdentityNet, encode_labels


@dataclass(frozen=True)
class IdentityModelSettings:
    """The training settings of the net."""

    seed: int = 21
    people: int = 3_000
    scenes: int = 4  #: of each person
    steps: int = 3_000
    people_per_batch: int = 32
    rate: float = 2e-3
    temperature: float = 0.1  #: of the contrast between people (Khosla et al. 2020)
    identity_weight: float = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the base model's run: its VAE")
    parser.add_argument("--to", type=Path, required=True, help="the weights' file")
    args = parser.parse_args()
    settings = IdentityModelSettings()
    dataset = IdentityDataset(
        settings, first_person=0, people=settings.people, vae_path=args.run / "vae.safetensors"
    )
    model = train_identity_model(settings, dataset)
    held_out = IdentityDataset(settings, SmallBaseSettings().unseen_seed, 300, args.run / "vae.safetensors")
    evaluate(model, held_out)
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, args.to)
    log_line(f"{args.to}: {args.to.stat().st_size / 2**20:.2f} MiB")
    return 0


class IdentityDataset:
    """People in several scenes each: as drawn, as the VAE gives them back, and the answers."""

    def __init__(
        self, settings: IdentityModelSettings, first_person: int, people: int, vae_path: Path
    ) -> None:
        log_line(f"drawing {people} people in {settings.scenes} scenes each")
        pixels, targets = [], []
        for person_seed in range(first_person, first_person + people):
            person = drawn.identity(person_seed)
            for number in range(settings.scenes):
                scene = drawn.scene(person_seed * 7 + number)
                pixels.append(np.asarray(drawn.draw(person, scene, SIDE_PX)).transpose(2, 0, 1))
                targets.append(encode_labels(person, scene))
        self.people, self.scenes = people, settings.scenes
        self.targets = torch.tensor(targets).view(people, settings.scenes, -1)
        drawn_pixels = torch.from_numpy(np.stack(pixels)).view(people, settings.scenes, 3, SIDE_PX, SIDE_PX)
        self.pixel_variants = (drawn_pixels, _reconstruct(drawn_pixels, vae_path))

    def batch(self, people: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return two scenes of each person, blurred, shifted and tinted a little, with the answers."""
        scenes = torch.stack([torch.randperm(self.scenes, generator=generator)[:2] for _ in people])
        is_reconstructed = torch.rand(scenes.shape, generator=generator) < 0.5
        chosen_pixels = torch.where(
            is_reconstructed[..., None, None, None],
            self.pixel_variants[1][people[:, None], scenes],
            self.pixel_variants[0][people[:, None], scenes],
        )
        pixels = chosen_pixels.flatten(0, 1).float() / 127.5 - 1
        return _augment(pixels, generator), self.targets[people[:, None], scenes].flatten(0, 1)


@torch.no_grad()
def _reconstruct(drawn_pixels: Tensor, vae_path: Path) -> Tensor:
    log_line("through the VAE")
    vae = build_vae(SmallBaseSettings())
    state = SmallBaseState(vae, learning_rate=0.0, ema_decay=0.0)
    state.load(vae_path)
    state.apply_ema()
    flat_pixels, batches = drawn_pixels.flatten(0, 1), []
    for start in range(0, len(flat_pixels), 32):
        pixels = flat_pixels[start : start + 32].float() / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction = vae.decode(vae.encode(pixels).latent_dist.mean).sample
        batches.append(((reconstruction.float().clamp(-1, 1) + 1) * 127.5).round().byte())
    return torch.cat(batches).view(drawn_pixels.shape)


def _augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Blur some, shift by up to 3 pixels, change brightness and contrast by up to a tenth."""
    if float(torch.rand((), generator=generator)) < 0.4:
        size = int(torch.randint(32, 60, (), generator=generator))
        small = F.interpolate(pixels, size=(size, size), mode="area")
        pixels = F.interpolate(small, size=(SIDE_PX, SIDE_PX), mode="bilinear")
    padded = F.pad(pixels, (3, 3, 3, 3), mode="replicate")
    offset_y, offset_x = torch.randint(0, 7, (2,), generator=generator).tolist()
    shifted = padded[:, :, offset_y : offset_y + SIDE_PX, offset_x : offset_x + SIDE_PX]
    jitter = torch.rand(2, len(pixels), 1, 1, 1, generator=generator) * 0.2 - 0.1
    return (shifted * (1 + jitter[0]) + jitter[1]).clamp(-1, 1)


def train_identity_model(settings: IdentityModelSettings, dataset: IdentityDataset) -> IdentityNet:
    """Return the trained net."""
    torch.manual_seed(settings.seed)
    model = IdentityNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=0.02)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, settings.steps)
    generator = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.steps + 1):
        people = torch.randperm(dataset.people, generator=generator)[: settings.people_per_batch]
        pixels, targets = dataset.batch(people, generator)
        outputs = model(pixels)
        loss = settings.identity_weight * contrastive_loss(outputs["identity"], settings.temperature)
        for number, attribute in enumerate(("place", "shirt", "hair")):
            loss = loss + F.cross_entropy(outputs[attribute], targets[:, number])
        loss = loss + F.binary_cross_entropy_with_logits(outputs["worn"], targets[:, 3:].float())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        if step % 250 == 0:
            log_line(f"judge {step}/{settings.steps} loss {float(loss):.3f}")
    return model.eval()


def contrastive_loss(identities: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss of identity vectors; the two pictures of a person are neighbours."""
    similarities = identities @ identities.T / temperature
    similarities.fill_diagonal_(float("-inf"))
    partners = torch.arange(len(identities)) ^ 1
    return F.cross_entropy(similarities, partners)


@torch.no_grad()
def evaluate(model: IdentityNet, dataset: IdentityDataset) -> None:
    """Print the net's accuracy on people it was not trained on."""
    for name, pixels in zip(("drawn", "through the VAE"), dataset.pixel_variants, strict=True):
        outputs = model(pixels.flatten(0, 1).float() / 127.5 - 1)
        targets = dataset.targets.flatten(0, 1)
        accuracies = [
            float((outputs[attribute].argmax(1) == targets[:, number]).float().mean())
            for number, attribute in enumerate(("place", "shirt", "hair"))
        ]
        identities = outputs["identity"].view(dataset.people, dataset.scenes, -1)
        same_similarity = (identities[:, 0] * identities[:, 1]).sum(-1)
        other_similarity = (identities[:, 0] * identities.roll(1, 0)[:, 1]).sum(-1)
        log_line(
            f"{name}: place {accuracies[0]:.3f}, shirt {accuracies[1]:.3f}, hair {accuracies[2]:.3f}, "
            f"same person closer {float((same_similarity > other_similarity).float().mean()):.3f}"
        )


def log_line(line: str) -> None:
    """Print a line of the log with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
