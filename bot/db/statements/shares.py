"""Who may generate with whose Lora."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable

from bot.core.accounts import AccountId, ChatAddress, Platform
from bot.core.errors import ShareEnded
from bot.core.jobs import Job, JobId
from bot.core.loras import LoraCode, Permission, Requester, Share
from bot.db.sqlite.connection import DAY_MS
from bot.db.statements import messages

#: Requests of one person a day, whether anybody has these codes or not.
MAX_REQUESTS_PER_DAY = 5
#: Requests that one owner hears of a day, and that wait for them; further ones are not passed on.
MAX_FORWARDED_PER_DAY = 10
MAX_PENDING_REQUESTS = 5
#: People who may come by one link.
MAX_PEOPLE_PER_LINK = 10


def share_from_row(row: sqlite3.Row) -> Share:
    """Read a row of `shares`."""
    return Share(
        number=row["number"],
        code=LoraCode(row["code"]),
        account=AccountId(row["account"]),
        permission=Permission(row["allowed"]),
        requester_name=row["asker"],
        address=ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"]),
    )


def find_share(connection: sqlite3.Connection, code: LoraCode, account: AccountId) -> Share | None:
    sql = "SELECT * FROM shares WHERE code = ? AND account = ?"
    row = connection.execute(sql, (code, account)).fetchone()
    return None if row is None else share_from_row(row)


def insert_share(
    connection: sqlite3.Connection, requester: Requester, code: LoraCode, permission: Permission, now_ms: int
) -> int:
    # Drawn at random, so that the button of a share that ended is never that of another one.
    number = secrets.randbelow(2**53)
    address = requester.address
    connection.execute(
        "INSERT INTO shares (code, account, allowed, number, asker, platform, chat_id, user_id, changed_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(code, requester.account, str(permission), number, requester.name),
            *(str(address.platform), address.chat_id, address.user_id, now_ms),
        ),
    )
    return number


def consume_shares(connection: sqlite3.Connection, job: Job, codes: Iterable[LoraCode]) -> None:
    """Reserve the shares that a job uses, those for one time only. Raise ShareEnded where one is gone."""
    for code in dict.fromkeys(codes):
        row = connection.execute("SELECT account FROM loras WHERE code = ?", (code,)).fetchone()
        if row is not None and row["account"] == job.account:
            continue
        share = connection.execute(
            "SELECT number, allowed FROM shares WHERE code = ? AND account = ? AND job IS NULL"
            " AND allowed IN ('once', 'always')",
            (code, job.account),
        ).fetchone()
        if share is None:
            raise ShareEnded(code)
        if share["allowed"] == Permission.ONCE:
            connection.execute("UPDATE shares SET job = ? WHERE number = ?", (job.id, share["number"]))


def release_shares(connection: sqlite3.Connection, job: JobId, is_done: bool) -> None:
    """Delete the one-time shares of a job that is done; other jobs give them back."""
    if is_done:
        connection.execute("DELETE FROM shares WHERE job = ? AND allowed = 'once'", (job,))
    connection.execute("UPDATE shares SET job = NULL WHERE job = ?", (job,))


def add_request(
    connection: sqlite3.Connection,
    requester: Requester,
    code: LoraCode,
    *,
    idempotency_key: str,
    now_ms: int,
) -> bool:
    """Save a request, whether the code exists or not. Return False where it is over the daily limit.

    A repeated request is not saved again.
    """
    if connection.execute("SELECT 1 FROM asks WHERE asked_by = ?", (idempotency_key or None,)).fetchone():
        return True
    connection.execute("DELETE FROM asks WHERE at_ms <= ?", (now_ms - DAY_MS,))
    if _count_rows(connection, "asks WHERE account = ?", requester.account) >= MAX_REQUESTS_PER_DAY:
        return False
    address = requester.address
    connection.execute(
        "INSERT INTO asks (account, at_ms, code, asker, platform, chat_id, user_id, asked_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            requester.account,
            now_ms,
            code,
            requester.name,
            str(address.platform),
            address.chat_id,
            address.user_id,
            idempotency_key or None,
        ),
    )
    return True


def forward_requests(connection: sqlite3.Connection, now_ms: int) -> None:
    """Queue messages to the owners of requested codes; drop requests without an owner or over their limit."""
    for row in connection.execute("SELECT * FROM asks WHERE code IS NOT NULL ORDER BY id").fetchall():
        code, address = (
            LoraCode(row["code"]),
            ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"]),
        )
        requester = Requester(AccountId(row["account"]), row["asker"], address)
        lora = connection.execute("SELECT account FROM loras WHERE code = ?", (code,)).fetchone()
        owner = None if lora is None else AccountId(lora["account"])
        if owner == requester.account or (owner is not None and not _can_forward_to(connection, owner)):
            owner = None
        number = None if owner is None else _insert_requested_share(connection, requester, code, now_ms)
        if owner is not None and number is not None:
            _notify_owner(connection, owner, number, now_ms)
        else:
            owner = None
        connection.execute(
            "UPDATE asks SET owner = ?, code = NULL, asker = '', platform = '', chat_id = '', user_id = ''"
            " WHERE id = ?",
            (owner, row["id"]),
        )


def _insert_requested_share(
    connection: sqlite3.Connection, requester: Requester, code: LoraCode, now_ms: int
) -> int | None:
    """Save a share that its owner has not decided on. Return its number, None where one is there already.

    A share for one time whose picture is being drawn is as good as used: asked for again, it waits again.
    """
    if find_share(connection, code, requester.account) is None:
        return insert_share(connection, requester, code, Permission.REQUESTED, now_ms)
    row = connection.execute(
        "UPDATE shares SET allowed = 'asked', changed_ms = ? WHERE code = ? AND account = ?"
        " AND allowed = 'once' AND job NOT NULL RETURNING number",
        (now_ms, code, requester.account),
    ).fetchone()
    return None if row is None else int(row["number"])


def accept_share_link(
    connection: sqlite3.Connection, requester: Requester, token: str, now_ms: int
) -> LoraCode | None:
    """Share a Lora by its link and queue a message to its owner. Return None where the link is not valid."""
    row = connection.execute(
        "SELECT loras.code, loras.account FROM invitations JOIN loras ON loras.code = invitations.code"
        " WHERE word = ? AND expires_ms > ? AND people < ?",
        (token, now_ms, MAX_PEOPLE_PER_LINK),
    ).fetchone()
    if row is None:
        return None
    code, share = (
        LoraCode(row["code"]),
        find_share(connection, LoraCode(row["code"]), requester.account),
    )
    if row["account"] == requester.account or (share is not None and share.permission is Permission.ALWAYS):
        return code
    if (
        share is not None and share.permission is Permission.DENIED
    ):  # a link is for everybody but whom its owner refused
        return None
    connection.execute("DELETE FROM shares WHERE code = ? AND account = ?", (code, requester.account))
    number = insert_share(connection, requester, code, Permission.ALWAYS, now_ms)
    connection.execute("UPDATE invitations SET people = people + 1 WHERE word = ?", (token,))
    _notify_owner(connection, AccountId(row["account"]), number, now_ms)
    return code


def notify_requester(connection: sqlite3.Connection, share: Share, now_ms: int) -> None:
    """Queue a message to the requester about their share."""
    _insert_share_message(
        connection, (str(share.address.platform), share.address.user_id), share.number, now_ms
    )


def _can_forward_to(connection: sqlite3.Connection, owner: AccountId) -> bool:
    """Check whether one more request may be forwarded to an owner."""
    pending_requests = _count_rows(
        connection,
        "shares WHERE allowed = 'asked' AND code IN (SELECT code FROM loras WHERE account = ?)",
        owner,
    )
    return (
        pending_requests < MAX_PENDING_REQUESTS
        and _count_rows(connection, "asks WHERE owner = ?", owner) < MAX_FORWARDED_PER_DAY
    )


def _notify_owner(connection: sqlite3.Connection, owner: AccountId, share_number: int, now_ms: int) -> None:
    """Queue a message about a share to an owner, on the platform that they used last."""
    row = connection.execute(
        "SELECT platform, user_id FROM identities WHERE account = :owner"
        " ORDER BY platform IN (SELECT value FROM json_each(:local_platforms)),"
        " platform = (SELECT platform FROM jobs WHERE account = :owner ORDER BY id DESC LIMIT 1) DESC,"
        " platform",
        {"owner": owner, "local_platforms": messages.LOCAL_PLATFORMS_JSON},
    ).fetchone()
    _insert_share_message(connection, (row["platform"], row["user_id"]), share_number, now_ms)


def _insert_share_message(
    connection: sqlite3.Connection, recipient: tuple[str, str], share_number: int, now_ms: int
) -> None:
    connection.execute(
        "INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms, share)"
        " VALUES (?, ?, '', ?, ?, ?)",
        (*recipient, now_ms, now_ms, share_number),
    )


def _count_rows(connection: sqlite3.Connection, table_and_condition: str, value: object) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table_and_condition}", (value,)).fetchone()  # noqa: S608 - our own words
    return int(row[0])
