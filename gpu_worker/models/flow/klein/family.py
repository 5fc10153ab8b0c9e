"""FLUX.2 klein 4B as a family, and its embedded small model. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.device.memory_profile import GIB, SMALL_MEMORY, MemoryProfile
from gpu_worker.models.family import KLEIN_ARCHITECTURE, TRANSFORMERS, LoraGroup, ModelFamily, SamplingConfig
from gpu_worker.models.flow.klein.names import FILE_NAMES
from gpu_worker.protocol import SHAPES

KLEIN = ModelFamily(
    name="klein",
    title="FLUX.2 klein 4B",
    architecture=KLEIN_ARCHITECTURE,
    licence="Apache-2.0",
    native_px=1024,
    lora_groups=(
        LoraGroup(
            name="transformer",
            key_prefix="lora_unet_",
            log_name="unet",
            block_classes=("Flux2TransformerBlock", "Flux2SingleTransformerBlock"),
            file_names=FILE_NAMES,
        ),
    ),
    memory=MemoryProfile(
        parameters=3.96e9,  # transformer and VAE; twin and text encoder are in system memory
        activation_bytes={2: 12.0 * GIB, 4: 24.0 * GIB},
        checkpointed_share=0.1,
        overhead_bytes=0.8 * GIB,
        min_memory_gb=24.0,
        quantizable=3.87e9,
        parked=7.9e9,
        teraflops=105.0,
    ),
    wide_paths=(
        "vae",
        *(f"{part}.{path}" for part in TRANSFORMERS for path in ("time_guidance_embed", "proj_out")),
    ),
    parks_text_encoders=True,
    needs_bf16=True,
    takes_letters_only=True,
    shapes=SHAPES,
    training_defaults={
        "resolution_px": 512,  # OneTrainer's presets for small cards
        "steps": 800,  # happyin.space: rank 32 converges in 500 to 1,000; modl: 80 a photo
        "rank": 16,  # modl: for fewer than 20 photos
        "alpha": 16.0,  # diffusers' example and ai-toolkit: as the rank
        "unet_lr": 1e-4,  # diffusers' example, musubi-tuner, ai-toolkit
        "train_text_encoder": False,
        "min_snr_gamma": None,
        "save_precision": "bf16",
        "checkpoint_every_s": 300.0,
        "sample_every_steps": 200,
        "candidate_every_steps": 200,
        "candidates_from_step": 400,
        "candidate_picture_steps": 4,
    },
    sampling=SamplingConfig(steps=4, fast_steps=4, guidance_scale=1.0, has_guidance=False),
    size_step_px=16,
    metadata={
        "ss_base_model_version": "flux2_klein_4b",
        "ss_network_module": "networks.lora_flux_2",
        "modelspec.architecture": "Flux.2-klein-4b/lora",
    },
)

#: As the undistilled model draws by itself (its model card).
KLEIN_BASE = replace(
    KLEIN, sampling=SamplingConfig(steps=50, fast_steps=25, guidance_scale=4.0, has_guidance=True)
)

#: It has random weights: with high learning rates a few steps already change its pictures visibly.
TINY_KLEIN = replace(
    KLEIN,
    name="tiny-klein",
    title="the embedded klein for tests",
    licence="that of LoraCode",
    memory=SMALL_MEMORY,
    needs_bf16=False,
    native_px=128,
    training_defaults={
        "steps": 40,
        "rank": 16,
        "alpha": 16.0,
        "unet_lr": 2e-3,
        "train_text_encoder": False,
        "min_snr_gamma": None,
        "checkpoint_every_steps": 20,
        "sample_every_steps": 20,
        "candidate_picture_steps": 4,
    },
)
