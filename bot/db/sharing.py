"""Who may draw with whose Lora, as statements inside one transaction."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable

from bot.core.accounts import AccountId, Place, Platform
from bot.core.errors import ShareEnded
from bot.core.jobs import Job, JobId
from bot.core.loras import Allowed, Asker, LoraCode, Share
from bot.core.messages import asking
from bot.db.rows import share_of

DAY_MS = 86_400_000
#: Requests of one person a day, whether anybody has these codes or not.
MAX_ASKS_A_DAY = 5
#: Requests that one owner hears of a day, and that wait for them; further ones are not passed on.
MAX_HEARD_A_DAY = 10
MAX_WAITING = 5
#: A request that nobody answered for so long is forgotten.
UNANSWERED_MS = 7 * DAY_MS
#: People who may come by one link.
MAX_PEOPLE_A_LINK = 10
#: Whether a Lora is :account's to draw with; one look-up, whatever the answer is.
USABLE = """
    SELECT loras.* FROM loras LEFT JOIN shares ON shares.code = loras.code AND shares.account = :account
    WHERE loras.code = :code AND (loras.account = :account OR shares.allowed IN ('once', 'always')
        AND shares.job IS NULL)
"""
SHARED_WITH = """
    SELECT loras.*, shares.allowed AS allowed FROM shares JOIN loras ON loras.code = shares.code
    WHERE shares.account = ? AND shares.allowed IN ('once', 'always') AND shares.job IS NULL
    ORDER BY shares.changed_ms DESC
