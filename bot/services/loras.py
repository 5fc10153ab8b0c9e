"""`/codes`: a card for each Lora of a person, and what can be done with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bot.core.accounts import AccountId, ChatAddress, PendingQuestion
from bot.core.errors import UserError
from bot.core.loras import Lora, LoraCode, format_code
from bot.core.messages import Reply
from bot.services import access
from bot.services.accounts import delete_erased_data
from bot.services.context import ServiceContext
from bot.services.jobs import ContinuationService
from bot.services.photo_sets import parse_name
from bot.services.results import ResultService
from bot.texts import translate
from bot.texts.loras import ask_new_name, ask_to_remove, likeness_card, lora_card, lora_list

_RENAME_PREFIX = "rename:"


class LoraService:
    """Shows, names, hands over and deletes Loras; each belongs to whoever asks."""

    def __init__(
        self, context: ServiceContext, results: ResultService, continuation: ContinuationService
    ) -> None:
        self._context = context
        self._results = results
        self._continuation = continuation

    async def list_loras(self, account: AccountId, address: ChatAddress) -> Reply:
        """List a person's LoraCodes, the newest first, with a button for each."""
        loras = await self._context.database.loras.list_for_account(account)
        shared_loras = await self._context.database.sharing.list_shared_with(account)
        return lora_list(loras, self._context.clock(), address.platform, shared_loras)

    async def show_lora(self, account: AccountId, code: LoraCode) -> Reply:
        """Show one: name, state, age, size."""
        lora = await access.require_lora(self._context.database, account, code)
        path = None if lora.file is None else self._context.storage.lora_path(lora.file)
        size_bytes = None if path is None else await asyncio.to_thread(_read_size_bytes, path)
        return lora_card(lora, self._context.clock(), size_bytes)

    async def handle_button(
        self, account: AccountId, address: ChatAddress, action: str, code: LoraCode
    ) -> Reply:
        """Do what a button of a card says."""
        lora = await access.require_lora(self._context.database, account, code)
        match action:
            case "code":
                return replace(await self.show_lora(account, code), edits_message=True)
            case "export":
                return await self._results.export_lora(account, address, code)
            case "likeness":
                return await self._show_likeness(lora)
            case "more":
                return await self._continuation.continue_training(account, address, code)
            case "rename":
                await self._context.database.accounts.save_question(
                    account, PendingQuestion(f"{_RENAME_PREFIX}{code}", address.platform)
                )
                return ask_new_name(lora, address.platform)
            case "remove":
                return ask_to_remove(lora)
            case "remove!":
                return await self._delete_lora(account, code)
        raise UserError(translate("stale-button"))

    async def rename_lora(self, account: AccountId, question: str, text: str) -> Reply:
        """Give a Lora the name its owner wrote; `about` is the question that was answered."""
        code = LoraCode(question.removeprefix(_RENAME_PREFIX))
        await access.require_lora(self._context.database, account, code)
        await self._context.database.loras.rename(code, parse_name(text))
        return await self.show_lora(account, code)

    async def _show_likeness(self, lora: Lora) -> Reply:
        """Show how alike it is: in words, and what it drew while it learnt."""
        strips = (await self._context.database.results.list_training_pictures(lora.code))[:1]
        paths = [self._context.storage.picture_path(strip.file) for strip in strips]
        return likeness_card(lora, await asyncio.to_thread(_keep_existing, paths))

    async def _delete_lora(self, account: AccountId, code: LoraCode) -> Reply:
        async with self._context.locks.get_lock(account):
            await access.require_lora(
                self._context.database, account, code
            )  # it may have gone while we waited
            await delete_erased_data(self._context, await self._context.database.privacy.erase_lora(code))
        return Reply(translate("removed", code=format_code(code)), edits_message=True)


def _keep_existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _read_size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
