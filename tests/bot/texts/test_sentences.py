"""Where sentences for people are: in the texts, and nowhere in what answers them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

BOT = Path(__file__).parents[3] / "bot"
#: What answers people. Below are raised reasons that the texts turn into sentences, above is the operator.
ANSWERING = ("services", "chats", "delivery")
#: Three words in a row, as no key, format or name has them.
SENTENCE = re.compile(r"[^\W\d_]+ [^\W\d_A-Z]+ [^\W\d_A-Z]+")
#: Their message is what a person reads; any other exception is read by the operator, as the log is.
SHOWN_ERRORS = {"UserError"}


def is_for_the_operator(node: ast.AST) -> bool:
    """Return whether what is written inside goes to the log or into an exception, or is compared."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "re"))) | ast.Compare():
            return True
        case ast.Raise(exc=ast.Call(func=function)):
            return ast.unparse(function) not in SHOWN_ERRORS
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
    return False


def find_sentences(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each sentence that a person could come to read."""
    if is_for_the_operator(node):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and SENTENCE.search(node.value):
        yield node.lineno, node.value
    for child in ast.iter_child_nodes(node):
        yield from find_sentences(child)


@pytest.mark.parametrize("layer", ANSWERING)
def test_sentences_for_people_are_in_the_texts_alone(layer: str) -> None:
    found = [
        f"{path.relative_to(BOT)}:{line}: {text}"
        for path in sorted((BOT / layer).rglob("*.py"))
        for line, text in find_sentences(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('Reply("Send me five photos.")', 1),
        ('Reply(f"{name} is not ready yet")', 1),
        ('raise UserError("Send me five photos.")', 1),
        ('raise ChatUnreachable("the person has left")', 0),
        ('log.warning("the person %s has left", account)', 0),
        ('Reply(translate("photos-held", held=3))', 0),
    ],
)
def test_a_sentence_is_known_by_where_it_goes(code: str, count: int) -> None:
    assert len(list(find_sentences(ast.parse(code)))) == count
