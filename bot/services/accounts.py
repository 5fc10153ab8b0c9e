"""A person's account: what is kept of them, their other platforms, their settings and their language."""

from __future__ import annotations

import functools
import inspect
import re
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from bot.core.accounts import AccountId, ChatAddress, Identity, Preferences
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.logging import log_context
from bot.core.messages import Reply
from bot.db import ErasureResult
from bot.services import generation_options
from bot.services.context import ServiceContext
from bot.texts import languages, translate, use_language
from bot.texts.accounts import (
    erasure_question,
    erasure_receipt,
    format_counts,
    settings_card,
    settings_styles,
)
from gpu_worker.protocol import SHAPES

#: A question whether everything shall be deleted is not to be answered by accident, a year later.
CONFIRM_WITHIN = timedelta(hours=1)
_ERASE_ACTION = re.compile(r"forgetme!:([0-9]{1,15}):([0-9]{1,12})")


class AccountService:
    """Tells what is kept, and deletes it."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_privacy(self, account: AccountId) -> Reply:
        """Say what is kept, how long, and who sees it."""
        return Reply(
            translate(
                "privacy", kept=format_counts(await self._context.database.privacy.count_stored_data(account))
            )
        )

    async def ask_to_erase(self, account: AccountId) -> Reply:
        """Ask once; the button knows whose question it is and until when it may be answered."""
        expires_s = int((self._context.clock() + CONFIRM_WITHIN).timestamp())
        stored_data = await self._context.database.privacy.count_stored_data(account)
        return erasure_question(stored_data, account, expires_s)

    async def erase_account(self, identity: Identity, action: str) -> Reply:
        """Delete everything of whoever pressed, if the question was theirs; gives the receipt."""
        match = _ERASE_ACTION.fullmatch(action)
        account = await self._context.database.accounts.find_by_identity(
            identity
        )  # whoever is unknown stays so
        if match is None or account is None or int(match[1]) != account:
            raise UserError(translate("stale-button"))
        if self._context.clock().timestamp() > int(match[2]):
            raise UserError(translate("forget-too-late"))
        async with self._context.locks.get_lock(
            account
        ):  # photos of theirs that are just looked at come first
            if (
                await self._context.database.accounts.find_by_identity(identity) != account
            ):  # it was joined with another meanwhile
                raise UserError(translate("stale-button"))
            erasure = await self._context.database.privacy.erase_account(account)
            await delete_erased_data(self._context, erasure)
        return erasure_receipt(erasure, self._context.clock())


async def delete_erased_data(context: ServiceContext, erasure: ErasureResult) -> None:
    """End the attempts of what was erased, then delete its files and the last traces of its rows."""
    for job_id in erasure.open_jobs:  # first: what an attempt writes late is deleted after it
        await context.queue.abort_job(job_id)
    context.forget_photos(erasure.photos)
    for code in erasure.codes:
        await context.storage.delete_lora(code)
    await context.storage.delete_pictures(erasure.pictures)
    for job_id in erasure.jobs:
        await context.storage.delete_work(job_id)
    await context.database.checkpoint_wal()


TOKEN_TTL = timedelta(minutes=10)
#: Letters that are not taken for one another, read aloud or written by hand.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_TOKEN_CHARS = 6
#: Wrong words of one account within the time a word lasts: there are 190 million, and nobody finds one so.
_MAX_WRONG_TOKENS = 5


class AccountLinkService:
    """Gives words and takes them."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._wrong_times: defaultdict[AccountId, list[datetime]] = defaultdict(list)

    async def link_accounts(self, account: AccountId, address: ChatAddress, text: str) -> Reply:
        """Show a word, or join with the account whose word was typed."""
        if not address.is_private:  # whoever reads the word could take the account
            raise UserError(translate("link-in-private"))
        token = text.strip().upper()
        return await self._join_accounts(account, token) if token else await self._create_token(account)

    async def _create_token(self, account: AccountId) -> Reply:
        token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_CHARS))
        await self._context.database.accounts.save_link_token(
            account, token, self._context.clock() + TOKEN_TTL
        )
        return Reply(translate("link-word", word=token))

    async def _join_accounts(self, account: AccountId, token: str) -> Reply:
        now = self._context.clock()
        wrong_times = self._wrong_times[account]
        wrong_times[:] = [at for at in wrong_times if now - at < TOKEN_TTL]
        if len(wrong_times) >= _MAX_WRONG_TOKENS:
            raise UserError(translate("link-too-often"))
        wrong_times.append(now)  # before the look, so that of many words at once each counts
        owner = await self._context.database.accounts.get_link_token_account(token)
        if owner is None:
            raise UserError(translate("link-unknown"))
        wrong_times.remove(now)  # and no other: whoever guesses has a word of their own as well
        if owner == account:
            raise UserError(translate("link-same"))
        first, second = sorted((owner, account))  # always in one order: two who join each other must not wait
        async with self._context.locks.get_lock(first), self._context.locks.get_lock(second):
            await self._check_no_mixed_sets(owner, account)
            if not await self._context.database.accounts.merge_accounts(token, account):
                raise UserError(translate("link-unknown"))
        return Reply(translate("linked"))

    async def _check_no_mixed_sets(self, owner: AccountId, account: AccountId) -> None:
        """UserError when photos that train a Lora further would come to lie among others."""
        owner_set, account_set = [
            await self._context.database.photos.get_set(each) for each in (owner, account)
        ]
        if (
            owner_set.photo_ids
            and account_set.photo_ids
            and (owner_set.code is not None or account_set.code is not None)
        ):
            raise UserError(translate("set-is-open", held=len(account_set.photo_ids)))


