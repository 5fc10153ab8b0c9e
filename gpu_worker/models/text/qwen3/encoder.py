"""Encode prompts with Qwen3: as a chat's first turn, read at layers inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3Model

from gpu_worker.models.text.clip.prompts import parse_prompt


@dataclass(frozen=True, eq=False)
class Qwen3Embeddings:
    """Hidden states, (prompts, tokens, layers * width), and which tokens are of the prompt."""

    hidden_states: Tensor
    mask: Tensor


class Qwen3Encoder:
    """Encodes prompts, which are cut to a number of tokens or filled up to it."""

    def __init__(
        self,
        model: Qwen3Model,
        tokenizer: Qwen2Tokenizer,
        layers: tuple[int, ...],
        max_tokens: int,
        is_thinking: bool = False,
    ) -> None:
        """Read these layers side by side; `is_thinking` is how the chat's answer begins."""
        self.model, self.tokenizer, self.max_tokens = model, tokenizer, max_tokens
        self._layers, self._is_thinking = layers, is_thinking

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Qwen3Embeddings:
        """Return the embeddings of prompts, a row each."""
        tokens = self.tokenizer(
            [self._to_chat(prompt) for prompt in prompts],
            return_tensors="pt",
            padding="max_length",
            truncation=True,
            max_length=self.max_tokens,
        )
        mask = tokens["attention_mask"].to(self.model.device)
        output = self.model(
            input_ids=tokens["input_ids"].to(self.model.device),
            attention_mask=mask,
            output_hidden_states=True,
            use_cache=False,
        )
        layers = [output.hidden_states[layer] for layer in self._layers]
        return Qwen3Embeddings(torch.cat(layers, dim=-1), mask)

    def find_words(self, prompt: str, words: str) -> list[tuple[int, ...]]:
        """Return the places of words among the tokens of a prompt, once for each time they stand there."""
        plain_prompt = remove_weights(prompt)
        chat = self._to_chat(plain_prompt)
        shift = chat.index(plain_prompt)
        spans = self.tokenizer(
            chat, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True
        )["offset_mapping"]
        found = (
            tuple(
                place
                for place, (start, stop) in enumerate(spans)
                if start < shift + match.end() and stop > shift + match.start()
            )
            for match in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", plain_prompt, re.IGNORECASE)
        )
        return [places for places in found if places]

    def _to_chat(self, prompt: str) -> str:
        turn = [{"role": "user", "content": prompt}]
        text = self.tokenizer.apply_chat_template(
            turn, tokenize=False, add_generation_prompt=True, enable_thinking=self._is_thinking
        )
        return str(text)


def remove_weights(prompt: str) -> str:
    """Return a prompt without AUTOMATIC1111's weights, of which a language model knows nothing."""
    return "".join(" " * part.begins_chunk + part.text for part in parse_prompt(prompt)).strip()
