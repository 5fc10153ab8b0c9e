"""`/codes`: a card for each Lora of a person, and what can be done with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bot import texts
from bot.core.accounts import AccountId, Place, Question
from bot.core.errors import UserError
from bot.core.loras import Lora, LoraCode
from bot.core.messages import Reply
from bot.services import ownership
from bot.services.accounts import wiped
from bot.services.context import Tools
from bot.services.continuations import Further
from bot.services.photo_sets import read_name
from bot.services.results import Results

_RENAME = "rename:"


class Codes:
    """Shows, names, hands over and deletes Loras; each belongs to whoever asks."""

    def __init__(self, tools: Tools, results: Results, further: Further) -> None:
        self._tools = tools
        self._results = results
        self._further = further

    async def list(self, account: AccountId, place: Place) -> Reply:
        """List a person's LoraCodes, the newest first, with a button for each."""
        loras = await self._tools.ledger.loras_of(account)
        shared = await self._tools.ledger.shared_with(account)
        return texts.codes(loras, self._tools.clock(), place.platform, shared)

    async def card(self, account: AccountId, code: LoraCode) -> Reply:
        """Show one: name, state, age, size."""
        lora = await ownership.lora(self._tools.ledger, account, code)
        path = None if lora.file is None else self._tools.files.lora_path(lora.file)
        size_bytes = None if path is None else await asyncio.to_thread(_size_bytes, path)
        return texts.code_card(lora, self._tools.clock(), size_bytes)

    async def press(self, account: AccountId, place: Place, what: str, code: LoraCode) -> Reply:
        """Do what a button of a card says."""
        lora = await ownership.lora(self._tools.ledger, account, code)
        match what:
            case "code":
                return replace(await self.card(account, code), replaces=True)
            case "export":
                return await self._results.export(account, place, code)
            case "likeness":
                return await self._likeness(lora)
            case "more":
                return await self._further.go_on(account, place, code)
            case "rename":
                await self._tools.ledger.ask(account, Question(f"{_RENAME}{code}", place.platform))
                return texts.ask_new_name(lora, place.platform)
            case "remove":
                return texts.ask_to_remove(lora)
            case "remove!":
                return await self._remove(account, code)
        raise UserError(texts.STALE_BUTTON)

    async def name(self, account: AccountId, about: str, text: str) -> Reply:
        """Give a Lora the name its owner wrote; `about` is the question that was answered."""
        code = LoraCode(about.removeprefix(_RENAME))
        await ownership.lora(self._tools.ledger, account, code)
        await self._tools.ledger.rename(code, read_name(text))
        return await self.card(account, code)

    async def _likeness(self, lora: Lora) -> Reply:
        """Show how alike it is: in words, and what it drew while it learnt."""
        strips = (await self._tools.ledger.made_with(lora.code))[:1]
        paths = [self._tools.files.picture_path(each.file) for each in strips]
        return texts.likeness_card(lora, await asyncio.to_thread(_existing, paths))

    async def _remove(self, account: AccountId, code: LoraCode) -> Reply:
        async with self._tools.locks.of(account):
            await ownership.lora(self._tools.ledger, account, code)  # it may have gone while we waited
            await wiped(self._tools, await self._tools.ledger.erase_lora(code))
        return texts.removed(code)


def _existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
