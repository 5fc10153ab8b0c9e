"""The small trained base model: Stable Diffusion's shape, 64x64 pictures, taught with the project's own drawings."""
