"""How much of a card each memory mode takes: counted on fake tensors, or measured where there is a card."""
