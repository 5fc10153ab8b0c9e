"""Where base models come from: hub, folders, files, and the weights in them."""