_SETTINGS_ACTION = re.compile(
    r"settings:([0-9]{1,15}):(size|style|notices|language|photos)(?:=([a-z0-9_-]{0,30}))?"
)


class PreferencesService:
    """Shows and changes what a person set, and puts it into a wish that says nothing about it."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_settings(self, account: AccountId) -> Reply:
        """Show what is set, with buttons that change it."""
        preferences = await self._context.database.accounts.get_preferences(account)
        style = self._context.styles.get(preferences.style)
        return settings_card(account, preferences, "" if style is None else style.localized_label)

    async def handle_button(self, identity: Identity, account: AccountId, action: str) -> Reply:
        """Do what a button says: `settings:5:size=portrait`, `…:style`, `…:language=it`; of account 5."""
        match = _SETTINGS_ACTION.fullmatch(action)
        if match is None or int(match[1]) != account:
            raise UserError(translate("stale-button"))
        async with self._context.locks.get_lock(
            account
        ):  # all is kept at once: two presses must not undo each other
            return await self._apply_button(identity, account, match)

    async def _apply_button(self, identity: Identity, account: AccountId, button: re.Match[str]) -> Reply:
        preferences, value = await self._context.database.accounts.get_preferences(account), button[3]
        match button[2]:
            case "size" if value in SHAPES:
                preferences = replace(preferences, size=value)
            case "style" if value is None:
                return settings_styles(account, self._context.styles.search(""), preferences.style)
            case "style" if not value or self._context.styles.get(value) is not None:
                preferences = replace(preferences, style=value)
            case "notices" if value in ("sound", "silent"):
                preferences = replace(preferences, is_silent=value == "silent")
            case "photos" if value in ("forget", "keep"):
                preferences = replace(preferences, keeps_photos=value == "keep")
            case "language" if value in ("app", *languages()):
                return await self._change_language(
                    identity, account, replace(preferences, language=_parse_language(value))
                )
            case _:
                raise UserError(translate("stale-button"))
        await self._context.database.accounts.save_preferences(account, preferences)
        if button[2] == "photos" and not preferences.keeps_photos:
            await self._context.database.checkpoint_wal()  # those that were kept are gone from the disk too
        return replace(await self.show_settings(account), edits_message=True)

    async def _change_language(
        self, identity: Identity, account: AccountId, preferences: Preferences
    ) -> Reply:
        """Answer in the language that was just chosen."""
        await self._context.database.accounts.save_preferences(account, preferences)
        with use_language(await self._context.database.accounts.get_language(identity)):
            return replace(await self.show_settings(account), edits_message=True)

    async def apply_defaults(self, account: AccountId, params: GenerationParams) -> GenerationParams:
        """Give the wish with what its person set where it says nothing."""
        preferences = await self._context.database.accounts.get_preferences(account)
        # A style may have left its file since it was chosen.
        if not params.style and self._context.styles.get(preferences.style) is not None:
            params = replace(params, style=preferences.style)
        if preferences.size and not params.shape and params.width_px is None:
            params = generation_options.with_size(params, preferences.size)
        return params


def _parse_language(value: str) -> str:
    return "" if value == "app" else value


class LanguageSource(Protocol):
    """Knows which language somebody is spoken to in."""

    async def language_of(self, who: Identity) -> str:
        """Give a language or a locale; empty where nobody knows."""


_LanguageSourceT = TypeVar("_LanguageSourceT", bound=LanguageSource)


def use_user_language(cls: type[_LanguageSourceT]) -> type[_LanguageSourceT]:
    """Let each public use case of a class speak the language of `who`, the person it is for."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or name == "language_of" or not inspect.iscoroutinefunction(method):
            continue
        if "who" in inspect.signature(method).parameters:
            setattr(cls, name, _wrap_with_language(method))
    return cls


def _wrap_with_language(use_case: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(use_case)
    async def wrapper(services: LanguageSource, who: Identity, *args: Any, **kwargs: Any) -> Any:
        with log_context(), use_language(await services.language_of(who)):
            return await use_case(services, who, *args, **kwargs)

    return wrapper
