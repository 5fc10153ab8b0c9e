"""The nouns of LoraCode and the rules about them: plain frozen data, no input and no output."""
