"""The content check: what it finds is refused or covered, what it cannot see too, and its child may die."""

from __future__ import annotations

import asyncio
import io
import math
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from bot.app.factories import make_moderator
from bot.app.settings import Settings
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import UserError
from bot.core.jobs import JobKind
from bot.core.messages import Button, Reply
from bot.delivery.notices import NoticeSender
from bot.media.moderation import Moderator, SandboxedNsfwScorer, is_installed
from bot.media.moderation.__main__ import main as by_hand
from bot.media.moderation._child import score_picture
from bot.media.moderation._codec import decode_reply, encode_score
from bot.media.moderation.policy import parse_policy
from bot.processes.sandboxed import ReplyKind
from bot.texts import translate
from tests.support.engine import RememberingChat
from tests.support.services import ANNA, ANNAS, Desk, InProcessDecoder, open_desk, photo, tools
from tests.support.use_cases import Studio

#: Colours stand for what a picture shows.
BARE, DRESSED, UNSEEN = (200, 0, 0), (0, 200, 0), (0, 0, 200)
EVERYWHERE = "photos:refuse,pictures:refuse"
with_network = pytest.mark.skipif(not is_installed(), reason="the extra `safety` is not installed")


def picture(colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 300), colour).save(file, kind)
    return file.getvalue()


@dataclass
class ColourNsfwScorer:
    """Tells pictures by their colour."""

    score_count: int = 0

    async def score(self, picture: bytes) -> float | None:
        self.score_count += 1
        with Image.open(io.BytesIO(picture)) as opened:
            red, _, blue = opened.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        return None if blue > 150 else 0.9 if red > 150 else 0.1

    async def close(self) -> None:
        """There is nothing to let go."""


def guard(
    policy: str = EVERYWHERE, scorer: ColourNsfwScorer | None = None, *, closed: bool = True
) -> Moderator:
    return Moderator(scorer or ColourNsfwScorer(), parse_policy(policy), is_fail_closed=closed)


def shows(*colours: tuple[int, int, int]) -> Reply:
    buttons = (Button("Again", "again:1"), Button("Like 1", "vary:1:1"), Button("Larger", "large:1:1"))
    return Reply("#1", buttons, tuple(picture(each) for each in colours))


# --- what becomes of pictures --------------------------------------------------------------------------


async def test_photos_that_come_are_refused_each_with_its_reason() -> None:
    await guard().check_photo(picture(DRESSED, "JPEG"))
    for colour, sentence in (
        (BARE, translate("photo-shows-nudity")),
        (UNSEEN, translate("photo-not-checked")),
    ):
        with pytest.raises(UserError) as caught:
            await guard().check_photo(picture(colour))
        assert caught.value.message == sentence
    await guard(closed=False).check_photo(picture(UNSEEN))
    await guard("pictures:refuse").check_photo(picture(BARE))
    await Moderator().check_photo(picture(BARE))


async def test_a_result_with_a_picture_that_was_found_loses_its_pictures_and_words() -> None:
    shown = await guard().filter_reply(ANNAS, shows(DRESSED, BARE))
    assert shown.pictures == ()
    assert [each.action for each in shown.buttons] == ["again:1"]
    assert shown.text.startswith("#1\nNot shown: ")
    assert await guard().filter_reply(ANNAS, shows(DRESSED)) == shows(DRESSED)


async def test_a_card_under_way_loses_its_preview_without_a_word() -> None:
    card = replace(shows(BARE), card_job_id=1)
    assert await guard().filter_reply(ANNAS, card) == replace(card, pictures=())


async def test_covering_rules_cover_and_allowing_rules_skip_the_check() -> None:
    looker = ColourNsfwScorer()
    guarded = guard("pictures:spoiler,telegram/7:allow", looker)
    assert await guarded.filter_reply(ANNAS, shows(BARE)) == replace(shows(BARE), is_spoiler=True)
    assert looker.score_count == 1
    there = ChatAddress(Platform.TELEGRAM, "7", "1")
    assert await guarded.filter_reply(there, shows(BARE)) == shows(BARE)
    assert looker.score_count == 1


