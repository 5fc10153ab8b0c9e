"""A person's account: what is kept of them, their other platforms, their settings and their language."""

from __future__ import annotations

import secrets
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.accounts import AccountId
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.messages import Reply, Request
from bot.core.photos import PHOTO_RETENTION
from bot.db import ErasureResult
from bot.services import access, generation_options
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


class AccountService:
    """Tells what is kept, and deletes it."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_privacy(self, request: Request) -> Reply:
        """Return what is kept of a person, how long, and who sees it; also for somebody who was banned."""
        account = await self._context.database.accounts.get_or_create(request.identity)
        kept = format_counts(await self._context.database.privacy.count_stored_data(account))
        return Reply(translate("privacy", kept=kept, days=PHOTO_RETENTION.days))

    async def ask_to_erase(self, request: Request) -> Reply:
        """Return the reply that asks once; the button knows whose question it is and until when it may be
        answered.
        """
        account = await self._context.database.accounts.get_or_create(request.identity)
        expires_s = int((self._context.clock() + CONFIRM_WITHIN).timestamp())
        stored_data = await self._context.database.privacy.count_stored_data(account)
        return erasure_question(stored_data, account, expires_s)

    async def erase_account(self, request: Request) -> Reply:
        """Delete everything of whoever pressed, if the question was theirs; return the receipt."""
        asked_account, expires_s = (int(each) for each in request.arguments)
        database = self._context.database
        account = await database.accounts.find_by_identity(request.identity)  # whoever is unknown stays so
        if account is None or asked_account != account:
            raise UserError(translate("stale-button"))
        if self._context.clock().timestamp() > expires_s:
            raise UserError(translate("forget-too-late"))
        async with self._context.locks.get_lock(account):  # photos of theirs that are decoded now come first
            if (
                await database.accounts.find_by_identity(request.identity) != account
            ):  # it was merged meanwhile
                raise UserError(translate("stale-button"))
            erasure = await database.privacy.erase_account(account)
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

    async def link_accounts(self, request: Request) -> Reply:
        """Return the reply that shows a word, or merge with the account whose word was typed."""
        if not request.address.is_private:  # whoever reads the word could take the account
            raise UserError(translate("link-in-private"))
        token = request.text.strip().upper()
        if not token:
            return await self._create_token(request.account)
        return await self._join_accounts(request.account, token)

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
            await self._context.database.photo_sets.get_set(each) for each in (owner, account)
        ]
        if (
            owner_set.photo_ids
            and account_set.photo_ids
            and (owner_set.code is not None or account_set.code is not None)
        ):
            raise UserError(translate("set-is-open", held=len(account_set.photo_ids)))


class PreferencesService:
    """Shows and changes what a person set, and puts it into a wish that says nothing about it."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_settings(self, request: Request) -> Reply:
        """Return the reply that shows what is set, with buttons that change it."""
        account = request.account
        preferences = await self._context.database.accounts.get_preferences(account)
        style = self._context.styles.get(preferences.style)
        return settings_card(account, preferences, "" if style is None else style.localized_label)

    async def list_styles(self, request: Request) -> Reply:
        """Return the reply that shows the styles to choose from."""
        access.require_own_button(request)
        preferences = await self._context.database.accounts.get_preferences(request.account)
        return settings_styles(request.account, self._context.styles.search(""), preferences.style)

    async def change_setting(self, request: Request) -> Reply:
        """Change a setting: the arguments are the account, the name of the setting and its value."""
        access.require_own_button(request)
        # All settings are stored at once: two presses must not undo each other.
        async with self._context.locks.get_lock(request.account):
            return await self._change(request)

    async def _change(self, request: Request) -> Reply:
        account, (_, setting, value) = request.account, request.arguments
        preferences = await self._context.database.accounts.get_preferences(account)
        match setting:
            case "size" if value in SHAPES:
                preferences = replace(preferences, size=value)
            case "style" if not value or self._context.styles.get(value) is not None:
                preferences = replace(preferences, style=value)
            case "notices" if value in ("sound", "silent"):
                preferences = replace(preferences, is_silent=value == "silent")
            case "photos" if value in ("forget", "keep"):
                preferences = replace(preferences, keeps_photos=value == "keep")
            case "language" if value in ("app", *languages()):
                preferences = replace(preferences, language="" if value == "app" else value)
            case _:
                raise UserError(translate("stale-button"))
        await self._context.database.accounts.save_preferences(account, preferences)
        if setting == "photos" and not preferences.keeps_photos:
            await self._context.database.checkpoint_wal()  # those that were kept are gone from the disk too
        if setting != "language":
            return replace(await self.show_settings(request), edits_message=True)
        language = await self._context.database.accounts.get_language(request.identity)
        with use_language(language):  # the answer is in the language that was just chosen
            return replace(await self.show_settings(request), edits_message=True, language=language)

    def apply_defaults(self, request: Request, params: GenerationParams) -> GenerationParams:
        """Return the wish with what its person set where it says nothing."""
        preferences = request.account_state.preferences
        # A style may have left its file since it was chosen.
        if not params.style and self._context.styles.get(preferences.style) is not None:
            params = replace(params, style=preferences.style)
        if preferences.size and not params.shape and params.width_px is None:
            params = generation_options.with_size(params, preferences.size)
        return params
