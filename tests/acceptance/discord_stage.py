"""The whole front end on a simulated Discord: the real discord.py client, and a fake card behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, RoleHandle, UserHandle
from simcord.env import Env
from simcord.results import InteractionResult

from bot.chats.discord import DiscordAdapter, LoraCodeClient
from bot.chats.discord.buttons import CUSTOM_ID_PREFIX
from bot.core.accounts import AccountId, ChatAddress, Identity, Platform
from bot.core.jobs import Job
from bot.core.loras import LoraCode
from bot.core.messages import ChatAdapter
from bot.core.photos import PHOTOS_PER_LORA
from bot.db import Database
from bot.delivery.direct_messages import DirectMessageSender
from bot.delivery.notices import NoticeSender
from bot.jobs.backends.base import GpuBackend
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.styles import load_styles
from bot.media.quality import PhotoAnalyzer, PhotoCoach
from bot.services import Services
from bot.services.context import PhotoDecoder, ServiceContext
from gpu_worker.protocol import GenerateRequest
from tests.acceptance.uses import note, of_button
from tests.support.data_dirs import create_data_dir
from tests.support.engine import until
from tests.support.services import Clock, InProcessDecoder, consented, photo
from tests.support.trained_lora import give_lora
from tests.support.use_cases import Studio

#: The buttons of a result with one picture.
ONE_PICTURE = ["Again", "Variations", "Larger", "Finer", "Edit prompt", "Recipe", "Delete"]
PhotoFile = tuple[str, bytes]
WAIT_S = 100.0
NewStudio = Callable[[ServiceContext, PhotoDecoder, Set[Identity]], Studio]


def photos(count: int, first: int = 1) -> list[PhotoFile]:
    """Pictures as files, different for each number."""
    uploads = [photo(number) for number in range(first, first + count)]
    return [(upload.name, upload.data or b"") for upload in uploads]


@dataclass
class FrontEnd:
    """One run of the bot; a restart makes another one on the same folder."""

    ledger: Database
    studio: Studio
    notifier: NoticeSender
    dispatcher: Dispatcher
    chat: DiscordAdapter
    postman: DirectMessageSender


async def front_end(
    stage_folder: Path,
    clock: Clock,
    backend: GpuBackend,
    gate: PhotoDecoder,
    admin: str,
    new_studio: NewStudio = Studio,
) -> FrontEnd:
    files = create_data_dir(stage_folder)
    ledger = await Database.open(stage_folder / "ledger.sqlite3", clock)
    chats: dict[Platform, ChatAdapter] = {}
    notifier = NoticeSender(database=ledger, chats=chats, storage=files, clock=clock, card_pause_s=0.0)
    styles = load_styles()
    dispatcher = Dispatcher(ledger, backend, files, notifier, styles, retry_backoff_s=0.0)
    tools = ServiceContext(
        ledger, dispatcher, files, styles, clock, lambda platform: chats[platform].max_file_bytes
    )
    studio = new_studio(tools, gate, {Identity(Platform.DISCORD, admin)})
    chat = DiscordAdapter("a token", studio.services, stage_folder / "discord-commands.sha256", NotingClient)
    chats[Platform.DISCORD] = chat
    postman = DirectMessageSender(ledger, chats, clock, send_interval_s=0.0)
    return FrontEnd(ledger, studio, notifier, dispatcher, chat, postman)


class NotingClient(LoraCodeClient):
    """The client, with a note of what people did."""

    def __init__(self, services: Services, commands_hash_path: Path | None = None) -> None:
        super().__init__(services, commands_hash_path)
        self._pressed: set[tuple[Any, ...]] = set()

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        data: Any = interaction.data
        match interaction.type:
            case discord.InteractionType.application_command if data.get("type", 1) == 1:
                options = [each["name"] for each in data.get("options", ())]
                note(Platform.DISCORD, f"/{data['name']}", *(f"/{data['name']} {each}" for each in options))
            case discord.InteractionType.application_command:
                note(Platform.DISCORD, f"Apps: {data['name']}")
            case discord.InteractionType.component:
                self._note_press(interaction, data["custom_id"].removeprefix(CUSTOM_ID_PREFIX))
            case discord.InteractionType.modal_submit:
                note(Platform.DISCORD, "form")
                _note_photos(len(data.get("resolved", {}).get("attachments", ())))
        await super().on_interaction(interaction)

    async def on_message(self, message: discord.Message) -> None:
        if not message.author.bot:
            forwarded = sum(len(each.attachments) for each in message.message_snapshots)
            note(
                Platform.DISCORD, *(["forwarded"] if forwarded else []), *(["words"] * bool(message.content))
            )
            _note_photos(len(message.attachments) + forwarded)
        await super().on_message(message)

    async def on_raw_message_edit(self, edited: discord.RawMessageUpdateEvent) -> None:
        if not edited.message.author.bot:
            note(Platform.DISCORD, "edited")
        await super().on_raw_message_edit(edited)

    def _note_press(self, interaction: discord.Interaction[Any], action: str) -> None:
        message, user = interaction.message, interaction.user
        assert message is not None
        press = (message.id, user.id, action)
        note(Platform.DISCORD, of_button(action), *(["pressed twice"] * (press in self._pressed)))
        self._pressed.add(press)
        if message.content.startswith("<@") and not message.content.startswith(user.mention):
            note(Platform.DISCORD, "by somebody else")


def _note_photos(count: int) -> None:
    note(Platform.DISCORD, *(["photo"] * bool(count)), *(["more than five"] * (count > PHOTOS_PER_LORA)))


@dataclass
class Stage:
    """A server with one channel, Anna and Bert in it, and the bot."""

    folder: Path
    clock: Clock
    backend: FakeBackend
    gate: PhotoDecoder
    bot: FrontEnd
    new_studio: NewStudio = Studio
    #: What may break inside the bot in this test, in order.
    expected_errors: list[type[BaseException]] = field(default_factory=list)
    env: Env = field(init=False)
    channel: ChannelHandle = field(init=False)
    anna: MemberActor = field(init=False)
    bert: MemberActor = field(init=False)
    #: Who has this role administers the server.
    office: RoleHandle = field(init=False)
    #: The same Anna, in her DMs with the bot.
    anna_alone: UserHandle = field(init=False)
    bert_alone: UserHandle = field(init=False)

    def people(self, env: Env) -> None:
        """Let the server and its people come into being."""
        self.env = env
        guild = env.create_guild()
        self.channel = guild.create_text_channel("general")
        self.anna_alone = env.create_user("anna")
        self.anna = guild.add_member(self.anna_alone)
        # Discord hides what is for administrators from whoever does not administer a server.
        self.office = guild.create_role("office", permissions=discord.Permissions(administrator=True))
        self.bert_alone = env.create_user("bert")
        self.bert = guild.add_member(self.bert_alone, roles=[self.office])

    async def work(self) -> None:
        """Let the card do all that waits, and people hear of it."""
        await self.bot.dispatcher.drain()
        await self.tell()

    async def tell(self) -> None:
        """Bring cards, notices and letters out."""
        await self.bot.notifier.edit_cards()
        await self.bot.notifier.deliver_due()
        await self.bot.notifier.scrub_deleted()
        await self.bot.postman.deliver_due()

    async def restart(self) -> None:
        """Stop the bot and start it again, as another process would."""
        note(Platform.DISCORD, "restart")
        await self.bot.ledger.close()
        self.bot = await front_end(
            self.folder, self.clock, self.backend, self.gate, str(self.bert.id), self.new_studio
        )
        await self.env.restart_bot(self.bot.chat.client)

    async def form(self, files: Sequence[PhotoFile]) -> InteractionResult:
        """Anna fills in the form of /train."""
        shown = await self.anna.slash(self.channel, "train")
        return await self.anna.submit_modal(shown, {"photos": list(files)})

    async def album(self, files: Sequence[PhotoFile], size: int | None = None, lost: bool = False) -> None:
        """Anna sends photos in one DM, of a made-up size, or such that nobody can fetch them."""
        backend = self.env.backend
        payloads = backend.store_attachments(self.anna_alone.dm_channel.id, list(files))
        for payload in payloads:
            if size is not None:
                payload["size"] = size
            if lost:
                payload["url"] = payload["proxy_url"] = "https://cdn.discordapp.com/gone"
        await self.anna_alone.send_dm(attachments=payloads)

    async def held(self) -> int:
        """Count the photos that are kept for Anna's next training."""
        return await self.bot.ledger.photo_sets.count_collected(await self.account())

    async def trained(self) -> LoraCode:
        """Let Anna have a Lora that was trained before; nothing in a chat tells of it."""
        return await give_lora(self.folder, await self.account(), self._channel_address(), self.clock())

    async def trains(self) -> LoraCode:
        """Anna trains a Lora and is told that it is ready."""
        await self.form(photos(5))
        await self.work()
        return await self.code()

    def _channel_address(self) -> ChatAddress:
        return ChatAddress(Platform.DISCORD, str(self.channel.id), str(self.anna.id))

    async def account(self) -> AccountId:
        """Give Anna's account."""
        return await self.bot.ledger.accounts.get_or_create(Identity(Platform.DISCORD, str(self.anna.id)))

    async def code(self) -> LoraCode:
        """Give Anna's newest LoraCode."""
        return (await self.bot.ledger.loras.list_for_account(await self.account()))[0].code

    async def training(self) -> Job:
        """Give the job of Anna's newest LoraCode."""
        job = await self.bot.ledger.jobs.get_last_training(await self.code())
        assert job is not None
        return job

    async def draw(
        self, code: str, prompt: str = "sks person on the moon", **options: object
    ) -> InteractionResult:
        """Anna asks for pictures in the channel."""
        return await self.anna.slash(self.channel, "generate", code=code, prompt=prompt, **options)

    async def drawn(
        self, code: str | None = None, prompt: str = "sks person on the moon", **options: object
    ) -> discord.Message:
        """Anna has pictures drawn in the channel; gives the message that shows them."""
        await self.draw(code or await self.trained(), prompt, **options)
        await self.work()
        return self.public()[-1]

    @asynccontextmanager
    async def previewing(self, preview: bytes) -> AsyncIterator[None]:
        """Hold the one drawing that waits where its card shows a preview."""
        (job,) = await self.bot.ledger.jobs.list_open_for_account(await self.account())
        self.backend.preview_png = preview
        self.backend.proceed_event.clear()
        drawing = asyncio.create_task(self.bot.dispatcher.drain())
        path = self.folder / "previews" / f"{job.id}.png"

        async def has_come() -> bool:
            return path.is_file()

        try:
            await until(has_come)
            await self.tell()
            yield
        finally:
            self.backend.proceed_event.set()
            await drawing

    def request(self) -> GenerateRequest:
        """What the worker was asked to draw last."""
        request = self.backend.requests[-1]
        assert isinstance(request, GenerateRequest)
        return request

    def dms(self) -> list[discord.Message]:
        """What the bot wrote to Anna alone."""
        return [each for each in self.anna_alone.dm_channel.history() if each.author.id != self.anna.id]

    def public(self) -> list[discord.Message]:
        """What everybody in the channel sees."""
        history: list[discord.Message] = self.channel.history()
        return [each for each in history if not each.flags.ephemeral]

    def close_dms(self) -> None:
        """Anna no longer takes DMs from people on this server."""
        note(Platform.DISCORD, "DMs closed", "blocked")  # Discord says the same of both
        self.refuse("POST", f"/channels/{self.anna_alone.dm_channel.id}/messages", 403, 50007, times=None)

    def refuse(self, method: str, path: str, status: int, code: int = 0, times: int | None = 1) -> None:
        """Let Discord refuse what the bot asks of it."""
        note(Platform.DISCORD, *(["rate limit"] * (status == 429)), *(["expired press"] * (code == 10062)))
        self.env.inject_error(method, path, status=status, code=code, message="refused", times=times)

    def delete(self, message: discord.Message) -> None:
        """Let a message be gone."""
        note(Platform.DISCORD, "message deleted")
        self.env.backend.delete_message(message.channel.id, message.id)

    def asked(self, method: str, ending: str) -> list[Any]:
        """What the bot sent to addresses of Discord that end so."""
        requests = self.env.http_requests
        return [each.json for each in requests if each.method == method and each.path.endswith(ending)]


