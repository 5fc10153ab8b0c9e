"""sd-scripts' way of asking for a training: its flags, folders and files, turned into our own dials."""
