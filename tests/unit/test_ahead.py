"""Photos that wait to be encoded before their training."""

from __future__ import annotations

import hashlib

import pytest

from gpu_worker.protocol import Prepare
from gpu_worker.serve.prefetch import MAX_AHEAD, SETTLE_S, Ahead


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_photos_are_taken_in_the_order_they_came() -> None:
    ahead = Ahead()
    ahead.add(Prepare(photo=b"a"))
    ahead.add(Prepare(photo=b"b"))
    assert [ahead.take().photo, ahead.take().photo, len(ahead)] == [b"a", b"b", 0]
    with pytest.raises(IndexError):
        ahead.take()


def test_of_too_many_photos_the_oldest_are_left_to_their_training() -> None:
    ahead = Ahead()
    for number in range(MAX_AHEAD + 2):
        ahead.add(Prepare(photo=f"{number}".encode()))
    assert len(ahead) == MAX_AHEAD
    assert ahead.take().photo == b"2"


def test_only_the_photo_that_came_last_waits_for_the_training_that_may_follow() -> None:
    clock = Clock()
    ahead = Ahead(clock)
    assert ahead.settles_in_s() == 0
    ahead.add(Prepare(photo=b"a"))
    clock.now_s += SETTLE_S / 5
    assert ahead.settles_in_s() == pytest.approx(SETTLE_S * 4 / 5)
    clock.now_s += SETTLE_S
    assert ahead.settles_in_s() == 0


def test_a_training_that_came_encodes_its_own_photos() -> None:
    ahead = Ahead()
    for photo in (b"a", b"x", b"b"):
        ahead.add(Prepare(photo=photo))
    ahead.leave_to_training((b"a", b"b"))
    assert [ahead.take().photo, len(ahead)] == [b"x", 0]


def test_a_forgotten_photo_waits_no_more() -> None:
    ahead = Ahead()
    ahead.add(Prepare(photo=b"a"))
    ahead.add(Prepare(photo=b"b"))
    ahead.forget({hashlib.sha256(b"a").hexdigest()})
    assert [ahead.take().photo, len(ahead)] == [b"b", 0]
