"""The settings of a training, each with its unit and the source of its default. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gpu_worker.errors import BadInput
from gpu_worker.lora.config import NetworkConfig
from gpu_worker.models.family import LoraGroup, ModelFamily


@dataclass(frozen=True)
class SamplePrompt:
    """One sample picture; None means the model family's default."""

    #: The prompt, trigger included.
    prompt: str
    #: What the guidance moves away from.
    negative_prompt: str = ""
    #: Width in pixels, a multiple of 8.
    width_px: int | None = None
    #: Height in pixels, a multiple of 8.
    height_px: int | None = None
    #: Denoising steps.
    steps: int | None = None
    #: Classifier-free guidance scale.
    guidance_scale: float | None = None
    #: The same at every step, so that only the LoRA differs.
    seed: int = 0


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of one training. The defaults are for a person on Stable Diffusion 1.5."""

    # --- how long, how large -----------------------------------------------------------------------------
    #: Optimizer steps: 300 for each of five photos.
    steps: int = 1500
    #: Side of the square training images in pixels; SD 1.5's native size. `TrainingImage.size_px` overrides.
    resolution_px: int = 512
    #: Images per batch.
    batch_size: int = 1
    #: Batches whose gradients are averaged into one optimizer step; sd-scripts' default.
    gradient_accumulation_steps: int = 1
    #: Seed of initial weights, noise, timesteps, and the order of the images.
    seed: int = 0

    # --- the LoRA ----------------------------------------------------------------------------------------
    #: Rank of every LoRA layer; most trainings of a person on SD 1.5 use 16 to 32.
    rank: int = 16
    #: The LoRA's effect is scaled by alpha / rank; kohya's guide: about half the rank.
    alpha: float = 8.0
    #: Kind and reach: a plain LoRA of the transformers, which `networks.lora` is by itself; most presets.
    network: NetworkConfig = field(default_factory=NetworkConfig)
    #: Whether a LoRA that is trained further keeps its own modules, kinds and ranks (`dim_from_weights`).
    shape_from_initial: bool = False
    #: Norm that no module's effect exceeds (sd-scripts' `scale_weight_norms`); its default, None: no limit.
    max_weight_norm: float | None = None
    #: Share of low-rank activations dropped in a step (sd-scripts' `network_dropout`); its default: none.
    dropout: float = 0.0
    #: Share of the rank's dimensions that is dropped in a step; sd-scripts' `rank_dropout`: none.
    rank_dropout: float = 0.0
    #: Share of the modules without their LoRA layer in a step; sd-scripts' `module_dropout`: none.
    module_dropout: float = 0.0
    #: Whether the UNet is trained (192 modules); sd-scripts' default.
    train_unet: bool = True
    #: Whether the text encoders are trained too (72 more modules); sd-scripts' default.
    train_text_encoder: bool = True

    # --- the optimizer -----------------------------------------------------------------------------------
    #: Which optimizer, by sd-scripts' name; AdamW is its default. `optimizers.py` has the list.
    optimizer_type: str = "AdamW"
    #: The optimizer's own settings as (name, value) pairs, such as weight_decay; none: its library's.
    optimizer_args: tuple[tuple[str, str], ...] = ()
    #: Learning rate of the UNet; kohya's guide and most presets.
    unet_lr: float = 1e-4
    #: Learning rate of the text encoder; smaller, because it forgets quickly (presets: 1e-5 to 5e-5).
    text_encoder_lr: float = 5e-5
    #: Learning rates of several text encoders one by one; empty: `text_encoder_lr` for all.
    text_encoder_lrs: tuple[float, ...] = ()
    #: Learning rate schedule, by the name that sd-scripts and diffusers use; sd-scripts' default.
    lr_scheduler: str = "constant"
    #: Steps in which the learning rates rise from zero; sd-scripts' default.
    lr_warmup_steps: int = 0
    #: Cycles of the schedule `cosine_with_restarts`; sd-scripts' default.
    lr_scheduler_num_cycles: int = 1
    #: Exponent of the schedule `polynomial`; sd-scripts' default.
    lr_scheduler_power: float = 1.0
    #: Norm to which the gradient of all parameters together is clipped; sd-scripts' default. 0: no clipping.
    max_grad_norm: float = 1.0

    # --- noise and loss ----------------------------------------------------------------------------------
    #: Gamma of min-SNR weighting (Hang et al. 2023; 5 in the paper and most presets); None: no weighting.
    min_snr_gamma: float | None = 5.0
    #: Strength of offset noise, one value per channel (crosslabs 2023), in standard deviations.
    noise_offset: float = 0.0
    #: Number of coarser noises added, each 2 to 4 times as coarse (multires noise, wandb 2023); 0: off.
    multires_noise_iterations: int = 0
    #: Weight of each coarser noise relative to the one before; sd-scripts' default.
    multires_noise_discount: float = 0.3
    #: Weight of the loss of regularisation images; default of DreamBooth and sd-scripts.
    prior_loss_weight: float = 1.0
    #: Weight of the class preservation loss: the noisy image is run again, its caption without the trigger,
    #: and the target is the prediction of the frozen base model. After OneTrainer's prior prediction and
    #: ai-toolkit's differential output preservation; sd-scripts has no such option. 0: off.
    class_preservation_weight: float = 0.0
    #: Every n-th image is run again; its loss then counts n times. A larger interval is faster.
    class_preservation_interval: int = 2
    #: Whether an image's mask weighs the loss (sd-scripts' `masked_loss`).
    masked_loss: bool = False
    #: Tokens of a caption that are read, 75, 150 or 225; a longer one is cut off. sd-scripts' default: 75.
    max_token_length: int = 75
    #: Layer of the text encoder that is used, counted from the last, which is 1; None: the last (SD 1.5).
    clip_skip: int | None = None

    # --- memory and precision ----------------------------------------------------------------------------
    #: Gradient checkpointing: less memory, 40 % more time. None: decided when the base model is loaded.
    gradient_checkpointing: bool | None = None
    #: Precision of the LoRA file; fp16 halves it, and generation uses no more.
    save_precision: str = "fp16"

    # --- checkpoints, samples and candidates -------------------------------------------------------------
    #: A checkpoint at least after this many steps ...
    checkpoint_every_steps: int = 100
    #: ... and after this many seconds, whichever comes first. A crash costs the steps since then.
    checkpoint_every_s: float = 60.0
    #: A sample picture of every prompt after this many steps, and at the start; None: no samples.
    sample_every_steps: int | None = None
    #: A first sample of each prompt after this step, drawn fast, where that is cheap; None: not before.
    first_sample_step: int | None = None
    #: Whether the first samples show the base model without the LoRA.
    sample_at_first: bool = True
    #: The samples of every step.
    sample_prompts: tuple[SamplePrompt, ...] = ()
    #: A candidate after this many steps, and after the last step; None: no candidates.
    candidate_every_steps: int | None = None
    #: The first step that may have a candidate; earlier ones have learnt too little.
    candidates_from_step: int = 0
    #: Step offset of a LoRA that is trained further; samples and candidates are numbered from here.
    previous_steps: int = 0
    #: Prompts of a candidate's pictures; none: no candidates.
    candidate_prompts: tuple[str, ...] = ()
    #: Denoising steps of these pictures: enough to recognise a person, and so few that all candidates take
    #: a twentieth of the training's time (docs/likeness.md).
    candidate_picture_steps: int = 12

    def is_trained(self, group: LoraGroup) -> bool:
        """Return whether the LoRA learns in a component."""
        return self.train_text_encoder if group.is_text_encoder else self.train_unet

    def learning_rate(self, group: LoraGroup) -> float:
        """Return the learning rate of a component."""
        if not group.is_text_encoder:
            return self.unet_lr
        rates = self.text_encoder_lrs or (self.text_encoder_lr,)
        return rates[min(group.encoder_index, len(rates) - 1)]


def check_config(config: TrainingConfig) -> None:
    """Raise BadInput if these settings cannot be trained with."""
    if config.steps < 1:
        raise BadInput("A training needs at least one step.")
    if config.resolution_px % 64 or config.resolution_px < 64:
        raise BadInput(f"The resolution must be a multiple of 64 pixels, not {config.resolution_px}.")
    if not (config.train_unet or config.train_text_encoder):
        raise BadInput("A training needs something to train: the UNet, the text encoder, or both.")


def default_training_config(family: ModelFamily, native_px: int) -> TrainingConfig:
    """Return the defaults of a model family at the native size of one of its models."""
    return replace(TrainingConfig(), **{"resolution_px": native_px, **family.training_defaults})
