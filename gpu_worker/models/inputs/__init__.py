"""What a model is given: pixels, latents, conditioning."""