def coached(eye: PhotoAnalyzer) -> NewStudio:
    """Make a Studio whose coach looks with an eye."""
    return lambda tools, gate, admins: Studio(replace(tools, coach=PhotoCoach(eye)), gate, admins)


@asynccontextmanager
async def on_stage(
    folder: Path,
    gate: PhotoDecoder | None = None,
    worker: GpuBackend | None = None,
    new_studio: NewStudio = Studio,
) -> AsyncIterator[Stage]:
    """Set everything up; the card is a fake one unless there is a `worker`."""
    clock, backend, door = Clock(), FakeBackend(), gate or InProcessDecoder()
    # Nobody is an administrator before there are people; Bert is one after a restart.
    first = await front_end(folder, clock, worker or backend, door, "0", new_studio)
    stage = Stage(folder, clock, backend, door, first, new_studio)
    # Not `simcord.run`: its clock context cannot be opened in a fixture and closed at its end.
    # Discord would tell the count of shards; on a busy machine an answer may take long.
    env = Env(first.chat.client, shard_count=1, settle_timeout=WAIT_S)
    await env.start()
    try:
        stage.people(env)
        people = [Identity(Platform.DISCORD, str(each.id)) for each in (stage.anna, stage.bert)]
        await consented(first.ledger, *people)
        yield stage
    finally:
        await env.shutdown()
        await stage.bot.ledger.close()
    assert [type(error) for error in env.errors] == stage.expected_errors


