"""What the child that scores pictures replies: a score from 0 to 1, or the name of an error."""

from __future__ import annotations

import logging
import struct

from bot.processes.sandboxed import Reply, ReplyKind

log = logging.getLogger(__name__)

_SCORE = struct.Struct(">d")


def encode_score(score: float) -> Reply:
    """Return what the child sends of a score."""
    return ReplyKind.RESULT, _SCORE.pack(score)


def decode_reply(kind: ReplyKind, body: bytes) -> float | None:
    """Return the score, None when the picture could not be read. Raise ValueError for anything else."""
    if kind is ReplyKind.REFUSED:
        log.warning("a picture cannot be scored: %.100r", body)
        return None
    if kind is not ReplyKind.RESULT or len(body) != _SCORE.size:
        raise ValueError("not a score")
    (score,) = _SCORE.unpack(body)
    if not 0 <= score <= 1:  # so is a number that is none
        raise ValueError("a score out of its range")
    return float(score)
