"""What a job needs only while it runs: checkpoints, candidates, samples, previews."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bot.core.jobs import JobId
from bot.media.storage._folder import DataDirectory


class WorkStorage(DataDirectory):
    """Files of running jobs; they go when their job ends."""

    async def write_checkpoint(self, job_id: JobId, data: bytes) -> None:
        """Store where a training can go on, over the earlier one."""
        await self._write_shielded(self._checkpoint_path(job_id), data)

    async def read_checkpoint(self, job_id: JobId) -> bytes | None:
        """Return where a training can go on; None when it has not come that far."""
        return await asyncio.to_thread(self._read_optional, self._checkpoint_path(job_id))

    async def write_candidate(self, job_id: JobId, step: int, lora: bytes) -> None:
        """Store the LoRA that a training had at a step."""
        await self._write_shielded(self._candidate_path(job_id, step), lora)

    async def read_candidate(self, job_id: JobId, step: int) -> bytes | None:
        """Return the LoRA that a training had at a step; None when it is not kept."""
        return await asyncio.to_thread(self._read_optional, self._candidate_path(job_id, step))

    async def write_candidate_pictures(self, job_id: JobId, step: int, pictures: Sequence[bytes]) -> None:
        """Store what a training's LoRA drew at a step, to be judged by; a power failure may take it."""
        for number, png in enumerate(pictures, 1):
            path = self._root / "candidates" / f"{job_id}-{step}-{number}.png"
            await self._write_shielded(path, png, is_durable=False)

    async def read_candidate_pictures(self, job_id: JobId) -> dict[int, list[bytes]]:
        """Return the pictures that a training's LoRAs were judged by, by their step."""
        return await asyncio.to_thread(self._read_candidate_pictures, job_id)

    async def delete_other_candidates(self, job_id: JobId, step: int) -> None:
        """Delete the LoRAs that a training had at other steps."""
        kept_path = self._candidate_path(job_id, step)
        for path in await asyncio.to_thread(self._candidate_paths, job_id):
            if path != kept_path:
                await asyncio.to_thread(self._disk.delete, path)

    async def write_sample(self, job_id: JobId, step: int, png: bytes) -> None:
        """Store a picture that a training drew on its way."""
        await self._write_shielded(self._root / "samples" / f"{job_id}-{step}.png", png)

    async def read_samples(self, job_id: JobId) -> dict[int, bytes]:
        """Return a training's samples by their step."""
        return await asyncio.to_thread(self._read_samples, job_id)

    async def write_preview(self, job_id: JobId, png: bytes) -> None:
        """Store what a picture looks like so far; a power failure may take it."""
        await self._write_shielded(self.preview_path(job_id), png, is_durable=False)

    def preview_path(self, job_id: JobId) -> Path:
        """Return where the preview of a running generation lies, if there is one yet."""
        return self._root / "previews" / f"{job_id}.png"

    async def delete_work(self, job_id: JobId) -> None:
        """Delete what a job needed only while it ran: its checkpoint, candidates, samples, preview."""
        await asyncio.to_thread(self._delete_work_files, job_id)

    def _checkpoint_path(self, job_id: JobId) -> Path:
        return self._root / "checkpoints" / f"{job_id}.safetensors"

    def _candidate_path(self, job_id: JobId, step: int) -> Path:
        return self._root / "candidates" / f"{job_id}-{step}.safetensors"

    def _candidate_paths(self, job_id: JobId) -> list[Path]:
        return list((self._root / "candidates").glob(f"{job_id}-*.safetensors"))

    def _candidate_picture_paths(self, job_id: JobId) -> list[Path]:
        return list((self._root / "candidates").glob(f"{job_id}-*.png"))

    def _read_candidate_pictures(self, job_id: JobId) -> dict[int, list[bytes]]:
        pictures_by_step: dict[int, list[bytes]] = {}
        for path in sorted(self._candidate_picture_paths(job_id), key=lambda each: each.stem.rpartition("-")):
            pictures_by_step.setdefault(int(path.stem.split("-")[1]), []).append(self._disk.read(path))
        return pictures_by_step

    def _sample_paths(self, job_id: JobId) -> list[Path]:
        return list((self._root / "samples").glob(f"{job_id}-*.png"))

    def _read_samples(self, job_id: JobId) -> dict[int, bytes]:
        return {
            int(path.stem.rpartition("-")[2]): self._disk.read(path) for path in self._sample_paths(job_id)
        }

    def _delete_work_files(self, job_id: JobId) -> None:
        paths = [
            self._checkpoint_path(job_id),
            self.preview_path(job_id),
            *self._candidate_picture_paths(job_id),
        ]
        for path in (*paths, *self._candidate_paths(job_id), *self._sample_paths(job_id)):
            self._disk.delete(path)

    def _work_paths(self) -> list[Path]:
        return [
            *(self._root / "checkpoints").glob("*.safetensors"),
            *(self._root / "candidates").iterdir(),
            *(self._root / "samples").glob("*.png"),
            *(self._root / "previews").glob("*.png"),
        ]
