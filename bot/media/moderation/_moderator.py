"""Stands where photos come in and where pictures go out."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol

from bot import texts
from bot.core.accounts import Place
from bot.core.errors import UserError
from bot.core.messages import Picture, Reply, Upload
from bot.core.photos import NewPhoto
from bot.media.moderation._scorer import Looker
from bot.media.moderation.policy import Action, ContentPolicy

log = logging.getLogger(__name__)

#: Of files: `/show` brings the same ones back. A file of ours is never changed once it is there.
MAX_REMEMBERED = 500


class Gate(Protocol):
    """Lets photos in."""

    async def check(self, upload: Upload) -> NewPhoto:
        """Give the photo as it is kept; UserError says why it cannot be used."""


class Guard:
    """Does with pictures what the policy says. Without a looker nothing is looked at.

    From `threshold` on (0 to 1) a picture counts as nudity; with `is_fail_closed` also one that could not be
    looked at.
    """

    def __init__(
        self,
        looker: Looker | None = None,
        policy: ContentPolicy | None = None,
        threshold: float = 0.5,
        *,
        is_fail_closed: bool = True,
    ) -> None:
        self._looker = looker
        self._policy = policy or ContentPolicy()
        self._threshold = threshold
        self._is_fail_closed = is_fail_closed
        self._remembered: OrderedDict[object, float] = OrderedDict()

    async def check_photo(self, photo: bytes) -> None:
        """UserError when a photo that came is not to be taken."""
        if self._looker is None or self._policy.of_photos is Action.ALLOW:
            return
        score = await self._looker.score(photo)
        if score is None and self._is_fail_closed:
            raise UserError(texts.PHOTO_NOT_CHECKED)
        if score is not None and score >= self._threshold:
            raise UserError(texts.PHOTO_SHOWS_NUDITY)

    async def screened(self, place: Place, reply: Reply) -> Reply:
        """Give a reply as it may be shown in a place."""
        action = self._policy.of(place.platform, place.chat)
        if self._looker is None or action is Action.ALLOW or not reply.pictures:
            return reply
        found = [await self._is_found(self._looker, picture) for picture in reply.pictures]
        is_unseen = not any(found) and None in found
        if not any(found) and not (is_unseen and self._is_fail_closed):
            return reply
        if action is Action.SPOILER:
            return replace(reply, is_spoiler=True)
        return texts.withheld(reply, is_unseen)

    async def close(self) -> None:
        """Let the looker go."""
        if self._looker is not None:
            await self._looker.close()

    async def _is_found(self, looker: Looker, picture: Picture) -> bool | None:
        """Say whether a picture shows nudity; None when it could not be looked at."""
        score = self._remembered.get(picture)
        if score is None:
            try:
                data = picture if isinstance(picture, bytes) else await asyncio.to_thread(picture.read_bytes)
            except FileNotFoundError:  # the preview went with the end of its job: nothing will be shown
                return False
            score = await looker.score(data)
        if score is None:
            return None
        if not isinstance(picture, bytes) and picture.parent.name == "pictures":  # previews do change
            self._remembered[picture] = score
            while len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return score >= self._threshold


class GuardedGate:
    """A gate for photos, and behind it the guard."""

    def __init__(self, gate: Gate, guard: Guard) -> None:
        self._gate = gate
        self._guard = guard

    async def check(self, upload: Upload) -> NewPhoto:
        """Give the photo as it is kept; UserError says why it cannot be used."""
        photo = await self._gate.check(upload)
        await self._guard.check_photo(photo.data)
        return photo
