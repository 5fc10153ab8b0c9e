"""Every setting of a training and of a picture, each with its unit and source. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Dials:
    """One training's settings. The defaults are for a person on Stable Diffusion 1.5."""

    #: Optimizer steps. 300 for each of five photos, as the runs this service grew out of.
    steps: int = 1500
    #: Side of the square training pictures in pixels; what SD 1.5 was made for.
    resolution_px: int = 512
    #: Pictures in one step.
    batch_size: int = 1
    #: Where the random draws begin: start values, noise, timesteps, order of the photos.
    seed: int = 0

    #: Rank of every matrix pair; 16 to 32 is what most person trainings on SD 1.5 use.
    rank: int = 16
    #: The LoRA's effect is multiplied by alpha / rank; kohya's guide: about half the rank.
    alpha: float = 8.0
    #: Whether the text encoder learns too (72 modules more); sd-scripts' default.
    train_text_encoder: bool = True

    #: Step size of AdamW for the UNet, per step; kohya's guide and most presets.
    unet_rate: float = 1e-4
    #: Step size for the text encoder; smaller, because words forget quickly (presets: 1e-5 to 5e-5).
    text_rate: float = 5e-5
    #: AdamW's decays of the first and second moment; its and sd-scripts' default.
    betas: tuple[float, float] = (0.9, 0.999)
    #: AdamW's weight decay, share of the rate per step; its and sd-scripts' default.
    weight_decay: float = 0.01
    #: Length the gradient of all matrices together is cut down to; sd-scripts' default.
    max_gradient_norm: float = 1.0
    #: Gamma of min-SNR weighting (Hang et al. 2023; 5 in the paper and most presets); None: all steps alike.
    min_snr_gamma: float | None = 5.0

    #: Precision of the file that is handed out: `fp16` halves it, and generation uses no more.
    save_precision: str = "fp16"

    #: A checkpoint at least after this many steps ...
    checkpoint_every_steps: int = 100
    #: ... and after this many seconds, whichever comes first: what a crash may cost.
    checkpoint_every_s: float = 60.0


@dataclass(frozen=True)
class PictureDials:
    """What a picture is drawn with where the person did not say."""

    #: Denoising steps; DPM++ 2M Karras is done in 20 to 30.
    steps: int = 25
    #: Classifier-free guidance scale; AUTOMATIC1111's default.
    guidance: float = 7.0


#: The embedded model has learnt nothing: large strides, so that a few steps leave a mark that can be seen.
_TINY = Dials(steps=80, resolution_px=128, unet_rate=2e-3, text_rate=5e-4, checkpoint_every_steps=20)
_TINY_PICTURE = PictureDials(steps=8)


def training_dials(embedded: bool, native_px: int) -> Dials:
    """Return the default settings of a training on this kind of base model."""
    return _TINY if embedded else replace(Dials(), resolution_px=native_px)


def picture_dials(embedded: bool) -> PictureDials:
    """Return the default settings of a picture from this kind of base model."""
    return _TINY_PICTURE if embedded else PictureDials()