def text_of(result: InteractionResult) -> str:
    """What the person reads after a command or a form."""
    (answer,) = [*([result.response] if result.response else []), *result.followups][:1] or [None]
    assert answer is not None, "there is no answer"
    return str(answer.content)


def shown(result: InteractionResult) -> discord.Message:
    """The message that answers a command or a form, or the one whose button was pressed."""
    (answer,) = [*([result.response] if result.response else []), *result.followups][:1] or [None]
    assert answer is not None, "there is no answer"
    message: discord.Message = answer.message
    return message


def said(pressed: InteractionResult) -> str:
    """What the person reads in a message of its own after a press."""
    (answer,) = pressed.followups
    assert answer.ephemeral or answer.message.guild is None, "others can read along"
    return str(answer.content)


def labels(message: discord.Message) -> list[str]:
    """The buttons of a message."""
    rows = [row.children for row in message.components if isinstance(row, discord.ActionRow)]
    return [str(child.label) for row in rows for child in row if isinstance(child, discord.Button)]


def number_of(result: discord.Message) -> str:
    """The number of a result, as its text shows it."""
    return result.content.partition("#")[2].split(" ")[0]


async def delete(stage: Stage, result: discord.Message) -> discord.Message:
    """Anna deletes a result; gives the question, as it reads after her answer."""
    pressed = await stage.anna.click(result, label="Delete")
    question = pressed.followups[0].message
    assert labels(question) == ["Delete"]
    await stage.anna.click(question, label="Delete")
    await stage.work()
    return pressed.followups[0].message