"""


def spend(db: sqlite3.Connection, job: Job, codes: Iterable[LoraCode]) -> None:
    """Look once more whether a job's person may draw with Loras; what is for once is the job's then."""
    for code in dict.fromkeys(codes):
        row = db.execute("SELECT account FROM loras WHERE code = ?", (code,)).fetchone()
        if row is not None and row["account"] == job.account:
            continue
        share = db.execute(
            "SELECT number, allowed FROM shares WHERE code = ? AND account = ? AND job IS NULL"
            " AND allowed IN ('once', 'always')",
            (code, job.account),
        ).fetchone()
        if share is None:
            raise ShareEnded(code)
        if share["allowed"] == Allowed.ONCE:
            db.execute("UPDATE shares SET job = ? WHERE number = ?", (job.id, share["number"]))


def ended(db: sqlite3.Connection, job: JobId, is_done: bool) -> None:
    """End what a job had for once; a job that drew nothing gives it back."""
    if is_done:
        db.execute("DELETE FROM shares WHERE job = ? AND allowed = 'once'", (job,))
    db.execute("UPDATE shares SET job = NULL WHERE job = ?", (job,))


def ask(db: sqlite3.Connection, asker: Asker, code: LoraCode, now_ms: int) -> bool:
    """Write a request down, be the code anybody's or nobody's; False when it was one too many.

    One of a message that is carried out again is there already.
    """
    by = asking().by or None
    if db.execute("SELECT 1 FROM asks WHERE asked_by = ?", (by,)).fetchone():
        return True
    db.execute("DELETE FROM asks WHERE at_ms <= ?", (now_ms - DAY_MS,))
    if _count(db, "asks WHERE account = ?", asker.account) >= MAX_ASKS_A_DAY:
        return False
    place = asker.place
    db.execute(
        "INSERT INTO asks (account, at_ms, code, asker, platform, chat_id, user_id, asked_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (asker.account, now_ms, code, asker.name, str(place.platform), place.chat_id, place.user_id, by),
    )
    return True


def pass_on(db: sqlite3.Connection, now_ms: int) -> None:
    """Tell owners of the requests that were written down, as far as there is one who is to hear of them."""
    for row in db.execute("SELECT * FROM asks WHERE code IS NOT NULL ORDER BY id").fetchall():
        code, place = LoraCode(row["code"]), Place(Platform(row["platform"]), row["chat_id"], row["user_id"])
        asker = Asker(AccountId(row["account"]), row["asker"], place)
        lora = db.execute("SELECT account FROM loras WHERE code = ?", (code,)).fetchone()
        owner = None if lora is None else AccountId(lora["account"])
        if owner == asker.account or (owner is not None and not _hears(db, owner)):
            owner = None
        if owner is not None and _share(db, code, asker.account) is None:
            _tell(db, owner, _add(db, asker, code, Allowed.ASKED, now_ms), now_ms)
        else:
            owner = None
        db.execute(
            "UPDATE asks SET owner = ?, code = NULL, asker = '', platform = '', chat_id = '', user_id = ''"
            " WHERE id = ?",
            (owner, row["id"]),
        )


def accept(db: sqlite3.Connection, asker: Asker, word: str, now_ms: int) -> LoraCode | None:
    """Let somebody in by the word of a link, and tell the owner; None when it lets them in no more."""
    row = db.execute(
        "SELECT loras.code, loras.account FROM invitations JOIN loras ON loras.code = invitations.code"
        " WHERE word = ? AND expires_ms > ? AND people < ?",
        (word, now_ms, MAX_PEOPLE_A_LINK),
    ).fetchone()
    if row is None:
        return None
    code, share = LoraCode(row["code"]), _share(db, LoraCode(row["code"]), asker.account)
    if row["account"] == asker.account or (share is not None and share.allowed is Allowed.ALWAYS):
        return code
    if (
        share is not None and share.allowed is Allowed.NO
    ):  # a link is for everybody but whom its owner refused
        return None
    db.execute("DELETE FROM shares WHERE code = ? AND account = ?", (code, asker.account))
    number = _add(db, asker, code, Allowed.ALWAYS, now_ms)
    db.execute("UPDATE invitations SET people = people + 1 WHERE word = ?", (word,))
    _tell(db, AccountId(row["account"]), number, now_ms)
    return code


def tell_asker(db: sqlite3.Connection, share: Share, now_ms: int) -> None:
    """Owe whoever asked a letter about their share."""
    _owe(db, (str(share.place.platform), share.place.user_id), share.number, now_ms)


def _share(db: sqlite3.Connection, code: LoraCode, account: AccountId) -> Share | None:
    sql = "SELECT * FROM shares WHERE code = ? AND account = ?"
    row = db.execute(sql, (code, account)).fetchone()
    return None if row is None else share_of(row)


def _add(db: sqlite3.Connection, asker: Asker, code: LoraCode, allowed: Allowed, now_ms: int) -> int:
    # Drawn at random, so that the button of a share that ended is never that of another one.
    number = secrets.randbelow(2**53)
    place = asker.place
    db.execute(
        "INSERT INTO shares (code, account, allowed, number, asker, platform, chat_id, user_id, changed_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(code, asker.account, str(allowed), number, asker.name),
            *(str(place.platform), place.chat_id, place.user_id, now_ms),
        ),
    )
    return number


def _hears(db: sqlite3.Connection, owner: AccountId) -> bool:
    """Say whether one more request may be passed on to an owner."""
    waiting = _count(
        db,
        "shares WHERE allowed = 'asked' AND code IN (SELECT code FROM loras WHERE account = ?)",
        owner,
    )
    return waiting < MAX_WAITING and _count(db, "asks WHERE owner = ?", owner) < MAX_HEARD_A_DAY


def _tell(db: sqlite3.Connection, owner: AccountId, share: int, now_ms: int) -> None:
    """Owe the owner of a Lora a letter that shows a share, where they last asked for something."""
    row = db.execute(
        "SELECT platform, user_id FROM identities WHERE account = :owner ORDER BY platform = 'console',"
        " platform = (SELECT platform FROM jobs WHERE account = :owner ORDER BY id DESC LIMIT 1) DESC,"
        " platform",
        {"owner": owner},
    ).fetchone()
    _owe(db, (row["platform"], row["user_id"]), share, now_ms)


def _owe(db: sqlite3.Connection, to: tuple[str, str], share: int, now_ms: int) -> None:
    db.execute(
        "INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms, share)"
        " VALUES (?, ?, '', ?, ?, ?)",
        (*to, now_ms, now_ms, share),
    )


def _count(db: sqlite3.Connection, what: str, value: object) -> int:
    row = db.execute(f"SELECT count(*) FROM {what}", (value,)).fetchone()  # noqa: S608 - our own words
    return int(row[0])
