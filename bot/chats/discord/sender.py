"""Sends and edits messages as the bot itself, never through an interaction: those end after 15 minutes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import aiohttp
import discord

from bot.chats.discord.attachments import Parcel, clipped, packed
from bot.chats.discord.buttons import view_of
from bot.core.accounts import Place, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.messages import Reply

log = logging.getLogger(__name__)

BUSY_PAUSE_S = 5.0
#: Discord answers so to a bot that opens many DMs at once.
_DMS_TOO_FAST, _DMS_TOO_FAST_PAUSE_S = 40003, 60.0
#: And so when what a person alone sees is changed later than 15 minutes after they asked.
_INTERACTION_OVER = 50027
#: So when a DM is opened with somebody who is gone, or who does not want any.
_NO_RECIPIENT = (50007, 50033)
#: So when a message in a thread is changed that was archived; one that is sent opens it by itself.
_THREAD_ARCHIVED = 50083
NETWORK_ERRORS = (aiohttp.ClientError, OSError)
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
        if error.status in (403, 404) or error.code in (_INTERACTION_OVER, *_NO_RECIPIENT):
            raise ChatUnreachable(f"Discord answered {error.status} (code {error.code})") from error
        raise
    except NETWORK_ERRORS as error:
        raise ChatBusy(f"no connection to Discord ({type(error).__name__})", BUSY_PAUSE_S) from error


class Post:
    """Sends and edits with a client that is logged in.

    A message is `<channel id>/<message id>`, or `<token of its interaction>/<message id>` where its person
    alone sees it.
    """

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Send to the first of the place's two addresses that takes it; gives `<channel id>/<message id>`."""
        parcel = await packed(reply)
        first, second = _addresses(place)
        try:
            return await self._send(first, place, reply, parcel, nonce)
        except ChatUnreachable:
            if second is None:
                raise
            log.info("%s cannot be reached; trying %s", first, second)
            return await self._send(second, place, reply, parcel, nonce)

    async def edit(self, place: Place, message_id: str, reply: Reply) -> None:
        """Make an earlier message read like `reply`, pictures included; `files` cannot come this way."""
        parcel = await packed(replace(reply, files=()))
        channel_id, _, number = message_id.partition("/")
        if not channel_id.isdecimal():
            await self._edit_alone(token=channel_id, number=int(number), parcel=parcel, reply=reply)
            return
        message = self._channel(channel_id).get_partial_message(int(number))
        with translated():
            try:
                await self._edit(message, place, parcel, reply)
            except discord.HTTPException as error:
                if error.code != _THREAD_ARCHIVED:
                    raise
                await self._open_thread(message.channel.id)
                await self._edit(message, place, parcel, reply)

    async def _edit(
        self, message: discord.PartialMessage, place: Place, parcel: Parcel, reply: Reply
    ) -> None:
        await message.edit(
            content=addressed(str(message.channel.id), place, parcel.text),
            attachments=discord.utils.MISSING if reply.keeps_pictures else parcel.files(),
            view=view_of(reply.buttons),
            allowed_mentions=mentions(place),
        )

    async def _open_thread(self, channel_id: int) -> None:
        thread = await self._client.fetch_channel(channel_id)
        if isinstance(thread, discord.Thread):
            await thread.edit(archived=False)

    async def _edit_alone(self, token: str, number: int, parcel: Parcel, reply: Reply) -> None:
        """Change a message that one person alone sees, by the word of its interaction: for 15 minutes."""
        application = self._client.application_id
        if application is None:
            raise ChatBusy("Discord has not said yet who we are", BUSY_PAUSE_S)
        with translated():
            await discord.Webhook.partial(application, token, client=self._client).edit_message(
                number,
                content=parcel.text,
                attachments=discord.utils.MISSING if reply.keeps_pictures else parcel.files(),
                view=view_of(reply.buttons),
                allowed_mentions=discord.AllowedMentions.none(),
            )

    async def _send(self, address: str, place: Place, reply: Reply, parcel: Parcel, nonce: str) -> str:
        with translated():
            channel: discord.abc.Messageable
            if address == _DM:
                channel = await self._client.create_dm(discord.Object(int(place.user_id)))
            else:
                channel = self._channel(address)
            message = await channel.send(
                addressed(address, place, parcel.text),
                files=parcel.files(),
                view=view_of(reply.buttons) or discord.utils.MISSING,
                silent=reply.is_silent,
                nonce=nonce,  # discord.py adds enforce_nonce: the same nonce is not shown twice
                allowed_mentions=mentions(place),
            )
            for number in range(1, len(parcel.loads)):
                await channel.send(files=parcel.files(number), nonce=f"{nonce}-{number}")
        return f"{message.channel.id}/{message.id}"

    def _channel(self, channel_id: str) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(int(channel_id))


def addressed(address: str, place: Place, text: str) -> str:
    """Name the person a message is for, where it stands in a channel with others in it."""
    named = address != _DM and address in _addresses(place)
    return clipped(f"<@{place.user_id}> {text}" if named else text)


def mentions(place: Place) -> discord.AllowedMentions:
    """Let a message mention its person and nobody else."""
    return discord.AllowedMentions(
        everyone=False, roles=False, users=[discord.Object(int(place.user_id))], replied_user=False
    )


def _addresses(place: Place) -> tuple[str, str | None]:
    if place.chat_id == _DM:
        return _DM, None
    if place.chat_id.startswith(f"{_DM}+"):
        return _DM, place.chat_id.removeprefix(f"{_DM}+")
    return place.chat_id, _DM
