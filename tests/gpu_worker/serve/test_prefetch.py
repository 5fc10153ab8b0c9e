"""Photos that wait to be encoded before their training."""

from __future__ import annotations

import hashlib

import pytest

from gpu_worker.serve.prefetch import MAX_QUEUED_PHOTOS, TRAINING_GRACE_S, PrefetchQueue
from tests.support.fake_worker import prefetch_request


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_photos_are_taken_in_the_order_they_came() -> None:
    ahead = PrefetchQueue()
    ahead.add(prefetch_request(b"a"))
    ahead.add(prefetch_request(b"b"))
    assert [ahead.pop().photo, ahead.pop().photo, len(ahead)] == [b"a", b"b", 0]
    with pytest.raises(IndexError):
        ahead.pop()


def test_the_oldest_of_too_many_photos_are_left_to_their_training() -> None:
    ahead = PrefetchQueue()
    for number in range(MAX_QUEUED_PHOTOS + 2):
        ahead.add(prefetch_request(f"{number}".encode()))
    assert len(ahead) == MAX_QUEUED_PHOTOS
    assert ahead.pop().photo == b"2"


def test_last_photo_alone_waits_for_a_training_that_may_follow() -> None:
    clock = Clock()
    ahead = PrefetchQueue(clock)
    assert ahead.remaining_grace_s() == 0
    ahead.add(prefetch_request(b"a"))
    clock.now_s += TRAINING_GRACE_S / 5
    assert ahead.remaining_grace_s() == pytest.approx(TRAINING_GRACE_S * 4 / 5)
    clock.now_s += TRAINING_GRACE_S
    assert ahead.remaining_grace_s() == 0


def test_a_training_that_came_encodes_its_own_photos() -> None:
    ahead = PrefetchQueue()
    for photo in (b"a", b"x", b"b"):
        ahead.add(prefetch_request(photo))
    ahead.drop_training_photos((b"a", b"b"))
    assert [ahead.pop().photo, len(ahead)] == [b"x", 0]


def test_a_forgotten_photo_waits_no_more() -> None:
    ahead = PrefetchQueue()
    ahead.add(prefetch_request(b"a"))
    ahead.add(prefetch_request(b"b"))
    ahead.forget({hashlib.sha256(b"a").hexdigest()})
    assert [ahead.pop().photo, len(ahead)] == [b"b", 0]
