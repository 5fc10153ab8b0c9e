"""A twin's transformer in one file, with the names of the model's own code, as ComfyUI has it."""

from __future__ import annotations

from pathlib import Path

from diffusers.loaders.single_file_utils import (
    convert_flux2_transformer_checkpoint_to_diffusers,
    convert_z_image_transformer_checkpoint_to_diffusers,
)

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.family import KLEIN_ARCHITECTURE, Z_IMAGE_ARCHITECTURE, ModelFamily
from gpu_worker.models.flow.recognition import remove_file_prefix
from gpu_worker.models.sources.weights import WeightSource

_CONVERTERS = {
    KLEIN_ARCHITECTURE: convert_flux2_transformer_checkpoint_to_diffusers,
    Z_IMAGE_ARCHITECTURE: convert_z_image_transformer_checkpoint_to_diffusers,
}

#: Ends of names beside fp8 weights that ComfyUI multiplies when it reads them.
_SCALE_ENDS = (".weight_scale", ".scale_weight", "scaled_fp8")


def read_transformer_file(path: Path, family: ModelFamily) -> WeightSource:
    """Return weights under diffusers' names; raises BaseModelError for another model's or scaled ones."""
    source = WeightSource.open_files([path])
    views = {remove_file_prefix(name): view for name, view in source.views().items()}
    if any(name.endswith(_SCALE_ENDS) for name in views):
        raise BaseModelError(JobProblem.BASE_MODEL_UNKNOWN_DTYPE, name=path.name, dtype="scaled fp8")
    try:
        return source.with_names(_CONVERTERS[family.architecture](views))
    except (KeyError, IndexError, RuntimeError) as error:  # a name or shape that the converter does not know
        raise BaseModelError(
            JobProblem.BASE_MODEL_OTHER_CONFIG, name=path.name, part="transformer"
        ) from error
