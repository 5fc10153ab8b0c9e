"""Pictures: prompts, samplers, denoising, files."""
