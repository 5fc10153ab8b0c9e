"""Sends and edits messages as the bot itself, never through an interaction: those end after 15 minutes."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import discord
from PIL import Image

from bot.chats.discord._buttons import view_of
from bot.domain import Place, Platform
from bot.errors import ChatBusy, ChatUnreachable
from bot.replies import Reply

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 2000
MAX_FILE_BYTES = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
BUSY_PAUSE_S = 5.0
#: Discord answers so to a bot that opens many DMs at once.
_DMS_TOO_FAST, _DMS_TOO_FAST_PAUSE_S = 40003, 60.0
NETWORK_ERRORS = (aiohttp.ClientError, OSError)
SMALLER_COPY = "(Sent as JPEG, without its settings inside: the PNG is larger than Discord takes.)"
_DM = "dm"


def own_dm(user_id: int) -> Place:
    """Give the place of a person's DMs with the bot."""
    return Place(Platform.DISCORD, _DM, str(user_id))


def dm_first(user_id: int, channel_id: int) -> Place:
    """Give a place in the person's DMs, or, where those are closed, in a channel."""
    return Place(Platform.DISCORD, f"{_DM}+{channel_id}", str(user_id))


def in_channel(user_id: int, channel_id: int) -> Place:
    """Give a place in a channel, or, when the bot can no longer write there, in the person's DMs."""
    return Place(Platform.DISCORD, str(channel_id), str(user_id))


@contextmanager
def translated() -> Iterator[None]:
    """Turn what discord.py raises into our errors; what is our own fault stays as it is."""
    try:
        yield
    except discord.RateLimited as error:
        raise ChatBusy("Discord's rate limit", error.retry_after) from error
    except discord.HTTPException as error:
        if error.code == _DMS_TOO_FAST:
            raise ChatBusy("Discord's limit of new DMs", _DMS_TOO_FAST_PAUSE_S) from error
        if error.status == 429 or error.status >= 500:
            raise ChatBusy(f"Discord answered {error.status}", BUSY_PAUSE_S) from error
        if error.status in (403, 404):
            raise ChatUnreachable(f"Discord answered {error.status} (code {error.code})") from error
        raise
    except NETWORK_ERRORS as error:
        raise ChatBusy(f"no connection to Discord ({type(error).__name__})", BUSY_PAUSE_S) from error


class Post:
    """Sends and edits with a client that is logged in."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Send to the first of the place's two addresses that takes it; gives `<channel id>/<message id>`."""
        pictures = await _pictures(reply.pictures)
        first, second = _addresses(place)
        try:
            return await self._send(first, place, reply, pictures, nonce)
        except ChatUnreachable:
            if second is None:
                raise
            log.info("%s cannot be reached; trying %s", first, second)
            return await self._send(second, place, reply, pictures, nonce)

    async def edit(self, place: Place, message_id: str, reply: Reply) -> None:
        """Make an earlier message read like `reply`."""
        pictures = await _pictures(reply.pictures)
        channel_id, _, number = message_id.partition("/")
        with translated():
            await (
                self._channel(channel_id)
                .get_partial_message(int(number))
                .edit(
                    content=_content(channel_id, place, reply, pictures),
                    attachments=[each.file() for each in pictures],
                    view=view_of(reply.buttons),
                    allowed_mentions=_mentions(place),
                )
            )

    async def _send(
        self, address: str, place: Place, reply: Reply, pictures: Sequence[_Picture], nonce: str
    ) -> str:
        with translated():
            channel: discord.abc.Messageable
            if address == _DM:
                channel = await self._client.create_dm(discord.Object(int(place.user_id)))
            else:
                channel = self._channel(address)
            message = await channel.send(
                _content(address, place, reply, pictures),
                files=[each.file() for each in pictures],
                view=view_of(reply.buttons) or discord.utils.MISSING,
                nonce=nonce,  # discord.py adds enforce_nonce: the same nonce is not shown twice
                allowed_mentions=_mentions(place),
            )
        return f"{message.channel.id}/{message.id}"

    def _channel(self, channel_id: str) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(int(channel_id))


def plain(text: str) -> str:
    """Write a text so that Discord shows it as it is, without its markup."""
    return clipped(discord.utils.escape_markdown(text))


def clipped(text: str) -> str:
    """Cut a text to what fits into one message."""
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def _addresses(place: Place) -> tuple[str, str | None]:
    if place.chat_id == _DM:
        return _DM, None
    if place.chat_id.startswith(f"{_DM}+"):
        return _DM, place.chat_id.removeprefix(f"{_DM}+")
    return place.chat_id, _DM


def _content(address: str, place: Place, reply: Reply, pictures: Sequence[_Picture]) -> str:
    text = plain(reply.text)
    if any(each.smaller_copy for each in pictures):
        text = f"{text}\n{SMALLER_COPY}"
    # In a channel with others in it, a message names the person it is for.
    named = address != _DM and address in _addresses(place)
    return clipped(f"<@{place.user_id}> {text}" if named else text)


def _mentions(place: Place) -> discord.AllowedMentions:
    return discord.AllowedMentions(
        everyone=False, roles=False, users=[discord.Object(int(place.user_id))], replied_user=False
    )


@dataclass(frozen=True, slots=True)
class _Picture:
    name: str
    data: bytes
    smaller_copy: bool = False

    def file(self) -> discord.File:
        # A File can be sent once; a second address, or a retry, takes a new one.
        return discord.File(io.BytesIO(self.data), filename=self.name)


async def _pictures(paths: Sequence[Path]) -> list[_Picture]:
    return [await asyncio.to_thread(_read, path) for path in paths]


def _read(path: Path) -> _Picture:
    data = path.read_bytes()
    if len(data) <= MAX_FILE_BYTES:
        return _Picture(path.name, data)
    for quality in (95, 85, 70):
        copy = io.BytesIO()
        with Image.open(io.BytesIO(data)) as picture:
            picture.convert("RGB").save(copy, "JPEG", quality=quality)
        if copy.tell() <= MAX_FILE_BYTES:
            break
    return _Picture(f"{path.stem}.jpg", copy.getvalue(), smaller_copy=True)
