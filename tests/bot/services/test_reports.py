"""`/report`: what people tell of a code reaches the administrators, and says nothing of the code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.errors import UserError
from bot.texts import translate
from tests.support.services import ADMIN, ANNA, BERT, BERTS, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_administrators_are_written_to_and_have_a_list(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    thanks = await desk.studio.report_lora(BERT, BERTS, f"{code[:4]} {code[4:]} these are\nmy photos")
    assert "Thank you" in thanks.text
    letter = await desk.ledger.outbox.get_due_direct_message(ADMIN.platform)
    assert letter is not None
    assert letter.recipient == ADMIN
    for part in ("discord:2", f"{code[:4]} {code[4:]}", "these are my photos", f"/takedown {code}"):
        assert part in letter.text
    listed = (await desk.studio.run_admin_command(ADMIN, "reports")).text
    assert "discord:2 these are my photos" in listed
    with pytest.raises(UserError) as caught:
        await desk.studio.run_admin_command(BERT, "reports")
    assert caught.value.message == translate("unknown-command")


async def test_a_code_of_nobody_is_taken_with_the_same_words(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    answers = {
        (await desk.studio.report_lora(BERT, BERTS, each)).text[:-10]
        for each in (code, f"{(int(code) + 1) % 10**8:08d}")
    }
    assert len(answers) == 1


async def test_five_a_day_are_taken(desk: Desk) -> None:
    for _ in range(5):
        await desk.studio.report_lora(BERT, BERTS, "40713386")
    with pytest.raises(UserError) as caught:
        await desk.studio.report_lora(BERT, BERTS, "40713386")
    assert caught.value.message == translate("reported-too-often")
    desk.clock.forward(days=1, seconds=1)
    await desk.studio.report_lora(BERT, BERTS, "40713386")


@pytest.mark.parametrize("text", ["", "my photos", "4071"])
async def test_a_report_without_a_code_says_how(desk: Desk, text: str) -> None:
    with pytest.raises(UserError) as caught:
        await desk.studio.report_lora(BERT, BERTS, text)
    assert "40713386" in caught.value.message.replace(" ", "")
    assert "/report" in caught.value.message
    assert await desk.ledger.sharing.list_reports(1) == []


async def test_a_report_is_deleted_with_its_author(desk: Desk) -> None:
    await desk.studio.report_lora(Identity(Platform.DISCORD, "22"), BERTS, "40713386")
    await desk.studio.report_lora(BERT, BERTS, "40713386 a secret")
    await desk.ledger.privacy.erase_account(await desk.ledger.accounts.get_or_create(BERT))
    [only] = (await desk.studio.run_admin_command(ADMIN, "reports")).text.splitlines()
    assert "discord:22" in only
    unread = await desk.ledger.outbox.get_due_direct_message(ADMIN.platform)
    assert unread is not None
    assert unread.text.startswith("discord:22 "), "what no administrator has read yet goes too"
    await desk.ledger.outbox.delete_direct_message(unread)
    assert await desk.ledger.outbox.get_due_direct_message(ADMIN.platform) is None


async def test_a_report_that_is_carried_out_again_is_there_already(desk: Desk) -> None:
    for number in (1, 1, 1, 2, 3, 4, 5, 5):
        reply = await desk.studio.report_lora(BERT, BERTS, "40713386", f"telegram:{number}")
        assert "Thank you" in reply.text
    assert len(await desk.ledger.sharing.list_reports(20)) == 5
    letters = 0
    while (letter := await desk.ledger.outbox.get_due_direct_message(ADMIN.platform)) is not None:
        await desk.ledger.outbox.delete_direct_message(letter)
        letters += 1
    assert letters == 5
