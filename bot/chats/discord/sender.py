"""Sends and edits messages as the bot itself, never through an interaction: those end after 15 minutes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import aiohttp
import discord

from bot.chats.discord.attachments import MessageBatch, clip_text, pack_reply
from bot.chats.discord.buttons import build_view
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, ChatUnreachable, PicturesRefused
from bot.core.messages import Reply

log = logging.getLogger(__name__)

BUSY_RETRY_S = 5.0
#: Discord answers so to a bot that opens many DMs at once.
_OPENING_DMS_TOO_FAST, _OPENING_DMS_RETRY_S = 40003, 60.0
#: And so when what a person alone sees is changed later than 15 minutes after they asked.
_INVALID_WEBHOOK_TOKEN = 50027
#: So when a DM is opened with somebody who is gone, or who does not want any.
_CANNOT_DM_CODES = (50007, 50033)
#: So when a rule of the server, or of a person, forbids what a message says or shows.
_BLOCKED_CODES = (20009, 200000, 200001, 240000)
#: So when a thread is locked.
_THREAD_LOCKED = 160005
#: So when the bot may do less there than it asked for, and when files weigh too much.
_MISSING_PERMISSIONS, _TOO_LARGE = 50013, 40005
#: So when a message in a thread is changed that was archived; one that is sent opens it by itself.
_THREAD_ARCHIVED = 50083
_UNREACHABLE_CODES = (
    _INVALID_WEBHOOK_TOKEN,
    *_CANNOT_DM_CODES,
    *_BLOCKED_CODES,
    _THREAD_LOCKED,
    _THREAD_ARCHIVED,
    _TOO_LARGE,
)
NETWORK_ERRORS = (aiohttp.ClientError, OSError)
_DM = "dm"


def dm_address(user_id: int) -> ChatAddress:
    """Return the place of a person's DMs with the bot."""
    return ChatAddress(Platform.DISCORD, _DM, str(user_id))


def dm_first_address(user_id: int, channel_id: int) -> ChatAddress:
    """Return a place in the person's DMs, or, where those are closed, in a channel."""
    return ChatAddress(Platform.DISCORD, f"{_DM}+{channel_id}", str(user_id))


def channel_address(user_id: int, channel_id: int) -> ChatAddress:
    """Return a place in a channel, or, when the bot can no longer write there, in the person's DMs."""
    return ChatAddress(Platform.DISCORD, str(channel_id), str(user_id))


@contextmanager
def translate_errors(has_files: bool = False) -> Iterator[None]:
    """Turn what discord.py raises into our errors; what is our own fault stays as it is.

    Where a message with files is refused, its words alone may be taken.
    """
    try:
        yield
    except discord.RateLimited as error:
        raise ChatBusy("Discord's rate limit", error.retry_after) from error
    except discord.HTTPException as error:
        if error.code == _OPENING_DMS_TOO_FAST:
            raise ChatBusy("Discord's limit of new DMs", _OPENING_DMS_RETRY_S) from error
        if error.status == 429 or error.status >= 500:
            raise ChatBusy(f"Discord answered {error.status}", BUSY_RETRY_S) from error
        if error.status in (403, 404) or error.code in _UNREACHABLE_CODES:
            refusal = f"Discord answered {error.status} (code {error.code})"
            if has_files and error.code in (_MISSING_PERMISSIONS, _TOO_LARGE, *_BLOCKED_CODES):
                raise PicturesRefused(refusal) from error
            raise ChatUnreachable(refusal) from error
        raise
    except NETWORK_ERRORS as error:
        raise ChatBusy(f"no connection to Discord ({type(error).__name__})", BUSY_RETRY_S) from error


