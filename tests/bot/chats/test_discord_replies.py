"""Answers of several messages on Discord."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord

from bot.chats.discord.attachments import pack_reply
from bot.chats.discord.replies import _send_followup
from bot.core.messages import Attachment, Reply


@dataclass
class Followup:
    """Takes messages and refuses the second one, as Discord does when it is busy."""

    names: list[list[str]] = field(default_factory=list)

    async def send(self, text: str = "", *, files: list[discord.File], **_: Any) -> str:
        self.names.append([file.filename for file in files])
        for file in files:
            file.close()
        if len(self.names) == 2:
            raise discord.HTTPException(SimpleNamespace(status=503, reason="busy"), "busy")
        return text


async def test_a_part_that_is_refused_leaves_the_parts_before_and_behind_it(tmp_path: Path) -> None:
    files = []
    for number in range(21):  # ten fit into a message
        path = tmp_path / f"{number}"
        path.write_bytes(b"part")
        files.append(Attachment(path, f"part-{number}"))
    followup = Followup()
    interaction: Any = SimpleNamespace(context=SimpleNamespace(dm_channel=False), followup=followup)
    reply = Reply("here", files=tuple(files))
    message: Any = await _send_followup(interaction, await pack_reply(reply), reply)
    assert message == "here"
    assert [len(names) for names in followup.names] == [10, 10, 1]
