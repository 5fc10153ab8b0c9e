"""Whose turn the card is, on a clock of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

from gpu_worker.serve.scheduler import ScheduledJob, StepScheduler


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def steps() -> Generator[str, None, None]:
    yield ""


def training(number: int) -> ScheduledJob[str]:
    return ScheduledJob((number, 1), False, steps())


def generation(number: int) -> ScheduledJob[str]:
    return ScheduledJob((number, 1), True, steps())


def run(turns: StepScheduler[str], clock: Clock, count: int, step_s: float = 1.0) -> list[int]:
    """Run some steps; return the jobs that took them."""
    job_ids = []
    for _ in range(count):
        turn = turns.next_job()
        assert turn is not None
        clock.now_s += step_s
        turns.record_step_time(turn, step_s)
        job_ids.append(turn.key[0])
    return job_ids


def desk() -> tuple[StepScheduler[str], Clock]:
    clock = Clock()
    return StepScheduler(generate_share=0.8, window_s=60.0, clock=clock), clock


def test_scheduler_without_jobs_has_no_next_job() -> None:
    assert desk()[0].next_job() is None


def test_a_generation_goes_before_a_training() -> None:
    turns, clock = desk()
    turns.add(training(1))
    turns.add(generation(2))
    assert run(turns, clock, 5) == [2] * 5


def test_generations_take_turns_and_so_do_trainings() -> None:
    turns, clock = desk()
    for number in (1, 2, 3):
        turns.add(generation(number))
    assert run(turns, clock, 6) == [1, 2, 3, 1, 2, 3]
    others, clock = desk()
    others.add(training(1))
    others.add(training(2))
    assert run(others, clock, 4) == [1, 2, 1, 2]


def test_a_training_keeps_a_fifth_of_the_time_whatever_is_drawn() -> None:
    turns, clock = desk()
    turns.add(training(1))
    turns.add(generation(2))
    whose = run(turns, clock, 600)
    for begin in range(0, 540, 7):  # in every minute
        assert Counter(whose[begin : begin + 60])[1] >= 12
    assert Counter(whose)[2] > 400  # and the pictures get the rest


def test_a_picture_waits_for_one_step_though_its_share_is_used_up() -> None:
    turns, clock = desk()
    turns.add(training(1))
    turns.add(generation(2))
    run(turns, clock, 49)  # 48 s of the minute are taken
    for number in range(3, 30):
        turns.add(generation(number))
        assert number in run(turns, clock, 2)


def test_a_stream_of_new_pictures_cannot_starve_a_training() -> None:
    turns, clock = desk()
    turns.add(training(1))
    whose = []
    for number in range(2, 402):
        turns.add(generation(number))
        whose += run(turns, clock, 1)
        turns.remove((whose[-1], 1)) if whose[-1] != 1 else None
    assert Counter(whose[100:])[1] >= 0.2 * 300


def test_time_without_a_waiting_training_is_not_counted() -> None:
    turns, clock = desk()
    turns.add(generation(2))
    run(turns, clock, 100)
    turns.add(training(1))
    assert run(turns, clock, 10) == [2] * 10


def test_a_job_that_is_taken_out_has_no_further_turn() -> None:
    turns, clock = desk()
    turns.add(training(1))
    turns.add(generation(2))
    turns.add(generation(3))
    run(turns, clock, 1)
    removed = turns.remove((2, 1))
    assert removed is not None
    assert turns.remove((2, 1)) is None
    assert run(turns, clock, 2) == [3, 3]
    assert len(turns) == 2
    assert {turn.key[0] for turn in turns.clear()} == {1, 3}
    assert not turns
