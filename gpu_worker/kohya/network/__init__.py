"""`--network_module` and its settings: the kind of LoRA that a command line asks for."""