class DiscordSender:
    """Sends and edits with a client that is logged in.

    A message is `<channel id>/<message id>`, or `<token of its interaction>/<message id>` where its person
    alone sees it.
    """

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Send to the first of the place's two addresses that takes it; gives `<channel id>/<message id>`."""
        batch = await pack_reply(reply)
        primary, fallback = _destinations(address)
        try:
            return await self._send(primary, address, reply, batch, nonce)
        except ChatUnreachable as error:
            if fallback is None:
                raise
            log.info("%s cannot be reached; trying %s", primary, fallback)
            refusal = error
        try:
            return await self._send(fallback, address, reply, batch, nonce)
        except ChatUnreachable:
            if isinstance(refusal, PicturesRefused):  # words are taken there
                raise refusal from None
            raise

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> None:
        """Make an earlier message read like `reply`, pictures included; `files` cannot come this way."""
        batch = await pack_reply(replace(reply, files=()))
        channel_id, _, raw_message_id = message_id.partition("/")
        if not channel_id.isdecimal():
            await self._edit_ephemeral(
                token=channel_id, raw_message_id=int(raw_message_id), batch=batch, reply=reply
            )
            return
        message = self._get_channel(channel_id).get_partial_message(int(raw_message_id))
        with translate_errors(has_files=bool(batch.messages[0]) and not reply.keeps_pictures):
            try:
                await self._edit(message, address, batch, reply)
            except discord.HTTPException as error:
                if error.code != _THREAD_ARCHIVED:
                    raise
                await self._unarchive_thread(message.channel.id)
                await self._edit(message, address, batch, reply)

    async def delete(self, message_id: str) -> None:
        """Delete a message that everybody in its chat sees."""
        channel_id, _, raw_message_id = message_id.partition("/")
        with translate_errors():
            await self._get_channel(channel_id).get_partial_message(int(raw_message_id)).delete()

    async def _edit(
        self, message: discord.PartialMessage, address: ChatAddress, batch: MessageBatch, reply: Reply
    ) -> None:
        await message.edit(
            content=add_mention(str(message.channel.id), address, batch.text),
            attachments=discord.utils.MISSING if reply.keeps_pictures else batch.open_files(),
            view=build_view(reply.buttons),
            allowed_mentions=allowed_mentions(address),
        )

    async def _unarchive_thread(self, channel_id: int) -> None:
        thread = await self._client.fetch_channel(channel_id)
        if isinstance(thread, discord.Thread):
            await thread.edit(archived=False)

    async def _edit_ephemeral(
        self, token: str, raw_message_id: int, batch: MessageBatch, reply: Reply
    ) -> None:
        """Change a message that one person alone sees, by the word of its interaction: for 15 minutes."""
        application_id = self._client.application_id
        if application_id is None:
            raise ChatBusy("Discord has not said yet who we are", BUSY_RETRY_S)
        with translate_errors():
            await discord.Webhook.partial(application_id, token, client=self._client).edit_message(
                raw_message_id,
                content=batch.text,
                attachments=discord.utils.MISSING if reply.keeps_pictures else batch.open_files(),
                view=build_view(reply.buttons),
                allowed_mentions=discord.AllowedMentions.none(),
            )

    async def _send(
        self, destination: str, address: ChatAddress, reply: Reply, batch: MessageBatch, nonce: str
    ) -> str:
        with translate_errors(has_files=bool(batch.messages[0])):
            channel: discord.abc.Messageable
            if destination == _DM:
                channel = await self._client.create_dm(discord.Object(int(address.user_id)))
            else:
                channel = self._get_channel(destination)
            message = await channel.send(
                add_mention(destination, address, batch.text),
                files=batch.open_files(),
                view=build_view(reply.buttons) or discord.utils.MISSING,
                silent=reply.is_silent,
                nonce=nonce,  # discord.py adds enforce_nonce: the same nonce is not shown twice
                allowed_mentions=allowed_mentions(address),
            )
            for index in range(1, len(batch.messages)):
                await channel.send(files=batch.open_files(index), nonce=f"{nonce}-{index}")
        return f"{message.channel.id}/{message.id}"

    def _get_channel(self, channel_id: str) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(int(channel_id))


@dataclass(frozen=True, slots=True)
class DiscordMessages:
    """The messages of the bot in one chat; `nonce` names the next one."""

    sender: DiscordSender
    address: ChatAddress
    nonce: str = ""

    async def send(self, reply: Reply) -> str:
        """Send a message and return its id."""
        return await self.sender.send(self.address, reply, nonce=self.nonce)

    async def edit(self, message_id: str, reply: Reply) -> None:
        """Make a message read like `reply`."""
        await self.sender.edit(self.address, message_id, reply)

    async def delete(self, message_id: str) -> None:
        """Delete a message."""
        await self.sender.delete(message_id)


def add_mention(destination: str, address: ChatAddress, text: str) -> str:
    """Name the person a message is for, where it stands in a channel with others in it."""
    needs_mention = destination != _DM and destination in _destinations(address)
    return clip_text(f"<@{address.user_id}> {text}" if needs_mention else text)


def allowed_mentions(address: ChatAddress) -> discord.AllowedMentions:
    """Let a message mention its person and nobody else."""
    return discord.AllowedMentions(
        everyone=False, roles=False, users=[discord.Object(int(address.user_id))], replied_user=False
    )


def _destinations(address: ChatAddress) -> tuple[str, str | None]:
    if address.chat_id == _DM:
        return _DM, None
    if address.chat_id.startswith(f"{_DM}+"):
        return _DM, address.chat_id.removeprefix(f"{_DM}+")
    return address.chat_id, _DM
