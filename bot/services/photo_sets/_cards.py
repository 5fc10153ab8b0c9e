"""The message that shows a photo set: what it says, and which one it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.core.accounts import AccountId, ChatAddress, Identity
from bot.core.jobs import JobKind
from bot.core.loras import format_code
from bot.core.messages import ClosedPhotoSet, Reply, Request
from bot.core.photos import PhotoSet, StoredPhoto
from bot.media import contact_sheet
from bot.media.quality._sentences import can_start_training, list_overlays, list_remarks
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.photo_sets import set_card, with_group_hint

#: What a link to the private chat hands over, so that it goes on with the set.
TRAIN_PAYLOAD = "train"


@dataclass(frozen=True, slots=True)
class SetCard:
    """The message that shows a set, None where there is none; and what became of a set that ended."""

    message_id: str | None
    ended_text: str | None


def end_previous_card(previous_set: PhotoSet, address: ChatAddress, text: str) -> ClosedPhotoSet | None:
    """Return what the earlier message of a set says from now on; None where it cannot be edited."""
    if (
        previous_set.card_message_id is None
        or previous_set.address is None
        or not address.can_edit_in(previous_set.address)
    ):
        return None
    return ClosedPhotoSet(previous_set.card_message_id, text)


class SetCards:
    """Shows photo sets."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def repost(self, request: Request) -> Reply:
        """Return the reply that shows the set in a new message, below what its person wrote; the earlier
        message ends.
        """
        account, address = request.account, request.address
        previous_set = await self._context.database.photo_sets.get_set(account)
        await self._context.database.photo_sets.touch_set(account, address)
        await self._context.database.photo_sets.save_set_message(account, None)
        return replace(
            await self.show(request),
            closed_photo_set=end_previous_card(previous_set, address, translate("set-below")),
        )

    async def read(self, identity: Identity, address: ChatAddress) -> SetCard:
        """Return which message in a chat shows the collected set, and what became of the set if it ended."""
        state = (await self._context.database.access.read_request_state(identity)).account_state
        if state is None:
            return SetCard(None, translate("set-deleted"))
        photo_set = state.photo_set
        message_id = photo_set.card_message_id if photo_set.address == address else None
        if photo_set.photo_ids:
            return SetCard(message_id, None)
        trainings = [job for job in state.open_jobs if job.kind is JobKind.TRAIN]
        if not trainings:
            return SetCard(message_id, translate("set-deleted"))
        return SetCard(message_id, translate("set-complete", code=format_code(trainings[-1].code)))

    async def record(self, identity: Identity, message_id: str) -> bool:
        """Store which message shows the set. Return False where nothing is collected any more."""
        return await self._context.database.photo_sets.show_set_in(identity, message_id)

    async def show(self, request: Request) -> Reply:
        """Return the reply that shows the set: a numbered contact sheet where its person alone reads, and
        what can be done.
        """
        photo_set, photos = await self.read_set(request.account)
        return await self.render_set(request.address, photo_set, photos)

    async def read_set(self, account: AccountId) -> tuple[PhotoSet, Sequence[StoredPhoto]]:
        """Return the set of an account and its photos."""
        photo_set = await self._context.database.photo_sets.get_set(account)
        photos = (
            await self._context.database.photo_sets.get_set_photos(account) if photo_set.photo_ids else ()
        )
        return photo_set, photos

    async def render_set(
        self, address: ChatAddress, photo_set: PhotoSet, photos: Sequence[StoredPhoto]
    ) -> Reply:
        """Return the reply that shows a set whose photos are known."""
        report = await self._context.coach.review_photos(photos, photo_set.class_word) if photos else None
        sheet = b""
        if photos and address.is_private:
            sheet = await asyncio.to_thread(
                contact_sheet.compose, photos, list_overlays(report), self._context.thumbnails
            )
        remarks, can_start = list_remarks(report), can_start_training(report)
        reply = set_card(photo_set, address.platform, sheet, remarks, can_start)
        return self.add_group_hint(address, reply)

    def add_group_hint(self, address: ChatAddress, reply: Reply) -> Reply:
        """Return a reply with the link to the private chat, where others read along."""
        # What a person sent alone may be in the set too: nothing of it is shown where others read along.
        link = "" if address.is_private else self._context.start_link(TRAIN_PAYLOAD)
        return with_group_hint(reply, link) if link else reply
