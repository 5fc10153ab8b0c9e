"""A person's Loras: the list of `/codes`, a card for each, and what can be done with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bot.core.accounts import AccountId, Identity, PendingQuestion
from bot.core.loras import Lora, LoraCode, LoraState, format_code, to_code
from bot.core.messages import MAX_SUGGESTIONS, Reply, Request, Suggestion
from bot.services import access
from bot.services.accounts import delete_erased_data
from bot.services.context import ServiceContext
from bot.services.photo_sets import parse_name
from bot.texts import translate
from bot.texts.loras import ask_new_name, ask_to_remove, likeness_card, lora_card, lora_list

#: Begins the question whose answer is the new name of a Lora.
RENAME_PREFIX = "rename:"


class LoraService:
    """Shows, renames and deletes Loras; each belongs to whoever asks."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def list_loras(self, request: Request) -> Reply:
        """List a person's LoraCodes, the newest first, with a button for each."""
        loras = await self._context.database.loras.list_for_account(request.account)
        shared_loras = await self._context.database.sharing.list_shared_with(request.account)
        return lora_list(loras, self._context.clock(), request.address.platform, shared_loras)

    async def go_back_to_list(self, request: Request) -> Reply:
        """List them in the message of the button."""
        return replace(await self.list_loras(request), edits_message=True)

    async def suggest_codes(self, identity: Identity, query: str) -> list[Suggestion]:
        """Return the LoraCodes that a person can generate with, at most 25: their own first, newest first."""
        database, digits = self._context.database, to_code(query)
        account = await database.accounts.get_or_create(identity)
        loras = await database.loras.list_for_account(account)
        loras += [lora for lora, _ in await database.sharing.list_shared_with(account)]
        ready_loras = [each for each in loras if each.state is LoraState.READY]
        choices = [
            Suggestion(format_code(each.code), each.code) for each in ready_loras if digits in each.code
        ]
        return choices[:MAX_SUGGESTIONS]

    async def show_lora(self, request: Request) -> Reply:
        """Return the reply that shows the Lora of a button, in its message."""
        return replace(await self._show(request.account, _code(request)), edits_message=True)

    async def _show(self, account: AccountId, code: LoraCode) -> Reply:
        """Return the card of a Lora: name, state, age, size."""
        lora = await access.require_lora(self._context.database, account, code)
        path = None if lora.file is None else self._context.storage.lora_path(lora.file)
        size_bytes = None if path is None else await asyncio.to_thread(_read_size_bytes, path)
        return lora_card(lora, self._context.clock(), size_bytes)

    async def ask_new_name(self, request: Request) -> Reply:
        """Return the reply that asks for a new name: the person's next message is the answer."""
        lora = await self._require_lora(request)
        question = PendingQuestion(f"{RENAME_PREFIX}{lora.code}", request.address.words_address)
        await self._context.database.accounts.save_question(request.account, question)
        return ask_new_name(lora, request.address)

    async def rename_lora(self, request: Request, code: LoraCode) -> Reply:
        """Return a Lora the name its owner wrote."""
        await access.require_lora(self._context.database, request.account, code)
        await self._context.database.loras.rename(code, parse_name(request.text))
        return await self._show(request.account, code)

    async def show_likeness(self, request: Request) -> Reply:
        """Return the reply that shows a LoRA's likeness, and what it generated during its training."""
        lora = await self._require_lora(request)
        strips = (await self._context.database.results.list_training_pictures(lora.code))[:1]
        paths = [self._context.storage.picture_path(strip.file) for strip in strips]
        return likeness_card(lora, await asyncio.to_thread(_keep_existing, paths))

    async def ask_to_delete(self, request: Request) -> Reply:
        """Return the reply that asks once whether a Lora shall be deleted."""
        return ask_to_remove(await self._require_lora(request))

    async def delete_lora(self, request: Request) -> Reply:
        """Delete a Lora and all that anybody generated with it."""
        code = _code(request)
        async with self._context.locks.get_lock(request.account):
            await self._require_lora(request)
            await delete_erased_data(self._context, await self._context.database.privacy.erase_lora(code))
        return Reply(translate("removed", code=format_code(code)), edits_message=True)

    async def _require_lora(self, request: Request) -> Lora:
        return await access.require_lora(self._context.database, request.account, _code(request))


def _code(request: Request) -> LoraCode:
    return LoraCode(request.arguments[0])


def _keep_existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _read_size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
