"""Every setting of a training and of a picture, each with its unit and source. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_worker.errors import BadInput
from gpu_worker.models.family import ModelFamily


@dataclass(frozen=True)
class SamplePrompt:
    """One sample picture; None means the base model's default for pictures."""

    #: The words, trigger included.
    prompt: str
    #: What to keep away from.
    negative_prompt: str = ""
    #: Side lengths in pixels, multiples of 8.
    width_px: int | None = None
    #: See `width_px`.
    height_px: int | None = None
    #: Denoising steps.
    steps: int | None = None
    #: Classifier-free guidance scale.
    guidance_scale: float | None = None
    #: The same at every sample, so that only the LoRA differs.
    seed: int = 0


@dataclass(frozen=True)
class TrainingConfig:
    """One training's settings. The defaults are for a person on Stable Diffusion 1.5."""

    # --- how long, how large -----------------------------------------------------------------------------
    #: Optimizer steps. 300 for each of five photos, as the runs this service grew out of.
    steps: int = 1500
    #: Side of the square training pictures in pixels; what SD 1.5 was made for. Examples may say otherwise.
    resolution_px: int = 512
    #: Pictures that go through the model together.
    batch_size: int = 1
    #: Batches whose gradients are averaged into one optimizer step; sd-scripts' default.
    gradient_accumulation_steps: int = 1
    #: Where the random draws begin: start values, noise, timesteps, order of the photos.
    seed: int = 0

    # --- the LoRA ----------------------------------------------------------------------------------------
    #: Rank of every matrix pair; 16 to 32 is what most person trainings on SD 1.5 use.
    rank: int = 16
    #: The LoRA's effect is multiplied by alpha / rank; kohya's guide: about half the rank.
    alpha: float = 8.0
    #: Share of the low-rank activations that is dropped in a step (dropout); sd-scripts' default: none.
    dropout: float = 0.0
    #: Share of the rank's dimensions that is dropped in a step; sd-scripts' `rank_dropout`: none.
    rank_dropout: float = 0.0
    #: Share of the modules that have no LoRA in a step; sd-scripts' `module_dropout`: none.
    module_dropout: float = 0.0
    #: Whether the UNet learns (192 modules); sd-scripts' default.
    train_unet: bool = True
    #: Whether the text encoder learns too (72 modules more); sd-scripts' default.
    train_text_encoder: bool = True

    # --- the optimizer -----------------------------------------------------------------------------------
    #: Which optimizer, by sd-scripts' name; AdamW is its default. `optimizers.py` has the list.
    optimizer_type: str = "AdamW"
    #: The optimizer's own settings as (name, value) pairs, such as weight_decay; none: its library's.
    optimizer_args: tuple[tuple[str, str], ...] = ()
    #: Step size for the UNet, per step; kohya's guide and most presets.
    unet_lr: float = 1e-4
    #: Step size for the text encoder; smaller, because words forget quickly (presets: 1e-5 to 5e-5).
    text_encoder_lr: float = 5e-5
    #: How the rates go over the steps, by sd-scripts' name; its default. diffusers' schedules.
    lr_scheduler: str = "constant"
    #: Steps in which the rates rise from zero; sd-scripts' default.
    lr_warmup_steps: int = 0
    #: Cycles of the schedule `cosine_with_restarts`; sd-scripts' default.
    lr_scheduler_num_cycles: int = 1
    #: Exponent of the schedule `polynomial`; sd-scripts' default.
    lr_scheduler_power: float = 1.0
    #: Length the gradient of all matrices together is cut down to; sd-scripts' default. 0: never cut.
    max_grad_norm: float = 1.0

    # --- noise and loss ----------------------------------------------------------------------------------
    #: Gamma of min-SNR weighting (Hang et al. 2023; 5 in the paper and most presets); None: all steps alike.
    min_snr_gamma: float | None = 5.0
    #: Strength of noise that is the same over a whole channel (crosslabs 2023), in standard deviations.
    noise_offset: float = 0.0
    #: Coarser noises added, each twice as coarse (multires noise, wandb 2023), as a count; 0: off.
    multires_noise_iterations: int = 0
    #: Weight of each coarser noise relative to the one before; sd-scripts' default.
    multires_noise_discount: float = 0.3
    #: Weight of the loss of regularisation pictures; DreamBooth's and sd-scripts' default.
    prior_loss_weight: float = 1.0
    #: Weight of the loss that keeps the class as it was: a noisy photo is shown again, its caption without
    #: the trigger, and the frozen base model's own answer is wanted. The idea of OneTrainer's prior
    #: prediction and ai-toolkit's differential output preservation; sd-scripts has no such thing. 0: off.
    class_preservation_weight: float = 0.0
    #: Every so many'th picture is shown so too; that one's loss counts for as many. More is cheaper.
    class_preservation_interval: int = 2
    #: Whether an example's mask weighs the loss, pixel by pixel (sd-scripts' `masked_loss`).
    masked_loss: bool = False
    #: Which of the text encoder's layers is read, counted from the last, 1; None: the last (SD 1.5).
    clip_skip: int | None = None

    # --- memory and precision ----------------------------------------------------------------------------
    #: Compute activations again in the backward pass: less memory, 40 % more time. None: measured at start.
    gradient_checkpointing: bool | None = None
    #: Precision of the file that is handed out: `fp16` halves it, and generation uses no more.
    save_precision: str = "fp16"

    # --- what comes out on the way -----------------------------------------------------------------------
    #: A checkpoint at least after this many steps ...
    checkpoint_every_steps: int = 100
    #: ... and after this many seconds, whichever comes first: what a crash may cost.
    checkpoint_every_s: float = 60.0
    #: A sample picture of every prompt after this many steps, and at the start; None: no samples.
    sample_every_steps: int | None = None
    #: Whether the samples begin with the bare base model.
    sample_at_first: bool = True
    #: What the samples show, with their sizes and seeds; the same at every step, to be compared.
    sample_prompts: tuple[SamplePrompt, ...] = ()
    #: A candidate after this many steps, and after the last one; None: none.
    candidate_every_steps: int | None = None
    #: Not before this step: a LoRA that has hardly learnt is nobody's choice.
    candidates_from_step: int = 0
    #: Steps that the LoRA which is gone on with had learnt for; what comes out on the way counts from there.
    previous_steps: int = 0
    #: What a candidate's pictures show; none: no candidates.
    candidate_prompts: tuple[str, ...] = ()
    #: Denoising steps of these pictures: enough to see who it is. Kept low, as all candidates of a training
    #: together shall take a twentieth of its time (docs/likeness.md).
    candidate_picture_steps: int = 12


