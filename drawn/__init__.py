"""Pictures that the project draws itself: people who do not exist. Pillow only, imports nothing of ours."""
