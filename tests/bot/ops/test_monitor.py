"""Administrators hear of an alarm once, whatever is restarted meanwhile, and once of its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from bot.core.accounts import Platform
from bot.core.monitoring import AlertKind
from bot.delivery.direct_messages import DirectMessageSender
from bot.ops.monitor import HealthInputs, Monitor
from gpu_worker.protocol import WorkerHealth
from tests.support.engine import RememberingChat
from tests.support.services import ADMIN, ANNA, BERT, Desk, open_desk

HEALTH = WorkerHealth("NVIDIA GeForce GTX 1060 6GB", "tiny", True, 2**30, 3 * 2**30, 6 * 2**30, 71, 98)


@dataclass
class Machine:
    """The state of things, as a test wants it."""

    health: WorkerHealth | None = HEALTH
    deaths: int = 0
    free_share: float = 0.5
    backup: str | None = ""
    woken: list[int] = field(default_factory=list)

    def watchman(self, desk: Desk) -> Monitor:
        outlook = HealthInputs(
            admins=(ADMIN, BERT),
            wake_sender=lambda: self.woken.append(1),
            crash_count=lambda: self.deaths,
            disk_free_share=lambda: self.free_share,
            backup_error=lambda: self.backup,
        )
        return Monitor(desk.ledger, lambda: self.health, desk.clock, outlook)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def letters(desk: Desk) -> list[str]:
    """What the administrator on Telegram is brought now; the one on Discord must be brought the same."""
    chats = [RememberingChat(Platform.TELEGRAM), RememberingChat(Platform.DISCORD)]
    await DirectMessageSender(
        desk.ledger, {each.platform: each for each in chats}, desk.clock, send_interval_s=0.0
    ).deliver_due()
    mine, theirs = [[reply.text for _, reply, _ in chat.sent] for chat in chats]
    assert mine == theirs
    return mine


async def test_administrators_are_not_woken_while_all_is_well(desk: Desk) -> None:
    machine = Machine()
    for _ in range(3):
        await machine.watchman(desk).check()
        desk.clock.forward(minutes=1)
    assert await letters(desk) == []
    assert await desk.ledger.monitoring.list_active_alerts() == set()
    assert machine.woken == []


async def test_an_alarm_is_told_once_until_it_is_over(desk: Desk) -> None:
    machine = Machine(free_share=0.03)
    for _ in range(3):
        await machine.watchman(desk).check()
        desk.clock.forward(minutes=1)
    assert await letters(desk) == [
        "Alert: 3.0 % of the disk is free. Make room, or photos will be refused soon."
    ]
    assert machine.woken == [1]
    assert "\nAlerts: disk\n" in (await desk.studio.run_admin_command(ADMIN, "status")).text
    machine.free_share = 0.055  # better, but not yet good
    await machine.watchman(desk).check()
    assert await letters(desk) == []
    machine.free_share = 0.4
    for _ in range(2):
        await machine.watchman(desk).check()
    assert await letters(desk) == ["Resolved: the disk has room again."]
    machine.free_share = 0.01
    await machine.watchman(desk).check()
    assert len(await letters(desk)) == 1


async def test_a_restart_tells_no_alarm_again(tmp_path: Path) -> None:
    bad = Machine(backup="no room", health=msgspec.structs.replace(HEALTH, device_temperature_c=95))
    async with open_desk(tmp_path) as desk:
        await bad.watchman(desk).check()
        assert len(await letters(desk)) == 2
    async with open_desk(tmp_path) as desk:
        # A bot that was just started knows of neither.
        await Machine(backup=None, health=None).watchman(desk).check()
        desk.clock.forward(minutes=1)
        await bad.watchman(desk).check()
        assert await letters(desk) == []
        assert await desk.ledger.monitoring.list_active_alerts() == {AlertKind.BACKUP, AlertKind.GPU_HOT}


async def test_letters_and_the_note_of_an_alarm_are_one_write(desk: Desk) -> None:
    with pytest.raises(AttributeError):  # a letter that cannot be owed
        await desk.ledger.monitoring.set_alert("disk", True, [None], "words")  # type: ignore[list-item]
    assert await desk.ledger.monitoring.list_active_alerts() == set(), "else nobody would ever hear of it"


async def test_a_worker_that_keeps_dying_is_told_of(desk: Desk) -> None:
    machine = Machine()
    for machine.deaths in (0, 1, 2, 3, 4):
        await machine.watchman(desk).check()
        desk.clock.forward(minutes=1)
    (letter,) = await letters(desk)
    assert "keeps dying, 3 times" in letter


async def test_a_queue_of_an_hour_is_told_of_unless_it_is_paused(desk: Desk) -> None:
    machine = Machine()
    await desk.train(ANNA)
    await desk.studio.run_admin_command(ADMIN, "pause")
    desk.clock.forward(minutes=61)
    await machine.watchman(desk).check()
    assert await letters(desk) == []
    await desk.studio.run_admin_command(ADMIN, "resume")
    await machine.watchman(desk).check()
    assert await letters(desk) == [
        "Alert: something has been waiting for 1 h 1 min. /status shows the queue."
    ]
