"""Five photos in, a LoraCode out, on Discord."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from bot.core.accounts import Identity, Platform
from bot.core.jobs import JobStatus
from bot.core.loras import LoraState, format_code
from bot.core.photos import PhotoRefusal
from bot.jobs.backends.local import ProcessBackend
from bot.media.decoding import SandboxedPhotoDecoder
from bot.media.storage import Storage
from bot.texts import translate
from bot.texts.photo_sets import photo_refusal
from gpu_worker.protocol import TrainRequest
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, said, text_of
from tests.support.engine import PNG
from tests.support.heif_files import DISPLAY_P3, P3_PATCHES, heif_file
from tests.support.photo_files import as_file, picture

WORKER = [sys.executable, "-m", "gpu_worker", "--base-model", "tiny", "--train-steps", "4"]
REAL_PHOTOS = Path(__file__).parents[3] / "shared" / "photos" / "dog3"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("discord", "/train", "form")
async def test_five_photos_in_the_form_become_a_lora_code_a_card_and_a_notice(stage: Stage) -> None:
    answer = await stage.form(photos(5))
    code = format_code(await stage.code())
    assert answer.ephemeral
    assert code in text_of(answer)
    (card,) = stage.dms()
    assert code in card.content
    assert labels(card) == ["Cancel"]

    await stage.work()
    card, notice = stage.dms()
    assert "100 %" in card.content
    assert labels(card) == []
    assert f"{code} is ready" in notice.content
    assert stage.public() == [], "a training is nobody else's business"


async def test_the_card_shows_how_far_the_training_is(stage: Stage) -> None:
    await stage.form(photos(5))
    job = await stage.bot.ledger.jobs.claim_next((await stage.training()).kind)
    assert job is not None
    await stage.bot.ledger.jobs.record_progress(job.id, job.attempt, 750, 1500)
    stage.bot.notifier.on_job_changed(job.id)
    await stage.tell()
    (card,) = stage.dms()
    assert "step 750 of 1500" in card.content


async def test_the_card_shows_what_was_drawn_so_far_and_goes_on_showing_it(stage: Stage) -> None:
    await stage.form(photos(5))
    job = await stage.bot.ledger.jobs.claim_next((await stage.training()).kind)
    assert job is not None
    await Storage(stage.folder).write_preview(job.id, PNG)
    for step in (750, 760):
        await stage.bot.ledger.jobs.record_progress(job.id, job.attempt, step, 1500)
        stage.bot.notifier.on_job_changed(job.id)
        await stage.tell()
        (card,) = stage.dms()
        assert f"step {step} of 1500" in card.content
        assert len(card.attachments) == 1


@pytest.mark.covers(
    "discord", "/train", "/train photo1", "/train photo2", "/train photo3", "/train photo4", "/train photo5"
)
async def test_five_attachment_options_do_what_the_form_does(stage: Stage) -> None:
    options = {f"photo{number}": each for number, each in enumerate(photos(5), 1)}
    answer = await stage.anna.slash(stage.channel, "train", **options)
    assert answer.modal is None
    assert format_code(await stage.code()) in text_of(answer)
    assert len(stage.dms()) == 1


@pytest.mark.covers("discord", "form", "restart")
async def test_a_form_that_stayed_open_over_a_restart_keeps_its_photos_in_their_order(stage: Stage) -> None:
    opened = await stage.anna.slash(stage.channel, "train")
    await stage.restart()
    answer = await stage.anna.submit_modal(opened, {"photos": photos(5)})
    assert format_code(await stage.code()) in text_of(answer)
    await stage.work()
    (request,) = stage.backend.requests
    assert isinstance(request, TrainRequest)
    for number, data in enumerate(request.photos, 1):
        with Image.open(io.BytesIO(data)) as picture:
            sent = (number * 37 % 256, number * 91 % 256, 128)
            assert picture.getpixel((200, 200)) == pytest.approx(sent, abs=4), "a JPEG rounds"


async def test_two_people_s_forms_at_once_stay_two_people_s(stage: Stage) -> None:
    hers = await stage.anna.slash(stage.channel, "train")
    his = await stage.bert.slash(stage.channel, "train")
    await stage.anna.submit_modal(hers, {"photos": photos(5)})
    await stage.bert.submit_modal(his, {"photos": [*photos(5, first=6), *photos(1, first=11)]})
    assert await stage.bot.ledger.photo_sets.count_collected(await stage.account()) == 0, (
        "hers are being trained on"
    )
    berts = Identity(Platform.DISCORD, str(stage.bert.id))
    assert (
        await stage.bot.ledger.photo_sets.count_collected(
            await stage.bot.ledger.accounts.get_or_create(berts)
        )
        == 6
    )


@pytest.mark.covers("discord", "[first5:*]", "more than five")
async def test_six_photos_start_nothing_and_ask_which_are_meant(stage: Stage) -> None:
    answer = await stage.form(photos(6))
    assert "Nothing has started" in text_of(answer)
    assert answer.response is not None
    assert labels(answer.response.message)[-2:] == ["Use the first five", "Start over"]
    await stage.work()
    assert stage.backend.requests == []

    pressed = await stage.anna.click(answer.response.message, label="Use the first five")
    assert format_code(await stage.code()) in said(pressed)
    assert len(stage.dms()) == 1


@pytest.mark.covers("discord", "[restart:*]")
async def test_start_over_forgets_the_photos(stage: Stage) -> None:
    answer = await stage.form(photos(6))
    assert answer.response is not None
    pressed = await stage.anna.click(answer.response.message, label="Start over")
    assert "Deleted: 6 photos" in said(pressed)


async def test_four_photos_are_told_what_is_missing(stage: Stage) -> None:
    options = {f"photo{number}": each for number, each in enumerate(photos(4), 1)}
    answer = await stage.anna.slash(stage.channel, "train", **options)
    assert "4 of 5; send 1 more" in text_of(answer)
    await stage.work()
    assert stage.backend.requests == []


async def test_photos_in_dms_count_towards_the_same_set(stage: Stage) -> None:
    await stage.album(photos(3))
    assert "3 of 5; send 2 more" in stage.dms()[-1].content
    await stage.album(photos(2, first=4))
    assert len(stage.dms()) == 2
    card = stage.dms()[-1]
    assert format_code(await stage.code()) in card.content
    assert (await stage.training()).card_message_id == f"{card.channel.id}/{card.id}"


@pytest.mark.parametrize("last_in_dms", [False, True])
async def test_a_set_that_was_begun_in_dms_and_went_on_in_a_server_leaves_no_card_behind(
    stage: Stage, last_in_dms: bool
) -> None:
    await stage.album(photos(3))
    options = {
        f"photo{number}": each for number, each in enumerate(photos(1 + (not last_in_dms), first=4), 1)
    }
    await stage.anna.slash(stage.channel, "train", **options)
    if last_in_dms:
        await stage.album(photos(1, first=5))
    code = format_code(await stage.code())
    [collected, _] = stage.dms()
    assert (code in collected.content, labels(collected), collected.attachments) == (True, [], [])


async def test_the_card_is_the_answer_in_dms(stage: Stage) -> None:
    shown = await stage.anna_alone.slash("train")
    await stage.anna_alone.submit_modal(shown, {"photos": photos(5)})
    (card,) = stage.dms()
    assert format_code(await stage.code()) in card.content


async def test_the_same_photo_twice_is_taken_once(stage: Stage) -> None:
    answer = await stage.form([*photos(4), *photos(1)])
    assert f"Photo 5: {translate('same-photo')}" in text_of(answer)
    assert "4 of 5" in text_of(answer)


async def test_a_text_file_called_jpg_is_named_and_avif_and_heic_are_kept(tmp_path: Path) -> None:
    gate = SandboxedPhotoDecoder()
    async with on_stage(tmp_path, gate) as stage:
        heic = heif_file(P3_PATCHES, DISPLAY_P3, pictures=2)
        files = [("me.avif", as_file(picture(), "AVIF")), ("IMG_1.HEIC", heic)]
        answer = await stage.form([*photos(2), *files, ("holiday.jpg", b"Dear diary, " * 50)])
        assert f"Photo 5: {photo_refusal(PhotoRefusal.NOT_A_PICTURE)}" in text_of(answer)
        assert "4 of 5" in text_of(answer)
        assert await stage.held() == 4
    await gate.close()


async def test_a_file_over_20_mb_is_refused_without_fetching_it(tmp_path: Path) -> None:
    gate = SandboxedPhotoDecoder()
    async with on_stage(tmp_path, gate) as stage:
        await stage.album([("big.png", b"")], size=21 * 2**20)
        assert stage.dms()[-1].content.startswith(photo_refusal(PhotoRefusal.TOO_MANY_BYTES))


async def test_photos_that_discord_does_not_hand_over_are_asked_for_again(stage: Stage) -> None:
    await stage.album(photos(5), lost=True)
    assert "1.png" in stage.dms()[-1].content
    assert "send them again" in stage.dms()[-1].content
    assert await stage.held() == 0


async def test_words_in_a_dm_are_answered_with_how_to_begin(stage: Stage) -> None:
    await stage.anna_alone.send_dm("hello?")
    (hint,) = stage.dms()
    assert "/train" in hint.content


@pytest.mark.covers("discord", "DMs closed")
async def test_the_card_and_notice_come_into_the_channel_where_dms_are_closed(
    stage: Stage,
) -> None:
    stage.close_dms()
    answer = await stage.form(photos(5))
    (card,) = stage.public()
    assert card.content.startswith(stage.anna.mention)
    assert answer.response is None, "the card stands right there; a second answer would say the same"
    await stage.work()
    card, notice = stage.public()
    assert "100 %" in card.content
    assert notice.content.startswith(stage.anna.mention)
    assert [each.id for each in notice.mentions] == [stage.anna.id]
    sent = stage.asked("POST", f"/channels/{stage.channel.id}/messages")
    assert [each["allowed_mentions"] for each in sent] == [{"parse": [], "users": [stage.anna.id]}] * 2


@pytest.mark.covers("discord", "[cancel:*]")
async def test_the_card_s_button_cancels_its_training(stage: Stage) -> None:
    await stage.form(photos(5))
    (card,) = stage.dms()
    pressed = await stage.anna_alone.click(card, label="Cancel")
    assert "will not be trained" in said(pressed)
    assert (await stage.training()).status is JobStatus.CANCELLED


@pytest.mark.covers("discord", "/cancel", "/cancel code")
async def test_cancel_takes_a_code_or_the_newest(stage: Stage) -> None:
    await stage.form(photos(5))
    answer = await stage.anna.slash(stage.channel, "cancel", code=await stage.code())
    assert answer.ephemeral
    assert (await stage.training()).status is JobStatus.CANCELLED
    await stage.form(photos(5, first=6))
    await stage.anna.slash(stage.channel, "cancel")
    assert (await stage.training()).status is JobStatus.CANCELLED
    assert translate("nothing-open") in text_of(await stage.anna.slash(stage.channel, "cancel"))


async def test_codes_lists_them_for_their_owner_s_eyes(stage: Stage) -> None:
    code = await stage.trained()
    answer = await stage.anna.slash(stage.channel, "codes")
    assert answer.ephemeral
    assert format_code(code) in text_of(answer)
    assert LoraState.READY in text_of(answer)
    assert format_code(code) not in text_of(await stage.bert.slash(stage.channel, "codes"))


@pytest.mark.soak  # `make test` has the real worker on Telegram and at the console
@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="the real photos are not here")
async def test_five_real_photos_become_a_picture_by_the_real_worker(tmp_path: Path) -> None:
    gate, worker = SandboxedPhotoDecoder(), ProcessBackend(WORKER)
    await worker.start()
    try:
        async with on_stage(tmp_path, gate, worker) as stage:
            paths = sorted(path for path in REAL_PHOTOS.iterdir() if path.suffix.lower() == ".jpg")[:5]
            answer = await stage.form([(path.name, path.read_bytes()) for path in paths])
            await stage.work()
            code = await stage.code()
            assert format_code(code) in text_of(answer)
            assert "is ready," in stage.dms()[-1].content
            await stage.draw(code)
            await stage.work()
            (drawn,) = [each for each in stage.public() if each.attachments]
            assert (await drawn.attachments[0].read()).startswith(b"\x89PNG")
    finally:
        await worker.close()
        await gate.close()
