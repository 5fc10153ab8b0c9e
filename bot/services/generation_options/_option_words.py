"""Splits what a person typed into the prompt and the options in it, however they write an option. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from bot.core.errors import UserError
from bot.core.loras import DASHES
from bot.services.generation_options import _values
from bot.texts import translate

OPTIONS = ("n", "size", "seed", "no", "steps", "guidance", "strength", "style", "sampler", "best")
#: Options without a value.
FLAGS = ("fast", "fine")
OPTION_NAMES = ", ".join(f"--{name}" for name in (*OPTIONS, *FLAGS))
#: What other programs, and people, call our options. `ar`, `w` and `h` are sizes; `prompt` ends an option.
_ALIASES = {
    **{name: name for name in (*OPTIONS, *FLAGS, "prompt", "ar", "w", "h")},
    **dict.fromkeys(("negative", "neg", "negativeprompt", "negativo", "without", "senza"), "no"),
    **dict.fromkeys(("cfg", "cfgscale", "scale", "guidancescale", "guida"), "guidance"),
    **dict.fromkeys(("aspect", "aspectratio", "ratio"), "ar"),
    **dict.fromkeys(("resolution", "res", "dimensions", "dimensioni", "formato"), "size"),
    **dict.fromkeys(("count", "num", "number", "images", "pictures", "immagini"), "n"),
    **dict.fromkeys(("step", "samplingsteps", "passi"), "steps"),
    **dict.fromkeys(("samplingmethod", "samplername", "campionatore"), "sampler"),
    **dict.fromkeys(("faster", "quick", "veloce"), "fast"),
    **dict.fromkeys(("finer", "accurata"), "fine"),
    **dict.fromkeys(("weight", "lorastrength", "loraweight", "forza"), "strength"),
    **{"width": "w", "height": "h", "randomseed": "seed", "seme": "seed", "bestof": "best", "stile": "style"},
}
#: Options of other programs that have no counterpart here.
_FOREIGN = frozenset(
    ("v", "q", "s", "c", "r", "p", "iw", "niji", "chaos", "stylize", "tile", "weird", "sref", "cref", "cw")
)
#: Words of samplers' names, ours or not: a name that is ours in part is not taken for ours. The endings
#: belong to a name only behind one of theirs.
_SAMPLER_WORDS = frozenset(
    ("2m", "2s", "3m", "sde", "karras", "exponential", "heun", "lms", "ddim", "plms", "ancestral", "sgm")
)
_SAMPLER_ENDINGS = {"a": ("euler", "2s", "dpm2"), "fast": ("dpm",), "adaptive": ("dpm",), "uniform": ("sgm",)}
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019", "\u00ab": "\u00bb"}
#: Hyphens, or what phones make of them, a name, and a value that is glued to it: `--n4`, `--seed=7`.
_OPTION_PATTERN = re.compile(rf"([{DASHES}]+)([A-Za-z][A-Za-z_\-]*?)(-?[0-9]\S*|[:=]\S*)?")
_DASH_PATTERN = re.compile(rf"[{DASHES}]+")
_MAX_VALUE_WORDS = 5


@dataclass(slots=True)
class OptionWords:
    """The prompt, and the value of each option as it was written."""

    prompt: str
    options: dict[str, str] = field(default_factory=dict)


def split_options(text: str, style_labels: Collection[str] = ()) -> OptionWords:
    """Return the prompt and the options of a typed text; UserError names an option that cannot be read.

    An option takes the words that can be its value; `--no` takes every word up to the next option. The rest
    is the prompt. `style_labels` are the names of styles as `normalize_label` writes them.
    """
    return _OptionSplitter(text.split(), frozenset(style_labels)).split()


@dataclass(frozen=True, slots=True)
class _FoundOption:
    name: str  #: ours, or as it was written where we have none
    value_start: int  #: the word behind it
    glued_value: str = ""
    ends_with_clause: bool = False  #: a dash that stands alone is of prose


class _OptionSplitter:
    def __init__(self, words: Sequence[str], style_labels: frozenset[str]) -> None:
        self._words = words
        labels = style_labels | _values.no_style_labels()
        self._readers: dict[str, Callable[[str], object]] = {
            "size": _values.read_size,
            "ar": _values.read_ratio,
            "best": _values.read_best,
            "sampler": _values.find_sampler,
            "style": lambda value: _values.normalize_label(value) in labels,
        }
        # From the last word to the first: whether a dash begins an option depends on the words behind it.
        self._options: list[_FoundOption | None] = [None] * len(words)
        self._next_options = [len(words)] * (len(words) + 1)
        for index in reversed(range(len(words))):
            self._options[index] = self._find_option(index)
            is_option = self._options[index] is not None
            self._next_options[index] = index if is_option else self._next_options[index + 1]

    def split(self) -> OptionWords:
        prompt, options, index = list[str](), dict[str, str](), 0
        while index < len(self._words):
            option = self._options[index]
            if option is None:
                if prompt or _DASH_PATTERN.fullmatch(self._words[index]) is None:
                    prompt.append(self._words[index])
                index += 1
            elif option.name == "prompt":
                prompt += [option.glued_value] if option.glued_value else []
                index = option.value_start
            else:
                _require_known(option.name)
                value, index = self._take_value(option)
                if not value and option.name not in FLAGS:
                    raise UserError(translate("wish-needs-value", name=option.name))
                if option.name in options:
                    raise UserError(translate("wish-twice", name=option.name))
                options[option.name] = value
        return OptionWords(" ".join(prompt), _join_sides(options))

    def _find_option(self, index: int) -> _FoundOption | None:
        """Return the option that begins at a word; a dash of prose begins none."""
        word = self._words[index]
        if _DASH_PATTERN.fullmatch(word) is not None:
            return self._find_spaced_option(index)
        is_plain = re.match(r"--+[A-Za-z]", word) is not None
        match = _OPTION_PATTERN.fullmatch(word.rstrip(",;") if is_plain else word)
        if match is None:  # `--Hello--` is a word between dashes, `--n!` is meant as an option
            is_option = is_plain and re.search(rf"[{DASHES}]\Z", word) is None
            return _FoundOption(word.lstrip("-"), index + 1) if is_option else None
        name, glued_value = _find_name(match[2]), (match[3] or "").lstrip(":=")
        option = _FoundOption(name or match[2], index + 1, glued_value)
        if not is_plain:  # one hyphen, or a long dash: an option where its value fits, prose otherwise
            return option if name is not None and self._fits(option) else None
        shape = None if name is not None or glued_value else _values.find_shape(match[2])
        return option if shape is None else _FoundOption("size", index + 1, shape)

    def _find_spaced_option(self, index: int) -> _FoundOption | None:
        """Return the option of `-- seed 7`, whose dash stands alone."""
        written = self._words[index + 1].rstrip(":=").lower() if index + 1 < len(self._words) else ""
        name = _find_name(written)
        if name is None or (written not in OPTIONS and name not in {"no", "ar"}):
            return None
        option = _FoundOption(name, index + 2, ends_with_clause=True)
        return option if self._fits(option) else None

    def _fits(self, option: _FoundOption) -> bool:
        if option.name in FLAGS:  # the word is too common to be an option behind one dash
            return False
        value, _ = self._take_value(option)
        if option.name in self._readers:
            return bool(self._readers[option.name](value))
        return bool(value) if option.name == "no" else _values.is_number(value)

    def _take_value(self, option: _FoundOption) -> tuple[str, int]:
        """Return the value of an option and the index of the word behind it."""
        start = option.value_start
        if option.name in FLAGS:
            return option.glued_value, start
        if not option.glued_value and start < len(self._words) and self._words[start] in {":", "="}:
            start += 1
        glued_words = [option.glued_value] if option.glued_value else []
        end = self._find_value_end(option, start)
        words = [*glued_words, *self._words[start:end]]
        if not words:
            return "", start
        if (quoted := _find_quoted(words)) is not None:
            count = quoted
        else:
            count = len(words) if option.name == "no" else self._count_value_words(option.name, words)
        value = " ".join(words[:count]).rstrip(",;. ")
        value = value[1:-1].strip() if quoted is not None else value
        return value, start + count - len(glued_words)

    def _find_value_end(self, option: _FoundOption, start: int) -> int:
        end = self._next_options[min(start, len(self._words))]
        if option.ends_with_clause and option.name == "no":
            return next((at + 1 for at in range(start, end) if self._words[at][-1] in ",;."), end)
        return end

    def _count_value_words(self, name: str, words: Sequence[str]) -> int:
        if name == "sampler":
            return _count_sampler_words(words)
        if name in self._readers:
            for count in range(min(_MAX_VALUE_WORDS, len(words)), 1, -1):
                if self._readers[name](" ".join(words[:count]).rstrip(",;.")):
                    return count
        if name == "style" and len(words) == 2 and words[0][-1] not in ",;." and self._options[0] is None:
            return 2  # at the end of a prompt both are meant: `--style oil pastel` is not oil
        has_label = len(words) > 1 and words[1].rstrip(",;.").lower() in _values.picture_words()
        return 2 if name in {"n", "best"} and has_label else 1


def _find_name(written: str) -> str | None:
    """Return our name of an option, or a foreign one's own; None for what is no option anywhere."""
    name = re.sub(r"[^a-z]", "", written.lower())
    return _ALIASES.get(name) or (name if name in _FOREIGN else None)


