"""The benchmark's rows: their lines, their judgement, and what is said where nothing can be measured."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks import measure
from benchmarks.__main__ import parse_arguments, write_results
from benchmarks.figure import FigureSpec
from benchmarks.figures import FIGURES, select_figures
from benchmarks.lab import parse_training
from benchmarks.machine import Machine
from benchmarks.measure import GIB, Measurement, NotMeasured
from benchmarks.notebook import RunCache
from benchmarks.peer import Peer, ProgressBarReader
from benchmarks.probes.card import idle_percent
from benchmarks.rows import FigureRow, Goal, GoalVerdict, format_table
from benchmarks.runs import (
    CardRun,
    DrawingRun,
    PeerRun,
    PictureRun,
    PrecisionChoice,
    StoredBlockRun,
    SwitchRun,
    TrainingRun,
    WorkerRun,
)
from benchmarks.sd15_model import write_weights

LINE = re.compile(
    r"bench: [a-z0-9-]+ value=(-?[0-9.e+-]+ goal=\S+ (holds|short)|- goal=\S+ not-measured \(.+\))"
)


@dataclass
class SmallLab:
    """A laboratory whose runs take no time; `calls` are the runs it was asked for."""

    has_card: bool = False
    has_peer: bool = True
    side_px: int = 512
    precision_kept: bool = True
    calls: list[str] = field(default_factory=list)

    def train(self, precision: str) -> TrainingRun:
        self.calls.append(f"train {precision}")
        kept = {"fp32": "float32", "bf16": "bfloat16", "default": "bfloat16"}[precision]
        steps_s = (13.0, 13.2, 13.1) if precision == "fp32" else (7.6, 7.8, 7.7)
        return TrainingRun(
            precision=kept if self.precision_kept else "float32",
            start_s=50.0,
            steps_s=steps_s,
            progress_delay_s=0.0001,
            checkpoint_s=0.3,
            checkpoint_bytes=80_000_000,
            peak_bytes=int(3.5 * GIB),
            adjusted=() if self.precision_kept else ("the numbers went out of bounds",),
        )

    def peer(self, flags: str, launcher: bool = False, on_card: bool = False) -> PeerRun:
        if not self.has_peer:
            raise NotMeasured("no peer: set PEER to a checkout of sd-scripts")
        self.calls.append(f"peer {flags}".strip() + " launched" * launcher)
        if on_card:
            return PeerRun(20.0, (0.5, 0.5), 0)
        steps_s = (7.8, 7.9) if "bf16" in flags else (18.0, 17.0) if launcher else (13.4, 13.3)
        return PeerRun(60.0, steps_s, 7 * GIB)

    def worker(self, only_ready: bool) -> WorkerRun:
        self.calls.append(f"worker {only_ready}")
        if only_ready:
            return WorkerRun(0.3, 6.0)
        return WorkerRun(0.3, 6.0, "bf16", 8.2, (7.7, 7.6), 30.0, (7.7, 7.6), 4 * GIB)

    def choice(self) -> PrecisionChoice:
        return PrecisionChoice("bfloat16", "it is the fastest", 0)

    def card(self) -> CardRun:
        return CardRun("float16", (0.3, 0.3), 5 * 10**9, 2.0)

    def draw(self, precision: str) -> DrawingRun:
        self.calls.append(f"draw {precision}")
        steps_s = (5.8, 6.0) if precision != "fp32" else (10.6, 10.8)
        with_lora_s = tuple(1.05 * each for each in steps_s)
        return DrawingRun("bfloat16", steps_s, steps_s, 5 * GIB, with_lora_s, merge_s=3.0)

    def train_sdxl(self) -> TrainingRun:
        return replace(self.train("bf16"), steps_s=(15.0, 15.0), peak_bytes=9 * GIB)

    def peer_sdxl(self) -> PeerRun:
        if not self.has_peer:
            raise NotMeasured("no peer: set PEER to a checkout of sd-scripts")
        self.calls.append("peer SDXL")
        return PeerRun(90.0, (16.0, 16.0), 12 * GIB)

    def draw_sdxl(self) -> DrawingRun:
        self.calls.append("draw SDXL")
        return DrawingRun("bfloat16", (10.0,), (11.0,), 15 * GIB)

    def draw_whole(self) -> PictureRun:
        return PictureRun("bfloat16", 70.0, 30.0, 560.0, "Steps: 10", "Steps: 8")

    def switch(self) -> SwitchRun:
        return SwitchRun(0.3, 0.002, 18 * 2**20, 700 * 2**20, 707 * 2**20)

    def pass_stored_block(self) -> StoredBlockRun:
        passes_s = {"whole": 1.0, "int8": 1.1, "nf4": 1.2}
        return StoredBlockRun(
            {"fp32 512": passes_s, "bf16 1024": passes_s}, {"whole": 64, "int8": 32, "nf4": 16}
        )

    def peak(self, duty: str) -> int:
        return int({"train": 4.0, "both": 4.4}[duty] * GIB)

    def loading(self) -> tuple[int, int]:
        return int(2.4 * GIB), 2 * GIB

    def compare_loras(self) -> Measurement:
        if not self.has_peer:
            raise NotMeasured("no peer: set PEER to a checkout of sd-scripts")
        return Measurement(1.03, "plain 1.03")

    def gflops(self, precision: str) -> float:
        return {"fp32": 183.0, "bf16": 420.0}[precision]


def rows(lab: SmallLab) -> dict[str, FigureRow]:
    book = RunCache(lab)
    return {figure.name: figure.measure_row(book) for figure in FIGURES}


def row(value: float | None, goal: str, note: str = "") -> FigureRow:
    return FigureRow("some-row", "what it is", "s", Goal.parse(goal), value, note)


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [
        (1.0, "<= 1.0", GoalVerdict.HOLDS),
        (1.0001, "<= 1.0", GoalVerdict.SHORT),
        (2.0, ">= 2.0", GoalVerdict.HOLDS),
        (1.99, ">= 2.0", GoalVerdict.SHORT),
        (5.5, "< 5.5", GoalVerdict.SHORT),
        (0.0, "<= 0", GoalVerdict.HOLDS),
        (float("nan"), "<= 1.0", GoalVerdict.SHORT),
        (None, "<= 1.0", GoalVerdict.NOT_MEASURED),
    ],
)
def test_a_figure_is_judged_by_its_goal(value: float | None, goal: str, verdict: GoalVerdict) -> None:
    assert row(value, goal).verdict is verdict


def test_a_goal_without_a_relation_is_refused() -> None:
    with pytest.raises(ValueError, match="no goal"):
        Goal.parse("1.0")


def test_a_measured_row_is_one_line_of_five_words() -> None:
    assert row(6.3149, "<= 10.0").format_line() == "bench: some-row value=6.315 goal=<=10 holds"
    assert row(12.0, "<= 10.0").format_line() == "bench: some-row value=12 goal=<=10 short"


def test_a_row_that_was_not_measured_says_why() -> None:
    assert row(None, ">= 2.0", "no peer").format_line() == (
        "bench: some-row value=- goal=>=2 not-measured (no peer)"
    )


def test_every_row_is_well_formed_with_and_without_peer_and_card() -> None:
    for lab in (SmallLab(), SmallLab(has_card=True), SmallLab(has_peer=False)):
        for each in rows(lab).values():
            assert LINE.fullmatch(each.format_line()), each.format_line()
            assert "\n" not in each.format_line()


def test_names_are_unique_and_the_documentation_has_each() -> None:
    names = [figure.name for figure in FIGURES]
    assert len(set(names)) == len(names)
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text("utf-8")
    assert [name for name in names if f"`{name}`" not in text] == []


def test_rows_follow_from_the_runs() -> None:
    found = rows(SmallLab(has_card=True))
    values = {name: each.value for name, each in found.items()}
    assert values["same-work-fp32"] == pytest.approx(13.1 / 13.35)
    assert values["same-work-bf16"] == pytest.approx(7.7 / 7.85)
    assert values["out-of-the-box"] == pytest.approx(17.5 / 7.7)
    assert values["first-step-ahead"] == pytest.approx(8.2 - 7.65)
    assert values["first-step-cold"] == pytest.approx(60 / 30)
    assert values["program-start-fp32"] == pytest.approx(60 / 50)
    assert values["peak-memory-bf16"] == pytest.approx(3.5)
    assert values["events-share"] == pytest.approx(100 * (0.0001 / 7.7 + 0.3 / 60))
    assert values["speed-share-fp32"] == pytest.approx(1787 / 13.1 / 183)
    assert values["sdxl-step"] == pytest.approx(15 / 16)
    assert values["sdxl-peak-memory"] == pytest.approx(9 / 12)
    assert values["sdxl-picture"] == pytest.approx(1.1)
    assert values["cuda-step"] == pytest.approx(0.5 / 0.3)
    assert values["cuda-peak-memory"] == pytest.approx(5.0)


def test_rows_that_compare_are_missing_without_a_peer() -> None:
    missing = {
        name for name, each in rows(SmallLab(has_card=True, has_peer=False)).items() if each.value is None
    }
    assert missing == {
        "same-lora",
        "same-work-fp32",
        "same-work-bf16",
        "out-of-the-box",
        "first-step-cold",
        "program-start-fp32",
        "program-start-bf16",
        "sdxl-step",
        "sdxl-peak-memory",
        "cuda-step",
    }


def test_rows_of_the_card_say_so_without_one() -> None:
    for name, each in rows(SmallLab()).items():
        if name.startswith("cuda-"):
            assert each.verdict is GoalVerdict.NOT_MEASURED
            assert each.note == "there is no CUDA card"


def test_a_training_that_changed_its_precision_gives_no_figure() -> None:
    found = rows(SmallLab(precision_kept=False))["peak-memory-bf16"]
    assert found.verdict is GoalVerdict.NOT_MEASURED
    assert "out of bounds" in found.note


def test_the_peer_and_ours_take_turns_and_every_run_is_done_once() -> None:
    lab = SmallLab()
    rows(lab)
    turns = ["peer --sdpa", "train fp32"] * 2
    turns += ["peer --sdpa --mixed_precision bf16", "train bf16"] * 2
    turns += ["peer launched", "train default"] * 2
    draws = ["draw fp32", "draw bf16", "draw default"]
    sdxl = [*["peer SDXL", "train bf16"] * 2, "draw SDXL"]
    assert lab.calls == [*turns, "worker False", *draws, *sdxl]


def test_the_option_only_selects_one_row_and_the_runs_it_needs() -> None:
    lab = SmallLab()
    (figure,) = select_figures("worker-ready")
    assert figure.measure_row(RunCache(lab)).value == 6.0
    assert lab.calls == ["worker True"]


def test_the_option_only_takes_the_beginning_of_names() -> None:
    assert [figure.name for figure in select_figures("sdxl")] == [
        "sdxl-step",
        "sdxl-peak-memory",
        "sdxl-picture",
    ]


def test_the_option_only_with_an_unknown_row_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--only", "no-such-row"])
    said = capsys.readouterr().err
    assert "no-such-row" in said
    assert "worker-ready" in said


def test_all_rows_are_measured_by_default() -> None:
    assert parse_arguments([]).figures == list(FIGURES)


def test_a_measurement_that_fails_is_a_row_that_says_so() -> None:
    def measure_nothing(_: RunCache) -> measure.Measurement:
        raise NotMeasured("it ended with status 1: no such flag")

    figure = FigureSpec("some-row", "what it is", "s", Goal.parse("<= 1"), measure_nothing)
    assert figure.measure_row(RunCache(SmallLab())).format_line() == (
        "bench: some-row value=- goal=<=1 not-measured (it ended with status 1: no such flag)"
    )


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('first', file=sys.stderr); sys.exit('the last word')", "the last word"),
        ("pass", "without saying its figures"),
    ],
)
def test_a_program_that_fails_is_quoted(program: str, why: str) -> None:
    with pytest.raises(NotMeasured, match=why):
        measure.run([sys.executable, "-c", program], timeout_s=60).read_json()


def test_last_json_line_of_a_program_is_its_result() -> None:
    program = "print('a library says hello'); print('{\"seconds\": 1.5}')"
    assert measure.run([sys.executable, "-c", program], timeout_s=60).read_json() == {"seconds": 1.5}


def test_a_program_that_cannot_be_started_is_named() -> None:
    with pytest.raises(NotMeasured, match="no-such-program"):
        measure.run(["no-such-program"], timeout_s=60)


def test_neither_the_checkpoint_nor_encoding_a_photo_is_part_of_a_step() -> None:
    told = {
        "precision": "bfloat16",
        "step_ends": [110.0, 120.0, 129.0],
        "encode_s": [3.0, 2.0, 0.0],
        "progress_delay_s": [0.1, 0.2, 0.3],
        "checkpoint_s": 1.0,
        "checkpoint_step": 2,
        "checkpoint_bytes": 8,
        "peak_bytes": 9,
        "adjusted": [],
    }
    run = parse_training(told, spawned_at=100.0)
    assert run.start_s == 10.0
    assert run.steps_s == (8.0, 8.0)
    assert run.progress_delay_s == 0.2


def test_progress_bar_of_the_peer_is_read_in_any_pieces() -> None:
    text = "epoch 1/1\nsteps:   0%|          | 0/2 [00:00<?, ?it/s]\rsteps:  50%|##   | 1/2 [00:13<00:13]\r"
    text += "steps:  50%|##   | 1/2 [00:13<00:13, avr_loss=0.1]\rsteps: 100%|####| 2/2 [00:26<00:00]"
    for size in (1, 7, len(text)):
        bar = ProgressBarReader()
        for start in range(0, len(text), size):
            bar.feed(text[start : start + size])
        assert len(bar.step_ends) == 2


@pytest.mark.parametrize("environ", [{}, {"PEER": ""}])
def test_missing_peer_is_reported(environ: dict[str, str]) -> None:
    with pytest.raises(NotMeasured, match="set PEER"):
        Peer.from_environ(environ)


def test_folder_without_a_peer_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"no train_network\.py"):
        Peer.from_environ({"PEER": str(tmp_path)})


def test_a_card_is_idle_where_nothing_covers_the_time() -> None:
    assert idle_percent([(0, 4), (2, 5), (6, 10)]) == pytest.approx(10)
    assert idle_percent([(0, 10), (1, 2)]) == pytest.approx(0)
    assert idle_percent([]) == 100


def test_weights_are_written_as_safetensors_under_published_names(tmp_path: Path) -> None:
    with torch.device("meta"):
        part = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4))
    write_weights(part, tmp_path / "part.safetensors", np.random.default_rng(1), prefix="text_model.")
    found = load_file(tmp_path / "part.safetensors")
    assert set(found) == {f"text_model.{name}" for name in part.state_dict()}
    assert found["text_model.0.weight"].shape == (4, 8)
    assert found["text_model.0.weight"].std() > 0
    assert found["text_model.0.bias"].eq(0).all()
    assert found["text_model.1.weight"].eq(1).all()


def test_results_hold_machine_rows_and_measurements(tmp_path: Path) -> None:
    machine = Machine("a CPU", 2, 24.0, "3.11", "2.13", 2, "", 183.0, 420.0, 0.1)
    book = RunCache(SmallLab(has_peer=False))
    measured = [figure.measure_row(book) for figure in FIGURES]
    write_results(tmp_path / "results.json", machine, measured, book.as_json(), quick=False)
    told = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert told["machine"]["cpu"] == "a CPU"
    assert [each["name"] for each in told["rows"]] == [figure.name for figure in FIGURES]
    assert {each["verdict"] for each in told["rows"]} <= {"holds", "short", "not-measured"}
    assert told["measured"]["worker"]["ready_s"] == 6.0


def test_the_table_has_a_line_for_each_row() -> None:
    found = list(rows(SmallLab()).values())
    assert len(format_table(found).splitlines()) == len(found) + 2


def test_pictures_are_compared_with_diffusers_in_one_precision_and_by_default() -> None:
    found = rows(SmallLab())
    assert found["picture-bf16"].value == 1.0
    assert found["picture-out-of-the-box"].value == pytest.approx(10.7 / 5.9)
    assert found["lora-share"].value == pytest.approx(5.0)


def test_rows_of_switching_and_memory_follow_from_their_runs() -> None:
    found = rows(SmallLab())
    assert found["lora-switch-cached"].value == 2.0
    assert found["lora-switch-memory"].value == pytest.approx(1.0)
    assert found["both-duties-memory"].value == pytest.approx(1.1)
    assert found["loading-memory"].value == pytest.approx(1.2)
