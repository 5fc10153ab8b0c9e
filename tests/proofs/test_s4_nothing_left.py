"""S4: after /forgetme, and after the time that a photo is kept, no byte of it lies anywhere on the disk."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path

from bot.core.accounts import Identity, Platform, Preferences
from bot.core.jobs import PAUSED_SWITCH, JobStatus, TrainingParams
from bot.core.photos import NewPhoto
from bot.jobs.backends.local import WorkerTimeouts
from bot.jobs.styles import load_styles
from bot.media.quality import Box, TrainingHint
from bot.ops import backup
from bot.ops.schedule import Schedule
from bot.services.context import ServiceContext
from tests.proofs.invariants import ROOT, House, open_house, place, utc_now
from tests.proofs.verdict import Proof, forms
from tests.support.services import ADMIN, InProcessDecoder
from tests.support.use_cases import Studio

WORKER = Path(__file__).with_name("canary_worker.py")
ANNA = Identity(Platform.TELEGRAM, "1")


def found_in(folder: Path, canaries: dict[str, bytes]) -> list[str]:
    """Search every byte of every file."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [
                f"{name} in {path.relative_to(folder)}" for name, each in canaries.items() if each in data
            ]
    return found


def canary(name: str) -> bytes:
    return f"{name} {secrets.token_hex(16)}".encode()


def photos(words: bytes, order: bytes = b"") -> list[NewPhoto]:
    hint = TrainingHint(8, 8, Box(0.1, 0.1, 0.5, 0.5), (words.decode(),)).to_json()
    data = [order + b" %d " % number + words * 50 for number in range(5)]
    return [NewPhoto(hashlib.sha256(each).hexdigest(), each, hint) for each in data]


def studio_of(house: House) -> Studio:
    tools = ServiceContext(
        house.ledger, house.dispatcher, house.files, load_styles(), utc_now, lambda _: 50_000_000
    )
    return Studio(tools, InProcessDecoder(), {ADMIN})


async def story(house: House, canaries: dict[str, bytes]) -> None:
    """Somebody keeps photos, trains, draws, names, waits in a training, and collects another set."""
    studio, ledger = studio_of(house), house.ledger
    account = await ledger.accounts.get_or_create(ANNA)
    await ledger.accounts.record_consent(account)
    await ledger.accounts.save_preferences(account, Preferences(keeps_photos=True))
    done = await ledger.photo_sets.add_photos(account, photos(canaries["photo"]), place(1), TrainingParams())
    assert done.job is not None
    house.dispatcher.wake()
    assert (await house.ended(done.job)).status is JobStatus.DONE
    assert await ledger.photos.has_kept_photos(done.job.code)
    card = await studio.handle_button(ANNA, place(1), f"rename:{done.job.code}")
    assert card.text
    await studio.handle_text(ANNA, place(1), canaries["name"].decode()[:40])
    drawing = await house.generate(done.job.code, canaries["prompt"].decode(), person=1)
    assert (await house.ended(drawing)).status is JobStatus.DONE
    await house.told(drawing)
    slow = await ledger.photo_sets.add_photos(
        account, photos(canaries["photo"], b"slow"), place(1), TrainingParams()
    )
    assert slow.job is not None
    house.dispatcher.wake()
    while (await house.now(slow.job)).step < 3:
        await house.told(done.job)
    await ledger.photo_sets.add_photos(account, photos(canaries["waiting"])[:3], place(1), TrainingParams())


@forms("rounds", short=1, long=50)
async def test_s4_no_byte_is_left_of_a_forgotten_person(proof: Proof, tmp_path: Path, rounds: int) -> None:
    left, searched = [], 0
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        canaries = {name: canary(name) for name in ("photo", "waiting", "prompt")}
        canaries["name"] = canary("name")[:40]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        async with open_house(
            folder / "data", [sys.executable, str(WORKER)], environ, WorkerTimeouts()
        ) as house:
            await story(house, canaries)
            seen = {each.split(" in ")[0] for each in found_in(folder, canaries)}
            assert seen == set(canaries), f"the search finds what is there, but only {seen}"
            backup.create_backup(folder / "data", folder / "safe", utc_now())
            studio = studio_of(house)
            [button] = (await studio.ask_to_erase(ANNA)).buttons
            await studio.handle_button(ANNA, place(1), button.action)
            left += found_in(folder / "data", canaries)
            searched += sum(path.stat().st_size for path in (folder / "data").rglob("*") if path.is_file())
            backup.delete_old_backups(folder / "safe", 30, utc_now() + timedelta(days=30, seconds=1))
            left += found_in(folder, canaries)
    proof.concludes(f"{rounds} people forgotten, {searched} bytes searched after them", left)


async def test_s4_a_photo_is_gone_when_its_time_is_over(tmp_path: Path) -> None:
    canaries = {name: canary(name) for name in ("photo", "waiting", "kept")}
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    async with open_house(
        tmp_path / "data", [sys.executable, str(WORKER)], environ, WorkerTimeouts()
    ) as house:
        account = await house.ledger.accounts.get_or_create(ANNA)
        await house.ledger.accounts.save_preferences(account, Preferences(keeps_photos=True))
        done = await house.ledger.photo_sets.add_photos(
            account, photos(canaries["kept"]), place(1), TrainingParams()
        )
        assert done.job is not None
        house.dispatcher.wake()
        await house.ended(done.job)
        await house.ledger.monitoring.set_switch(PAUSED_SWITCH, True)
        await house.ledger.photo_sets.add_photos(
            account, photos(canaries["photo"]), place(1), TrainingParams()
        )
        await house.ledger.photo_sets.add_photos(
            account, photos(canaries["waiting"])[:2], place(1), TrainingParams()
        )
        assert {each.split(" in ")[0] for each in found_in(tmp_path, canaries)} == set(canaries)
        schedule = Schedule(
            database=house.ledger,
            storage=house.files,
            notice_sender=house.notifier,
            clock=lambda: utc_now() + timedelta(days=8),
            forget_photos=house.dispatcher.forget,
        )
        await schedule.run_retention()
        # What this worker learnt is the photos themselves; a real LoRA stays until its person deletes it.
        assert [each for each in found_in(tmp_path, canaries) if "loras" not in each] == []
