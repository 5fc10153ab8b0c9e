"""Messages in length-prefixed frames: a big-endian u32 length and that many bytes of msgpack."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import BinaryIO, TypeVar

import msgspec

from gpu_worker.errors import ProtocolError
from gpu_worker.protocol.messages import VERSION, ProtocolMessage, WorkerMessage, WorkerRequest

#: Largest frame either side accepts. The largest is a checkpoint, weights and two numbers of Adam for each in
#: fp32: 0.7 GB for SDXL at rank 16 with both text encoders, and twice that at rank 32.
MAX_FRAME_BYTES = 2 * 2**30
_T = TypeVar("_T")
_LENGTH_HEADER = struct.Struct(">I")

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[WorkerRequest] = msgspec.msgpack.Decoder(WorkerRequest)
_message_decoder: msgspec.msgpack.Decoder[WorkerMessage] = msgspec.msgpack.Decoder(WorkerMessage)


def encode_frame(message: ProtocolMessage) -> bytes:
    """Return the frame of a message, length included; ProtocolError if it is too large."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a message of {len(body)} bytes is larger than a frame may be")
    return _LENGTH_HEADER.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Return a frame's length from its first four bytes; ProtocolError if it is too large."""
    (length,) = _LENGTH_HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {length} bytes was announced; {MAX_FRAME_BYTES} is the most")
    return int(length)


def decode_request(body: bytes) -> WorkerRequest:
    """Decode a message of the bot; ProtocolError if it is not valid."""
    return _decode(_request_decoder.decode, body)


def decode_message(body: bytes) -> WorkerMessage:
    """Decode a message of a worker; ProtocolError if it is not valid."""
    return _decode(_message_decoder.decode, body)


def _decode(decode: Callable[[bytes], _T], body: bytes) -> _T:
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # the latter: text that is not UTF-8
        raise ProtocolError(f"not a message of protocol version {VERSION}: {error}") from error


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one frame's body, blocking; None at a clean end of the stream."""
    header = stream.read(_LENGTH_HEADER.size)
    if not header:
        return None
    if len(header) < _LENGTH_HEADER.size:
        raise ProtocolError("the stream ended inside a frame")
    length = frame_length(header)
    body = stream.read(length)
    if len(body) < length:
        raise ProtocolError("the stream ended inside a frame")
    return body


async def read_frame_async(stream: asyncio.StreamReader) -> bytes | None:
    """Read one frame's body; None at a clean end of the stream."""
    try:
        header = await stream.readexactly(_LENGTH_HEADER.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ProtocolError("the stream ended inside a frame") from error
        return None
    try:
        return await stream.readexactly(frame_length(header))
    except asyncio.IncompleteReadError as error:
        raise ProtocolError("the stream ended inside a frame") from error
