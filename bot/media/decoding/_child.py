"""The child process that decodes photos."""

from __future__ import annotations

from bot.core.photos import PhotoRefused
from bot.media.decoding._codec import encode_reply
from bot.media.decoding._decode import decode_photo
from bot.processes.sandboxed import Reply, serve_requests


def handle_photo(data: bytes) -> Reply:
    """Decode one photo."""
    try:
        return encode_reply(decode_photo(data))
    except PhotoRefused as error:
        return encode_reply(error.reason)


if __name__ == "__main__":
    serve_requests(lambda: handle_photo)
