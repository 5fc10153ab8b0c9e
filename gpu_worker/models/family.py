"""What a family of base models is: one record a family, which everything above asks. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_worker.device.memory_profile import SD15_MEMORY, MemoryProfile

_RATIO = re.compile(r"(\d{1,4}(?:\.\d{1,3})?):(\d{1,4}(?:\.\d{1,3})?)")
STABLE_DIFFUSION, SDXL_ARCHITECTURE = "Stable Diffusion 1.x", "SDXL"
KLEIN_ARCHITECTURE, Z_IMAGE_ARCHITECTURE = "FLUX.2 klein 4B", "Z-Image"
#: Components of a flow's model that predict: LoRAs learn in the first, and the second may draw.
TRANSFORMERS = ("transformer", "distilled_transformer")


@dataclass(frozen=True)
class NameTable:
    """A two-way table of names: ours, which are diffusers' and transformers', and those of other code.

    Both columns hold the beginnings of dotted paths; `parts` are names inside of the blocks.
    """

    blocks: tuple[tuple[str, str], ...]
    parts: tuple[tuple[str, str], ...] = ()

    def to_theirs(self, path: str) -> str | None:
        """Return what the other code calls a path of ours; None if it is not in the table."""
        return _translate(path, self.blocks, self.parts)

    def to_ours(self, path: str) -> str | None:
        """Return what we call a path of the other code; None if it is not in the table."""
        return _translate(path, _swap(self.blocks), _swap(self.parts))


def _swap(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((theirs, ours) for ours, theirs in pairs)


def _translate(
    path: str, blocks: tuple[tuple[str, str], ...], parts: tuple[tuple[str, str], ...]
) -> str | None:
    for source, target in blocks:
        rest = path.removeprefix(source)
        if path.startswith(source) and rest[:1] in ("", "."):
            inner = rest[1:]
            translated = next((_replace(inner, *pair) for pair in parts if _begins(inner, pair[0])), inner)
            return f"{target}.{translated}" if inner else target
    return None


def _begins(path: str, start: str) -> bool:
    return path == start or path.startswith(start + ".")


def _replace(path: str, start: str, replacement: str) -> str:
    return replacement + path.removeprefix(start)


@dataclass(frozen=True)
class FileNames:
    """How LoRA files name modules by their path in the model's own code, with the alpha folded in.

    `fused` are modules that are one matrix there: the end of its path, and the ends of ours.
    """

    table: NameTable
    fused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    is_fused_in_files: bool = True  #: whether files are written so; they are read either way
    prefix: str = "diffusion_model."

    def to_file_path(self, path: str) -> str:
        """Return what files call a module of ours that is not fused."""
        return self.table.to_theirs(path) or path

    def find_fused(self, path: str) -> tuple[str, int] | None:
        """Return what files call the matrix that a module is a part of, and which part; None: it is whole."""
        for fused_end, ends in self.fused:
            for index, end in enumerate(ends):
                if path.endswith(f".{end}"):
                    return f"{self.to_file_path(path.removesuffix(f'.{end}'))}.{fused_end}", index
        return None


@dataclass(frozen=True)
class LoraGroup:
    """A component that a LoRA adapts, with a learning rate of its own."""

    name: str  #: of the component: `unet`, `text_encoder`
    key_prefix: str  #: what kohya's names of its modules begin with
    log_name: str  #: what sd-scripts calls its learning rate
    block_classes: tuple[str, ...]  #: every linear layer and convolution inside of these is adapted
    conv_block_classes: tuple[str, ...] = ()  #: and inside of these by a LoCon
    end_paths: tuple[str, ...] = ()  #: and these modules by LyCORIS
    names: NameTable | None = None  #: what files call its modules; None: as diffusers does
    other_prefixes: tuple[str, ...] = ()  #: what names of its modules begin with in files of others
    text_paths: tuple[str, ...] = ()  #: how paths of its modules end that read text and no picture
    blocks_path: str = ""  #: what paths of those blocks begin with, where not all of a class are adapted
    file_names: FileNames | None = None  #: None: files are written with kohya's names

    @property
    def is_text_encoder(self) -> bool:
        """Whether it reads the prompt."""
        return self.name.startswith("text_encoder")

    @property
    def encoder_index(self) -> int:
        """Which of several text encoders it is, counted from 0."""
        number = self.name.rpartition("_")[2]
        return int(number) - 1 if number.isdecimal() else 0


@dataclass(frozen=True)
class SamplingConfig:
    """The settings of a picture where the request leaves them open."""

    #: Denoising steps; DPM++ 2M Karras is done in 20 to 30.
    steps: int = 25
    #: Denoising steps of a fast picture.
    fast_steps: int = 10
    #: Timesteps fitted to the family, which DPM++ 2M takes for a fast picture; none: Karras et al.'s sigmas.
    fast_timesteps: tuple[int, ...] = ()
    #: Classifier-free guidance scale; AUTOMATIC1111's default.
    guidance_scale: float = 7.0
    #: Whether guidance and negative prompts have an effect; a distilled model has none.
    has_guidance: bool = True
    #: Factor by which the finished picture is enlarged.
    upscale_factor: int = 1


@dataclass(frozen=True)
class ModelFamily:
    """Base models that one LoRA fits, and all that is said of them. `name` is stored with every LoRA."""

    name: str
    title: str  #: as people call it
    architecture: str  #: what a VAE and a LoRA must be made for to fit: `SDXL`
    licence: str  #: the name of its licence
    native_px: int  #: side of the pictures that it was trained on
    lora_groups: tuple[LoraGroup, ...]  #: in the order in which a new LoRA is drawn
    #: Width and height of a named shape, as factors of the native side.
    shapes: Mapping[str, tuple[float, float]]
    #: Fields of `TrainingConfig` that differ from its defaults.
    memory: MemoryProfile = SD15_MEMORY  #: what a training takes
    #: Modules, `unet.conv_in`, and whole components that are never rounded to few bits.
    wide_paths: tuple[str, ...] = ("vae",)
    parks_text_encoders: bool = False  #: they leave the card while they are not used
    training_defaults: Mapping[str, Any] = field(default_factory=dict)
    sampling: SamplingConfig = SamplingConfig()
    #: Whether a ratio of sides keeps the native area, as of models trained on many; else the short side.
    ratio_keeps_area: bool = False
    needs_bf16: bool = False  #: it overflows in fp16
    reads_weights: bool = True  #: weights in prompts, `(word:1.3)`, have an effect
    takes_letters_only: bool = False  #: its tokenizer tears triggers with digits apart
    size_step_px: int = 8  #: sides of pictures are multiples of it
    #: What a LoRA file says of its base model.
    metadata: Mapping[str, str] = field(default_factory=dict)
    has_identity_model: bool = False  #: it comes with a net that tells its people apart

    def find_shape(self, name: str) -> tuple[float, float] | None:
        """Return a shape's width and height in native sides, by its name or as `5:4`; None if it is none.

        The longer side of a ratio is at most two.
        """
        match = _RATIO.fullmatch(name)
        if match is None:
            return self.shapes.get(name)
        width, height = float(match[1]), float(match[2])
        if not width or not height:
            return None
        ratio = max(width, height) / min(width, height)
        long = min(math.sqrt(ratio) if self.ratio_keeps_area else ratio, 2.0)
        return (long, long / ratio) if width > height else (long / ratio, long)

    @property
    def training_px(self) -> int:
        """Side of the pictures that a training takes by default."""
        return int(self.training_defaults.get("resolution_px", self.native_px))

    def find_group(self, name: str) -> LoraGroup:
        """Return the LoRA group of a component."""
        return next(group for group in self.lora_groups if group.name == name)
