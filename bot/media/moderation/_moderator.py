"""Stands where photos come in and where pictures go out."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from cachetools import LRUCache

from bot.core.accounts import ChatAddress
from bot.core.errors import UserError
from bot.core.messages import PictureSource, Reply
from bot.media.moderation._scorer import NsfwScorer
from bot.media.moderation.policy import ContentPolicy, ModerationAction
from bot.texts import translate
from bot.texts.results import withhold_pictures

log = logging.getLogger(__name__)

#: Of files: `/show` brings the same ones back. A file of ours is never changed once it is there.
MAX_CACHED_SCORES = 500


class Moderator:
    """Does with pictures what the policy says. Without a looker nothing is looked at.

    From `threshold` on (0 to 1) a picture counts as nudity; with `is_fail_closed` also one that could not be
    looked at.
    """

    def __init__(
        self,
        scorer: NsfwScorer | None = None,
        policy: ContentPolicy | None = None,
        threshold: float = 0.5,
        *,
        is_fail_closed: bool = True,
    ) -> None:
        self._scorer = scorer
        self._policy = policy or ContentPolicy()
        self._threshold = threshold
        self._is_fail_closed = is_fail_closed
        self._score_cache: LRUCache[object, float] = LRUCache(MAX_CACHED_SCORES)

    async def check_photo(self, photo: bytes) -> None:
        """UserError when a photo that came is not to be taken."""
        if self._scorer is None or self._policy.photo_action is ModerationAction.ALLOW:
            return
        score = await self._scorer.score(photo)
        if score is None and self._is_fail_closed:
            raise UserError(translate("photo-not-checked"))
        if score is not None and score >= self._threshold:
            raise UserError(translate("photo-shows-nudity"))

    async def filter_reply(self, address: ChatAddress, reply: Reply) -> Reply:
        """Return a reply as it may be shown in a place."""
        action = self._policy.picture_action(address.platform, address.base_chat_id)
        if self._scorer is None or action is ModerationAction.ALLOW or not reply.pictures:
            return reply
        nsfw_flags = [await self._is_nsfw(self._scorer, picture) for picture in reply.pictures]
        is_unscored = not any(nsfw_flags) and None in nsfw_flags
        if not any(nsfw_flags) and not (is_unscored and self._is_fail_closed):
            return reply
        if action is ModerationAction.SPOILER:
            return replace(reply, is_spoiler=True)
        return withhold_pictures(reply, is_unscored)

    async def close(self) -> None:
        """Let the looker go."""
        if self._scorer is not None:
            await self._scorer.close()

    async def _is_nsfw(self, scorer: NsfwScorer, picture: PictureSource) -> bool | None:
        """Return whether a picture shows nudity; None when it could not be looked at."""
        score = self._score_cache.get(picture)
        if score is None:
            try:
                data = picture if isinstance(picture, bytes) else await asyncio.to_thread(picture.read_bytes)
            except FileNotFoundError:  # the preview went with the end of its job: nothing will be shown
                return False
            score = await scorer.score(data)
        if score is None:
            return None
        if not isinstance(picture, bytes) and picture.parent.name == "pictures":  # previews do change
            self._score_cache[picture] = score
        return score >= self._threshold
