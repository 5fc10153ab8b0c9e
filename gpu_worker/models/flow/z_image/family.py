"""Z-Image as a family, and its embedded small model. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.device.memory_profile import GIB, BlockGroup, MemoryProfile, StoredPart
from gpu_worker.models.family import (
    TRANSFORMERS,
    Z_IMAGE_ARCHITECTURE,
    FileNames,
    LoraGroup,
    ModelFamily,
    NameTable,
    SamplingConfig,
)
from gpu_worker.models.flow.records import QWEN3_4B, TRAINING_DEFAULTS, shrink_family
from gpu_worker.protocol import SHAPES

#: Files have diffusers' paths; query, key and value are one matrix in the model's own code.
_FILE_NAMES = FileNames(
    table=NameTable(
        blocks=tuple((f"layers.{layer}", f"layers.{layer}") for layer in range(30)),
    ),
    fused=(("attention.qkv", ("attention.to_q", "attention.to_k", "attention.to_v")),),
    is_fused_in_files=False,
)

Z_IMAGE = ModelFamily(
    name="z-image",
    title="Z-Image",
    architecture=Z_IMAGE_ARCHITECTURE,
    licence="Apache-2.0",
    native_px=1024,
    lora_groups=(
        LoraGroup(
            name="transformer",
            key_prefix="lora_unet_",
            log_name="unet",
            block_classes=("Attention", "FeedForward"),
            blocks_path="layers.",  # OneTrainer's preset: without the refiners
            file_names=_FILE_NAMES,
        ),
    ),
    memory=MemoryProfile(
        parameters=6.24e9,  # transformer and VAE; twin and text encoder are in system memory
        activation_bytes={2: 31.0 * GIB, 4: 62.0 * GIB},
        checkpointed_share=0.0715,
        overhead_bytes=0.39 * GIB,
        min_memory_gb=32.0,
        quantizable=6.144e9,
        text_encoders=QWEN3_4B,
        twin=StoredPart(6.155e9, 6.144e9),
        picture_bytes=0.47 * GIB,
        fixed_share=0.01,
        blocks=(BlockGroup("ZImageTransformerBlock", 32, 180.9e6),),
        teraflops=119.0,
    ),
    wide_paths=(
        "vae",
        *(f"{part}.{path}" for part in TRANSFORMERS for path in ("t_embedder", "cap_embedder")),
    ),
    parks_text_encoders=True,
    needs_bf16=True,
    reads_weights=False,  # as in ComfyUI: a language model's hidden states are not scaled
    takes_letters_only=True,
    shapes=SHAPES,
    training_defaults={
        **TRAINING_DEFAULTS,
        "steps": 1500,  # modl: 75 a photo, from 1,500 on
        "sample_every_steps": 250,
        "candidate_every_steps": 250,
        "candidates_from_step": 500,
        "candidate_picture_steps": 8,
    },
    sampling=SamplingConfig(steps=8, fast_steps=8, guidance_scale=1.0, has_guidance=False),
    size_step_px=16,
    metadata={
        "ss_base_model_version": "zimage",
        "ss_network_module": "networks.lora_zimage",
        "modelspec.architecture": "Z-Image/lora",
    },
)

#: As the undistilled model draws by itself (its model card).
Z_IMAGE_BASE = replace(
    Z_IMAGE, sampling=SamplingConfig(steps=50, fast_steps=28, guidance_scale=4.0, has_guidance=True)
)

TINY_Z_IMAGE = shrink_family(Z_IMAGE, "tiny-zimage", "the embedded Z-Image for tests")
