"""How a reply of any kind is shown on Discord, whatever the use case behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import discord
import pytest

from bot.chats.discord.buttons import build_view
from bot.chats.discord.client import LookupTimeouts
from bot.core.accounts import ChatAddress, Identity
from bot.core.messages import Attachment, Button, Reply, Request, RequestState, Suggestion
from bot.services.access import AccessPolicy
from bot.services.context import PhotoDecoder, ServiceContext
from bot.services.drafts import DraftService
from bot.services.generation import GenerationService
from bot.services.loras import LoraService
from tests.acceptance.discord_stage import Stage, labels, on_stage, said, text_of
from tests.support.use_cases import Studio

AN_HOUR_S = 3600.0
#: Discord waits so long for a form.
FORM_S = 3.0
HERE = Button("Change", "draft:style")


@dataclass
class Script:
    """What is answered from now on, and whether it comes late."""

    reply: Reply = field(default_factory=lambda: Reply("nothing yet"))
    is_slow: bool = False

    async def wait(self) -> None:
        if self.is_slow:
            await asyncio.sleep(AN_HOUR_S)


SCRIPT = Script()


class ScriptedLoras(LoraService):
    async def list_loras(self, request: Request) -> Reply:
        return SCRIPT.reply

    async def suggest_codes(self, identity: Identity, query: str) -> list[Suggestion]:
        await SCRIPT.wait()
        return [Suggestion(f"{number:0150}", str(number)) for number in range(40)]


class ScriptedDrafts(DraftService):
    async def handle_button(self, request: Request) -> Reply:
        return SCRIPT.reply


class ScriptedGeneration(GenerationService):
    async def get_prompt(self, request: Request) -> str:
        await SCRIPT.wait()
        return "x" * 3000


class ScriptedAccess(AccessPolicy):
    async def read_state(self, identity: Identity) -> RequestState:
        await SCRIPT.wait()
        return await super().read_state(identity)


def scripted(tools: ServiceContext, gate: PhotoDecoder, admins: Set[Identity]) -> Studio:
    """Answer what the test has written down; all else is the real one."""
    studio = Studio(tools, gate, admins)
    generation = ScriptedGeneration(tools)
    studio.services = replace(
        studio.services,
        access=ScriptedAccess(tools),
        drafts=ScriptedDrafts(tools, generation, studio.services.preferences),
        generation=generation,
        loras=ScriptedLoras(tools),
    )
    return studio


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    script(Reply("nothing yet"))
    async with on_stage(tmp_path, new_studio=scripted) as each:
        yield each


def script(reply: Reply, slow: bool = False) -> None:
    """Write down what is answered from now on."""
    SCRIPT.reply, SCRIPT.is_slow = reply, slow


async def asked(stage: Stage, reply: Reply) -> discord.Message:
    """Anna asks in the channel; gives the answer."""
    script(reply)
    answer = await stage.anna.slash(stage.channel, "codes")
    assert answer.response is not None
    return answer.response.message


def picture(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(name.encode())
    return path


@pytest.mark.parametrize("prompt", ["an answer for Anna alone", "a message in the channel"])
async def test_a_reply_that_replaces_edits_the_message_with_the_button(
    stage: Stage, tmp_path: Path, prompt: str
) -> None:
    before = Reply("before", (HERE,), (picture(tmp_path, "a.png"),))
    if prompt.startswith("an answer"):
        message = await asked(stage, before)
    else:
        place = ChatAddress(stage.bot.chat.platform, str(stage.channel.id), str(stage.anna.id))
        await stage.bot.chat.send(place, before, nonce="n")
        (message,) = stage.public()
    script(Reply("after", (Button("Other", "codes"),), (picture(tmp_path, "b.png"),), edits_message=True))
    pressed = await stage.anna.click(message, label="Change")
    assert pressed.followups == []
    assert pressed.response is not None
    now = pressed.response.message
    assert now.id == message.id
    assert now.content.endswith("after")
    assert now.content.startswith(stage.anna.mention) == message.content.startswith(stage.anna.mention)
    assert labels(now) == ["Other"]
    assert [await each.read() for each in now.attachments] == [b"b.png"]


async def test_a_replaced_message_loses_what_the_reply_does_not_have(stage: Stage, tmp_path: Path) -> None:
    message = await asked(stage, Reply("before", (HERE,), (picture(tmp_path, "a.png"),)))
    script(Reply("after", edits_message=True))
    pressed = await stage.anna.click(message, label="Change")
    assert pressed.response is not None
    assert (pressed.response.message.components, pressed.response.attachments) == ([], [])


async def test_a_message_is_edited_by_the_bot_itself_when_the_interaction_ended(stage: Stage) -> None:
    place = ChatAddress(stage.bot.chat.platform, str(stage.channel.id), str(stage.anna.id))
    await stage.bot.chat.send(place, Reply("before", (HERE,)), nonce="n")
    script(Reply("after", edits_message=True))
    stage.refuse("PATCH", "/webhooks/*/messages/@original", 401, 50027)
    pressed = await stage.anna.click(stage.public()[0], label="Change")
    assert pressed.followups == []
    assert stage.public()[0].content == f"{stage.anna.mention} after"


async def test_a_message_that_is_gone_is_answered_by_a_new_one(stage: Stage) -> None:
    message = await asked(stage, Reply("before", (HERE,)))
    script(Reply("after", edits_message=True))
    stage.refuse("PATCH", "/webhooks/*/messages/@original", 404, 10008)
    stage.refuse("PATCH", f"/channels/{stage.channel.id}/messages/*", 404, 10008)
    assert said(await stage.anna.click(message, label="Change")) == "after"


async def test_a_reply_that_replaces_is_an_answer_where_there_is_nothing_to_replace(stage: Stage) -> None:
    assert (await asked(stage, Reply("after", edits_message=True))).content == "after"


async def test_an_acknowledgement_that_arrived_before_its_answer_was_lost_still_counts(stage: Stage) -> None:
    message = await asked(stage, Reply("before", (HERE,)))
    script(Reply("after"))
    stage.refuse("POST", "/interactions/*/callback", 400, 40060)
    pressed = await stage.anna.click(message, label="Change")
    assert said(pressed) == "after"


@pytest.mark.parametrize(("status", "code"), [(404, 10062), (503, 0)])
async def test_an_interaction_that_cannot_be_acknowledged_is_not_carried_out(
    stage: Stage, status: int, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    message = await asked(stage, Reply("before", (HERE,)))
    script(Reply("after"))
    before = len(stage.env.http_requests)
    stage.refuse("POST", "/interactions/*/callback", status, code, times=None)
    await stage.anna.click(message, label="Change")
    after = stage.env.http_requests[before:]
    assert all(each.path.endswith("/callback") for each in after)
    assert "Traceback" not in caplog.text


async def test_files_of_an_owed_message_are_sent_as_they_are(stage: Stage, tmp_path: Path) -> None:
    files = tuple(Attachment(picture(tmp_path, f"{number}"), f"part-{number}.bin") for number in range(12))
    place = ChatAddress(stage.bot.chat.platform, "dm", str(stage.anna.id))
    await stage.bot.chat.send(place, Reply("here", files=files), nonce="n")
    sent = stage.dms()
    assert [len(each.attachments) for each in sent] == [10, 2]
    assert [each.content for each in sent] == ["here", ""]
    names = [file.filename for each in sent for file in each.attachments]
    assert names == [f"part-{number}.bin" for number in range(12)]


async def test_a_picture_that_is_gone_leaves_the_text(stage: Stage, tmp_path: Path) -> None:
    here, gone = picture(tmp_path, "a.png"), tmp_path / "gone.png"
    message = await asked(stage, Reply("text", pictures=(gone, here)))
    assert message.content == "text"
    assert [each.filename for each in message.attachments] == ["a.png"]


async def test_a_file_that_is_gone_is_an_apology_and_not_a_shrug(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script(Reply("text", files=(Attachment(tmp_path / "gone", "gone"),)))
    stage.expected_errors = [discord.app_commands.CommandInvokeError]
    answer = await stage.anna.slash(stage.channel, "codes")
    assert "Sorry" in text_of(answer)
    assert "Traceback" in caplog.text


def look_up_for(stage: Stage, timeout_s: float) -> None:
    """Let what forms and offers show be looked up for so long, each."""
    stage.bot.chat.client.timeouts = LookupTimeouts(timeout_s, timeout_s, timeout_s)


def test_lookups_end_while_discord_still_waits() -> None:
    timeouts = LookupTimeouts()
    assert timeouts.form_s + timeouts.language_s < FORM_S
    assert timeouts.choices_s < FORM_S


async def test_a_form_opens_empty_when_its_words_are_not_found_in_time(stage: Stage) -> None:
    message = await asked(stage, Reply("before", (Button("Edit", "edit:7"),)))
    look_up_for(stage, 0.0)
    script(Reply("x"), slow=True)  # their person's language is not found either
    shown = await stage.anna.click(message, label="Edit")
    assert shown.modal is not None
    assert "value" not in shown.modal["components"][0]["component"]


async def test_words_that_are_too_long_for_a_form_are_cut(stage: Stage) -> None:
    message = await asked(stage, Reply("before", (Button("Edit", "edit:7"),)))
    shown = await stage.anna.click(message, label="Edit")
    assert shown.modal is not None
    assert shown.modal["components"][0]["component"]["value"] == "x" * 1000


async def test_offers_keep_to_what_discord_takes(stage: Stage) -> None:
    offered = await stage.anna.autocomplete(stage.channel, "generate", "code", "")
    assert [each["value"] for each in offered] == [str(number) for number in range(25)]
    assert all(len(each["name"]) == 100 for each in offered)


async def test_offers_that_take_too_long_are_none(stage: Stage) -> None:
    look_up_for(stage, 0.0)
    script(Reply("x"), slow=True)
    await stage.anna.autocomplete(stage.channel, "generate", "code", "")
    assert stage.asked("POST", "/callback")[-1]["data"] == {"choices": []}


def rows(*buttons: int | None) -> list[list[str]]:
    """The rows of buttons that ask for these rows; a button is named by its number."""
    view = build_view([Button(str(number), "codes", row) for number, row in enumerate(buttons)])
    assert view is not None
    return [[child["label"] for child in row["components"]] for row in view.to_components()]


async def test_neighbours_with_the_same_row_share_it() -> None:
    assert rows(7, 7, 1, 1, 1) == [["0", "1"], ["2", "3", "4"]]


async def test_buttons_without_a_row_fill_rows_of_five() -> None:
    assert rows(*[None] * 7) == [["0", "1", "2", "3", "4"], ["5", "6"]]


async def test_a_row_with_more_than_five_goes_on_below() -> None:
    assert rows(0, 0, 0, 0, 0, 0, 1) == [["0", "1", "2", "3", "4"], ["5"], ["6"]]


async def test_buttons_beyond_five_rows_move_up_and_beyond_25_are_cut() -> None:
    assert rows(0, 1, 2, 3, 4, 5) == [["0", "1", "2", "3", "4"], ["5"]]
    assert sum(len(row) for row in rows(*[None] * 40)) == 25
