"""Sharing of Loras, and what people report of them: the ledger's part about other people's codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import AccountId, Identity
from bot.core.jobs import JobId
from bot.core.loras import MAY_DRAW, Allowed, Asker, Lora, LoraCode, Share
from bot.core.messages import asking
from bot.core.monitoring import Report
from bot.db import jobs, sharing
from bot.db.direct_messages import Letters, owe
from bot.db.rows import lora_of, ms, share_of, time_of

#: Reports of one person a day.
MAX_REPORTS_A_DAY = 5
_OPEN_LINK = "SELECT expires_ms FROM invitations WHERE code = ? AND expires_ms > ? AND people < ?"
_REFUSE = "UPDATE shares SET allowed = 'no', changed_ms = ?, job = NULL WHERE number = ?"


class Shares(Letters):
    """Requests, what owners decided, links that let people in, and reports."""

    async def usable_lora(self, account: AccountId, code: LoraCode) -> Lora | None:
        """Give a Lora that an account may draw with: its own, or one that is shared with it."""
        sql = sharing.USABLE
        rows = await self._db.read(lambda db: db.execute(sql, {"account": account, "code": code}).fetchall())
        return lora_of(rows[0]) if rows else None

    async def shared_with(self, account: AccountId) -> list[tuple[Lora, Allowed]]:
        """List other people's Loras that an account may draw with, the newest share first."""
        rows = await self._rows(sharing.SHARED_WITH, account)
        return [(lora_of(row), Allowed(row["allowed"])) for row in rows]

    async def ask_for(self, asker: Asker, code: LoraCode) -> bool:
        """Write down that somebody wants to draw with a code; False when it was one too many today."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: sharing.ask(db, asker, code, now))

    async def pass_requests_on(self) -> None:
        """Owe the owners of codes a letter about each request that was written down."""
        if await self._rows("SELECT 1 FROM asks WHERE code IS NOT NULL LIMIT 1"):
            now = self._db.now_ms()
            await self._db.write(lambda db: sharing.pass_on(db, now))

    async def shares_of(self, code: LoraCode) -> list[Share]:
        """List what was asked and decided about a Lora: what waits for an answer first, then the newest."""
        sql = "SELECT * FROM shares WHERE code = ? ORDER BY allowed = 'asked' DESC, changed_ms DESC, number"
        return [share_of(row) for row in await self._rows(sql, code)]

    async def share(self, owner: AccountId, number: int) -> Share | None:
        """Give a share of a Lora of the account."""
        return await self._db.read(lambda db: _own_share(db, owner, number))

    async def allow(
        self, owner: AccountId, number: int, allowed: Allowed
    ) -> tuple[Share | None, list[JobId]]:
        """Note what the owner of a Lora decided, and owe whoever asked a letter when they may.

        Gives the share as it was before, None when it is gone; and what was cancelled, as they may not.
        """
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> tuple[Share | None, list[JobId]]:
            before = _own_share(db, owner, number)
            if before is None:
                return None, []
            db.execute(
                "UPDATE shares SET allowed = :allowed, changed_ms = :now,"
                " job = iif(:allowed = 'once', job, NULL) WHERE number = :number",
                {"allowed": str(allowed), "now": now, "number": number},
            )
            if allowed not in MAY_DRAW:
                return before, _stop_drawing(db, before, now)
            if before.allowed is not allowed:
                sharing.tell_asker(db, before, now)
            return before, []

        return await self._db.write(work)

    async def revoke(self, owner: AccountId, number: int) -> tuple[Share | None, list[JobId]]:
        """End a share of a Lora of the account, and what is still drawn by it; None when it is gone already.

        While a link is open it becomes a refusal: they would come in again. Gives what was cancelled with it.
        """
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> tuple[Share | None, list[JobId]]:
            before = _own_share(db, owner, number)
            if before is None:
                return None, []
            if db.execute(_OPEN_LINK, (before.code, now, sharing.MAX_PEOPLE_A_LINK)).fetchone() is None:
                db.execute("DELETE FROM shares WHERE number = ?", (number,))
            else:
                db.execute(_REFUSE, (now, number))
            return before, _stop_drawing(db, before, now)

        return await self._db.write(work)

    async def invite(self, code: LoraCode, word: str, expires_at: datetime) -> None:
        """Let a word let people draw with a Lora until then; the earlier one of this Lora no longer does."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM invitations WHERE code = ?", (code,))
            db.execute(
                "INSERT INTO invitations (word, code, expires_ms) VALUES (?, ?, ?)",
                (word, code, ms(expires_at)),
            )

        await self._db.write(work)

    async def invitation_until(self, code: LoraCode) -> datetime | None:
        """Tell until when a link lets people draw with a Lora; None when there is none."""
        rows = await self._rows(_OPEN_LINK, code, self._db.now_ms(), sharing.MAX_PEOPLE_A_LINK)
        return time_of(rows[0][0]) if rows else None

    async def end_invitation(self, code: LoraCode) -> None:
        """Let the link of a Lora let in nobody more."""
        await self._change("DELETE FROM invitations WHERE code = ?", code)

    async def accept(self, asker: Asker, word: str) -> LoraCode | None:
        """Let somebody draw with a Lora by the word of a link; None when it lets them in no more."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: sharing.accept(db, asker, word, now))

    async def forget_invitations(self, now: datetime) -> None:
        """Delete links that are over, and requests that nobody answered: they would keep others out."""
        await self._change("DELETE FROM invitations WHERE expires_ms <= ?", ms(now))
        await self._change("DELETE FROM asks WHERE at_ms <= ?", ms(now) - sharing.DAY_MS)
        sql = "DELETE FROM shares WHERE allowed = 'asked' AND changed_ms <= ?"
        await self._change(sql, ms(now) - sharing.UNANSWERED_MS)

    async def report(
        self, account: AccountId, code: LoraCode, words: str, readers: Sequence[Identity], letter: str
    ) -> bool:
        """Keep what a person tells of a code, and owe a letter of it; False when it was one too many today.

        One of a message that is carried out again is there already.
        """
        now, by = self._db.now_ms(), asking().by or None

        def work(db: sqlite3.Connection) -> bool:
            if db.execute("SELECT 1 FROM reports WHERE asked_by = ?", (by,)).fetchone():
                return True
            since = now - sharing.DAY_MS
            sql = "SELECT count(*) FROM reports WHERE account = ? AND created_ms > ?"
            if db.execute(sql, (account, since)).fetchone()[0] >= MAX_REPORTS_A_DAY:
                return False
            db.execute(
                "INSERT INTO reports (code, account, words, created_ms, asked_by) VALUES (?, ?, ?, ?, ?)",
                (code, account, words, now, by),
            )
            owe(db, [(str(who.platform), who.user_id) for who in readers], letter, now)
            return True

        return await self._db.write(work)

    async def last_reports(self, limit: int) -> list[Report]:
        """List what people told last, the newest first."""
        sql = (
            "SELECT created_ms, code, words, (SELECT platform || ':' || user_id FROM identities"
            " WHERE identities.account = reports.account ORDER BY platform LIMIT 1) AS who"
            " FROM reports ORDER BY id DESC LIMIT ?"
        )
        return [
            Report(time_of(row["created_ms"]), LoraCode(row["code"]), row["who"] or "", row["words"])
            for row in await self._rows(sql, limit)
        ]


def _own_share(db: sqlite3.Connection, owner: AccountId, number: int) -> Share | None:
    sql = "SELECT * FROM shares WHERE number = ? AND code IN (SELECT code FROM loras WHERE account = ?)"
    row = db.execute(sql, (number, owner)).fetchone()
    return None if row is None else share_of(row)


def _stop_drawing(db: sqlite3.Connection, share: Share, now_ms: int) -> list[JobId]:
    """Cancel what somebody who may no longer draw with a Lora still draws with it."""
    rows = db.execute(
        "SELECT id FROM jobs WHERE account = :account AND status IN ('queued', 'running')"
        " AND (code = :code OR id IN (SELECT job FROM further_codes WHERE code = :code)) ORDER BY id",
        {"account": share.account, "code": share.code},
    )
    return [jobs.end(db, JobId(row["id"]), "cancelled", None, now_ms).id for row in rows.fetchall()]
