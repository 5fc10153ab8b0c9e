"""People: what they agreed to, what is theirs, and how it ends: the ledger's third part."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain import AccountId, Identity, LoraCode
from bot.ledger import _erase
from bot.ledger._results import Results
from bot.ledger._rows import Erased


@dataclass(frozen=True, slots=True)
class Belongings:
    """How much is kept of an account."""

    photos: int
    loras: int
    pictures: int
    jobs: int
    identities: int


class People(Results):
    """Accounts, beyond their photos and jobs."""

    async def known_account(self, identity: Identity) -> AccountId | None:
        """Give the account of an identity without making one; None for somebody new."""
        sql = "SELECT account FROM identities WHERE platform = ? AND user_id = ?"
        rows = await self._rows(sql, str(identity.platform), identity.user_id)
        return AccountId(rows[0]["account"]) if rows else None

    async def belongings_of(self, account: AccountId) -> Belongings:
        """Count what is kept of an account."""
        sql = """
            SELECT (SELECT count(*) FROM photos WHERE account = :account),
                (SELECT count(*) FROM loras WHERE account = :account),
                (SELECT count(*) FROM pictures WHERE deleted_ms IS NULL
                    AND job IN (SELECT id FROM jobs WHERE account = :account)),
                (SELECT count(*) FROM jobs WHERE account = :account AND kind = 'generate'),
                (SELECT count(*) FROM identities WHERE account = :account)
        """
        row = await self._db.read(lambda db: db.execute(sql, {"account": account}).fetchone())
        return Belongings(*row)

    async def erase_account(self, account: AccountId) -> Erased:
        """Delete everything of an account, and all that anybody drew with its Loras; bare codes stay."""
        return await self._db.write(lambda db: _erase.erase_account(db, account))

    async def erase_lora(self, code: LoraCode) -> Erased:
        """Delete a Lora and all that anybody drew with it; its bare code stays."""
        return await self._db.write(lambda db: _erase.erase_lora(db, code))
