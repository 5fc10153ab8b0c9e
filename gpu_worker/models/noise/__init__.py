"""How noise gets into latents and out of them: diffusion and its samplers."""