def _require_known(name: str) -> None:
    """Raise UserError for an option that is none of ours; it names the one that is meant."""
    if name in _ALIASES.values():
        return
    known_names = [] if name.lower() in _FOREIGN else [each for each in _ALIASES if len(each) > 3]
    near = difflib.get_close_matches(name.lower(), known_names, 1, cutoff=0.75)
    if near:
        near_name = _ALIASES[near[0]] if _ALIASES[near[0]] in (*OPTIONS, *FLAGS) else "size"
        raise UserError(translate("wish-unknown-option-near", name=name[:20], near=near_name))
    raise UserError(translate("wish-unknown-option", name=name[:20], options=OPTION_NAMES))


def _find_quoted(words: Sequence[str]) -> int | None:
    """Return how many words a quotation at the start has; None where there is none."""
    closing = _QUOTES.get(words[0][0])
    if closing is None:
        return None
    ends = (index for index, word in enumerate(words, 1) if word.rstrip(",;.").endswith(closing))
    return next((end for end in ends if end > 1 or len(words[0].rstrip(",;.")) > 1), None)


def _count_sampler_words(words: Sequence[str]) -> int:
    for count in range(1, len(words)):
        previous, word = words[count - 1].lower(), words[count].rstrip(",;.").lower()
        belongs = word in _SAMPLER_WORDS or previous.startswith(_SAMPLER_ENDINGS.get(word, ("\0",)))
        if previous[-1] in ",;." or not belongs:
            return count
    return len(words)


def _join_sides(options: dict[str, str]) -> dict[str, str]:
    """Return options whose `--ar`, or `--w` and `--h`, have become their size."""
    sides = [options.pop(name) for name in ("ar", "w", "h") if name in options]
    if not sides:
        return options
    if "size" in options:
        raise UserError(translate("wish-twice", name="size"))
    size = _values.read_ratio(sides[0]) if len(sides) == 1 else None
    return options | {"size": size or "x".join(sides)}
