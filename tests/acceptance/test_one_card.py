"""One card, two duties, from the Studio's door to the notice: a training and ten people's wishes at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import drawn
from bot.app.root import App, open_app
from bot.app.settings import Settings
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import Job, JobId, JobKind, JobStatus
from bot.core.messages import Upload
from bot.core.outbox import NoticeKind
from gpu_worker.lora import file as lora_file
from tests.support.engine import RememberingChat, until
from tests.support.services import consented
from tests.support.use_cases import Studio

PEOPLE = [Identity(Platform.TELEGRAM, str(number)) for number in range(1, 5)]
PLACES = {who: ChatAddress(who.platform, who.user_id, who.user_id) for who in PEOPLE}


async def sends_five_photos(app: App, who: Identity, seed: int) -> JobId:
    uploads = [Upload(f"{n}.jpg", data) for n, data in enumerate(drawn.sample_photos(seed, 5, 256))]
    reply = await Studio.over(app.services).add_photos(who, PLACES[who], uploads)
    assert reply.card_job_id is not None
    await Studio.over(app.services).record_card(reply.card_job_id, f"card-{reply.card_job_id}")
    return reply.card_job_id


async def asks(app: App, who: Identity, code: str, seed: int) -> JobId:
    words = f"{code} sks person --seed {seed} --steps 4"
    reply = await Studio.over(app.services).generate_from_text(who, PLACES[who], words)
    assert reply.card_job_id is not None
    await Studio.over(app.services).record_card(reply.card_job_id, f"card-{reply.card_job_id}")
    return reply.card_job_id


async def job_of(app: App, job_id: JobId) -> Job:
    job = await app.database.jobs.get(job_id)
    assert job is not None
    return job


async def are_done(app: App, *jobs: JobId) -> bool:
    await asyncio.sleep(0.02)  # the worker is another process
    found = [(await job_of(app, each)).status for each in jobs]
    assert not {JobStatus.FAILED, JobStatus.CANCELLED} & set(found)
    return all(each is JobStatus.DONE for each in found)


async def has_begun(app: App, job_id: JobId) -> bool:
    await asyncio.sleep(0.02)
    return (await job_of(app, job_id)).step > 0


@pytest.mark.soak  # `make test` has it at the worker's desk (tests/gpu_worker/serve/test_engine.py)
@pytest.mark.timeout(300)
async def test_ten_pictures_beside_a_training_all_come_and_the_lora_is_the_one_without_them(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path, base_model="tiny", train_steps=8)
    async with open_app(settings) as app:
        chat = RememberingChat()
        app.chats[chat.platform] = chat
        await consented(app.database, *PEOPLE)
        running = asyncio.create_task(app.run({}))
        try:
            first = [await sends_five_photos(app, who, seed=n) for n, who in enumerate(PEOPLE[:3], 1)]
            await until(lambda: are_done(app, *first), timeout_s=200)
            codes = [(await job_of(app, each)).code for each in first]

            # The same photos as the third person's, whose training had the card for itself.
            training = await sends_five_photos(app, PEOPLE[3], seed=3)
            await until(lambda: has_begun(app, training))
            pictures = [await asks(app, PEOPLE[n % 3], codes[n % 3], seed=n) for n in range(10)]
            started = [(await job_of(app, each)).kind for each in pictures]
            assert started == [JobKind.GENERATE] * 10
            await until(lambda: are_done(app, training, *pictures), timeout_s=200)
            await app.notice_sender.deliver_due()
        finally:
            running.cancel()
            await asyncio.wait([running])

        told = [reply for message, reply in chat.edits if reply.pictures and not reply.card_job_id]
        assert len({reply.pictures for reply in told}) == 10
        looks = set()
        for reply in told:
            with Image.open(reply.pictures[0]) as image:
                assert image.size == (128, 128)
                looks.add(np.asarray(image).tobytes())
        assert len(looks) == 10
        assert not [
            each
            for each in await app.database.outbox.list_due_notices(100)
            if each.kind is NoticeKind.GENERATE_DONE
        ]
        alone = lora_file.read((tmp_path / "loras" / f"{codes[2]}.safetensors").read_bytes())
        code = (await job_of(app, training)).code
        beside = lora_file.read((tmp_path / "loras" / f"{code}.safetensors").read_bytes())
        for name, each in alone.weights.items():
            assert torch.equal(each.down, beside.weights[name].down)
            assert torch.equal(each.up, beside.weights[name].up)
