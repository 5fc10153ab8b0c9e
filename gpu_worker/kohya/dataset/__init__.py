"""The pictures of a training on disk: folders, files, sizes, and the file that describes them."""