def check_config(config: TrainingConfig) -> None:
    """Raise BadInput if these settings cannot be trained with."""
    if config.steps < 1:
        raise BadInput("A training needs at least one step.")
    if config.resolution_px % 64 or config.resolution_px < 64:
        raise BadInput(f"The resolution must be a multiple of 64 pixels, not {config.resolution_px}.")
    if not (config.train_unet or config.train_text_encoder):
        raise BadInput("A training needs something to train: the UNet, the text encoder, or both.")


#: `tiny` has random weights: with high learning rates a few steps already change its pictures visibly.
_TRAINING_CONFIGS: dict[ModelFamily, TrainingConfig] = {
    "sd15": TrainingConfig(sample_every_steps=250, candidate_every_steps=250, candidates_from_step=500),
    "drawn": TrainingConfig(
        steps=250,
        batch_size=4,
        resolution_px=64,
        unet_lr=2e-3,
        text_encoder_lr=5e-4,
        checkpoint_every_steps=50,
        sample_every_steps=50,
        candidate_every_steps=50,
        candidates_from_step=100,
        candidate_picture_steps=8,
    ),
    "tiny": TrainingConfig(
        steps=80,
        resolution_px=128,
        unet_lr=2e-3,
        text_encoder_lr=5e-4,
        checkpoint_every_steps=20,
        sample_every_steps=20,
    ),
}


def default_training_config(family: ModelFamily, native_px: int) -> TrainingConfig:
    """Return the default settings of a training on this kind of base model."""
    return replace(_TRAINING_CONFIGS[family], resolution_px=native_px)
