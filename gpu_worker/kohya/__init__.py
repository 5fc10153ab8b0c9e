"""sd-scripts' command line: its flags, folders and files, turned into a TrainingTask."""
