"""Loras, and who may generate with them."""

from __future__ import annotations

from bot.core.accounts import AccountId
from bot.core.loras import Lora, LoraCode
from bot.db.sqlite.connection import Connection
from bot.db.statements import loras


class LoraRepository:
    """Loras by their code."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get_by_code(self, code: LoraCode) -> Lora | None:
        """Return the Lora of a code, None where there is none."""
        rows = await self._connection.fetch_rows("SELECT * FROM loras WHERE code = ?", code)
        return loras.lora_from_row(rows[0]) if rows else None

    async def list_for_account(self, account: AccountId) -> list[Lora]:
        """Return the Loras of an account, the newest first."""
        sql = "SELECT * FROM loras WHERE account = ? ORDER BY created_ms DESC, code"
        return [loras.lora_from_row(row) for row in await self._connection.fetch_rows(sql, account)]

    async def rename(self, code: LoraCode, name: str) -> None:
        """Set the name of a Lora."""
        await self._connection.execute("UPDATE loras SET name = ? WHERE code = ?", name, code)