async def test_an_unscorable_picture_counts_as_found_when_failing_closed() -> None:
    withheld = await guard().filter_reply(ANNAS, shows(UNSEEN))
    assert withheld.pictures == ()
    assert "could not check it just now" in withheld.text
    assert (await guard("pictures:spoiler").filter_reply(ANNAS, shows(UNSEEN))).is_spoiler
    assert (await guard(closed=False).filter_reply(ANNAS, shows(UNSEEN))) == shows(UNSEEN)


async def test_a_file_is_looked_at_once_a_preview_each_time_and_one_that_is_gone_is_no_matter(
    tmp_path: Path,
) -> None:
    looker = ColourNsfwScorer()
    guarded = guard(scorer=looker)
    for name, times in (("pictures", 1), ("previews", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1-1.png").write_bytes(picture(DRESSED))
        looker.score_count = 0
        for _ in range(2):
            await guarded.filter_reply(ANNAS, Reply("x", pictures=(tmp_path / name / "1-1.png",)))
        assert looker.score_count == times
    gone = Reply("x", pictures=(tmp_path / "previews" / "2.png",))
    assert await guarded.filter_reply(ANNAS, gone) == gone


# --- where they come and go ----------------------------------------------------------------------------


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def drawn(desk: Desk, colour: tuple[int, int, int]) -> int:
    """Have a picture of that colour drawn for Anna; the notice of it is owed."""
    code = (await desk.ready(ANNA)).code
    for notice in await desk.ledger.outbox.list_due_notices(9):
        await desk.ledger.outbox.mark_notice_sent(notice.id, "1")
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    job = await desk.claim(JobKind.GENERATE)
    name = await desk.files.write_picture(job.id, 1, picture(colour))
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, [name], ["recipe"])
    return job.id


def guarded(desk: Desk, guard: Moderator) -> None:
    of_desk = replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), moderator=guard)
    desk.studio = Studio(of_desk, InProcessDecoder(), frozenset())


async def test_a_photo_found_in_an_album_is_refused_alone(desk: Desk) -> None:
    guarded(desk, guard())
    bare = replace(photo(1), data=picture(BARE, "JPEG"))
    reply = await desk.studio.add_photos(ANNA, ANNAS, [photo(3), bare])
    assert f"Photo 2: {translate('photo-shows-nudity')}" in reply.text
    assert await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(ANNA)) == 1


async def test_a_notice_and_show_withhold_what_was_found(desk: Desk) -> None:
    job_id = await drawn(desk, BARE)
    guarded(desk, guard())
    chat = RememberingChat()
    notifier = NoticeSender(
        database=desk.ledger,
        chats={chat.platform: chat},
        storage=desk.files,
        clock=desk.clock,
        moderator=guard(),
    )
    await notifier.deliver_due()
    ((_, told, _),) = chat.sent
    for reply in (told, await desk.studio.show_result(ANNA, ANNAS, f"{job_id}")):
        assert reply.pictures == ()
        assert "Not shown" in reply.text


async def test_a_notice_and_show_cover_what_is_to_be_covered(desk: Desk) -> None:
    job_id = await drawn(desk, BARE)
    covering = guard("pictures:spoiler")
    guarded(desk, covering)
    chat = RememberingChat()
    await NoticeSender(
        database=desk.ledger,
        chats={chat.platform: chat},
        storage=desk.files,
        clock=desk.clock,
        moderator=covering,
    ).deliver_due()
    ((_, told, _),) = chat.sent
    for reply in (told, await desk.studio.show_result(ANNA, ANNAS, f"{job_id}")):
        assert len(reply.pictures) == 1
        assert reply.is_spoiler


# --- the child -----------------------------------------------------------------------------------------


class SizeScorer:
    """Scores by size, and breaks on a small picture."""

    def score(self, picture: Image.Image) -> float:
        if picture.width < 10:
            raise ValueError("too small")
        return picture.width / 1000


def test_the_child_answers_whatever_it_is_given() -> None:
    assert decode_reply(*score_picture(picture(BARE), SizeScorer())) == 0.3
    small = io.BytesIO()
    Image.new("RGB", (2, 2)).save(small, "PNG")
    for broken in (b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, small.getvalue(), b"GIF89a" + b"\0" * 99):
        assert decode_reply(*score_picture(broken, SizeScorer())) is None
    assert score_picture(small.getvalue(), SizeScorer()) == (ReplyKind.REFUSED, b"ValueError")


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_out_of_its_range_is_not_believed(score: float) -> None:
    with pytest.raises(ValueError, match="out of its range"):
        decode_reply(*encode_score(score))


