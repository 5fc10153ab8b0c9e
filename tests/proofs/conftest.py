"""Gives each proof its row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs.verdict import PROPERTY, Proof


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Iterator[Proof]:
    """The verdict of the row that the module is named after: `test_r6_pictures.py` proves R6."""
    row = request.path.stem.split("_")[1].upper()
    # Properties also come from the other processes of a run.
    verdict = Proof(row, lambda line: request.node.user_properties.append((PROPERTY, line)))
    yield verdict
    verdict.ended()
