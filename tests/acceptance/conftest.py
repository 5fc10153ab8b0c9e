"""What a test claims to cover it must have done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.core.accounts import Platform
from tests.acceptance import uses


@pytest.fixture(autouse=True)
def claims_are_true(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare what a test claims with what its stage has noted."""
    uses.forget()
    yield
    for marker in request.node.iter_markers("covers"):
        platform, *claimed = marker.args
        done = uses.noted(Platform(platform))
        assert set(claimed) <= done, f"claimed and not done: {sorted(set(claimed) - done)}"
