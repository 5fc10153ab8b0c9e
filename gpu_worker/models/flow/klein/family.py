"""FLUX.2 klein 4B as a family, and its embedded small model. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.device.memory_profile import GIB, BlockGroup, MemoryProfile, StoredPart
from gpu_worker.models.family import KLEIN_ARCHITECTURE, TRANSFORMERS, LoraGroup, ModelFamily, SamplingConfig
from gpu_worker.models.flow.klein.names import FILE_NAMES
from gpu_worker.models.flow.records import QWEN3_4B, TRAINING_DEFAULTS, shrink_family
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
            text_paths=(
                *(f"attn.{name}" for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
                *(f"ff_context.{name}" for name in ("linear_in", "linear_out")),
            ),
            file_names=FILE_NAMES,
        ),
    ),
    memory=MemoryProfile(
        parameters=3.96e9,  # transformer and VAE; twin and text encoder are in system memory
        activation_bytes={2: 16.85 * GIB, 4: 33.7 * GIB},
        checkpointed_share=0.108,
        overhead_bytes=0.27 * GIB,
        min_memory_gb=24.0,
        quantizable=3.865e9,
        text_encoders=QWEN3_4B,
        twin=StoredPart(3.876e9, 3.865e9),
        blocks=(
            BlockGroup("Flux2SingleTransformerBlock", 20, 122.7e6),
            BlockGroup("Flux2TransformerBlock", 5, 245.4e6),
        ),
        picture_bytes=0.57 * GIB,
        fixed_share=0.11,
        teraflops=79.7,
    ),
    wide_paths=(
        "vae",
        *(f"{part}.{path}" for part in TRANSFORMERS for path in ("time_guidance_embed", "proj_out")),
    ),
    parks_text_encoders=True,
    needs_bf16=True,
    reads_weights=False,  # as in ComfyUI: a language model's hidden states are not scaled
    takes_letters_only=True,
    shapes=SHAPES,
    training_defaults={
        **TRAINING_DEFAULTS,
        "steps": 800,  # happyin.space: rank 32 converges in 500 to 1,000; modl: 80 a photo
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

TINY_KLEIN = shrink_family(KLEIN, "tiny-klein", "the embedded klein for tests")