@pytest.mark.parametrize("reply", [(ReplyKind.RESULT, b"0.3"), (ReplyKind.READY, bytes(8))])
def test_a_reply_that_is_no_score_is_not_believed(reply: tuple[ReplyKind, bytes]) -> None:
    with pytest.raises(ValueError, match="not a score"):
        decode_reply(*reply)


@pytest.fixture
async def looker() -> AsyncIterator[SandboxedNsfwScorer]:
    looker = SandboxedNsfwScorer()
    yield looker
    await looker.close()


def person() -> bytes:
    """Somebody drawn, with a face and a coat."""
    image = Image.new("RGB", (400, 500), "skyblue")
    draw = ImageDraw.Draw(image)
    draw.ellipse((130, 60, 270, 230), fill=(230, 190, 160))
    draw.rectangle((90, 230, 310, 500), fill=(30, 60, 120))
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


@with_network
async def test_the_real_network_lets_a_drawn_person_in_a_coat_pass(looker: SandboxedNsfwScorer) -> None:
    score = await looker.score(person())
    assert score is not None
    assert score < 0.3
    assert await looker.score(b"no picture") is None, "and it lives on"
    assert await looker.score(person()) == pytest.approx(score)


async def test_pictures_without_a_scorer_process_are_not_scored(
    looker: SandboxedNsfwScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "x" * 2**18)  # more than a program may be started with
    assert await looker.score(person()) is None


@with_network
async def test_a_child_that_is_killed_is_one_picture_not_seen_and_the_next_is(
    looker: SandboxedNsfwScorer,
) -> None:
    assert await looker.score(person()) is not None
    first = looker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await looker.score(person()) is None
    assert await looker.score(person()) is not None
    assert looker.pid != first


@with_network
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_the_child_is_told_no_secret_and_has_a_limit(
    looker: SandboxedNsfwScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:canary")
    await looker.score(person())
    proc = Path("/proc") / str(looker.pid)
    assert b"canary" not in (proc / "environ").read_bytes()
    limits = (proc / "limits").read_text("utf-8")
    assert "Max data size             700000000" in limits
    resident_kib = int((proc / "status").read_text("utf-8").split("VmRSS:")[1].split()[0])
    assert resident_kib < 400_000


@with_network
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_the_child_tells_nobody_of_its_work(
    looker: SandboxedNsfwScorer, capfd: pytest.CaptureFixture[str]
) -> None:
    await looker.score(person())
    proc = Path("/proc") / str(looker.pid)
    assert b"ORT_DISABLE_TELEMETRY=1" in (proc / "environ").read_bytes()
    assert "telemetry" not in capfd.readouterr().err
    opened = {str(each.readlink()) for each in (proc / "fd").iterdir()}
    tables = "".join((proc / "net" / name).read_text("utf-8") for name in ("tcp", "tcp6", "udp", "udp6"))
    sockets = [name.removeprefix("socket:[").rstrip("]") for name in opened if name.startswith("socket:")]
    assert not [each for each in sockets if f" {each} " in tables], "none of them reaches out"


@with_network
async def test_a_cancelled_look_is_nobody_else_s_answer(looker: SandboxedNsfwScorer) -> None:
    await looker.score(person())
    look = asyncio.create_task(looker.score(person()))
    await asyncio.sleep(0)
    look.cancel()
    await asyncio.wait([look])
    assert await looker.score(picture(DRESSED)) is not None


def test_a_child_is_not_started_without_a_rule() -> None:
    assert make_moderator(Settings.from_environ({}))._scorer is None


@with_network
async def test_a_child_is_started_with_a_rule() -> None:
    wanted = make_moderator(Settings.from_environ({"CONTENT_CHECK": "photos:refuse"}))
    assert isinstance(wanted._scorer, SandboxedNsfwScorer)
    await wanted.close()


@with_network
def test_pictures_can_be_scored_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "person.jpg").write_bytes(person())
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert by_hand([str(tmp_path / "person.jpg"), str(tmp_path / "broken.jpg"), str(tmp_path / "gone")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0.")
    assert [each[0] for each in lines[1:3]] == ["-", "-"]
    assert lines[3].startswith("1 of 1 scored, 0.")
