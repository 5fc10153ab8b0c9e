"""A tokenizer of Qwen's kind whose tokens are single bytes, for the embedded models."""

from __future__ import annotations

from transformers import Qwen2Tokenizer

from gpu_worker.models.text.clip.tokenizer import list_byte_symbols

START_MARK, END_MARK, PAD_MARK = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
_MARKS = (PAD_MARK, START_MARK, END_MARK, "<think>", "</think>")
#: A question's turn, and the beginning of the answer; without thinking the thoughts are empty.
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
#: Bytes and marks.
VOCABULARY_SIZE = 256 + len(_MARKS)


def build_byte_tokenizer() -> Qwen2Tokenizer:
    """Return the tokenizer; it needs no file."""
    tokens = [*list_byte_symbols(), *_MARKS]
    tokenizer = Qwen2Tokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": [START_MARK, END_MARK]})
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer
