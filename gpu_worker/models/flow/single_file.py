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


def read_transformer_file(path: Path, family: ModelFamily) -> WeightSource:
    """Return the weights under diffusers' names; raises BaseModelError for another model's."""
    source = WeightSource.open_files([path])
    views = {remove_file_prefix(name): view for name, view in source.views().items()}
    try:
        return source.with_names(_CONVERTERS[family.architecture](views))
    except (KeyError, IndexError, RuntimeError) as error:  # a name or shape that the converter does not know
        raise BaseModelError(
            JobProblem.BASE_MODEL_OTHER_CONFIG, name=path.name, part="transformer"
        ) from error
