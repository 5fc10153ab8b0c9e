"""The small trained base model, in the making: Stable Diffusion's shape, taught with our own drawings."""
