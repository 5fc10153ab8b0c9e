"""How candidates are scored and chosen, and what is said of it."""

from __future__ import annotations

import pytest

from bot.core import likeness
from bot.core.likeness import (
    CandidateScore,
    LikenessReport,
    PictureSelection,
    best_score,
    drawing_similarity,
    face_similarity,
    find_odd_photo,
    has_peaked,
    score_candidate,
    weighted_likeness,
)
from bot.media.training_strip import pick_evenly
from bot.texts.likeness import format_likeness, likeness_summary

ANN, BOB = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def at(step: int, alike: float, faceless: int = 0, copies: int = 0) -> CandidateScore:
    return CandidateScore(step, alike, pictures=4, faceless=faceless, copies=copies)


def test_a_face_counts_half_where_dlib_begins_to_see_somebody_else() -> None:
    assert face_similarity((0.0, 0.0), (0.0, 0.6)) == pytest.approx(0.5)
    assert face_similarity((0.3, 0.1), (0.3, 0.1)) == 1.0
    assert face_similarity((0.0, 0.0), (9.0, 0.0)) == 0.0


def test_drawn_people_are_compared_by_their_angle() -> None:
    assert drawing_similarity(ANN, ANN) == 1.0
    assert drawing_similarity(ANN, BOB) == 0.0
    assert drawing_similarity(ANN, (-1.0, 0.0, 0.0)) == 0.0


def test_a_score_is_the_mean_over_pictures_that_show_somebody() -> None:
    found = score_candidate(500, [ANN, ANN], [ANN, BOB, None], 1, drawing_similarity)
    assert found == CandidateScore(500, likeness=0.5, pictures=3, faceless=1, copies=1)
    assert score_candidate(500, [ANN], [None, None], 0, drawing_similarity) == CandidateScore(
        500, 0.0, 2, 2, 0
    )


@pytest.mark.parametrize(("photos", "pictures"), [([], [ANN]), ([ANN], [])])
def test_a_score_needs_something_to_compare(
    photos: list[tuple[float, ...]], pictures: list[tuple[float, ...]]
) -> None:
    assert score_candidate(1, photos, pictures, 0, drawing_similarity) is None


def test_a_candidate_loses_by_faceless_pictures_and_copied_photos() -> None:
    assert (
        weighted_likeness(at(1, 0.8))
        > weighted_likeness(at(1, 0.8, copies=2))
        > weighted_likeness(at(1, 0.8, copies=4))
    )
    assert weighted_likeness(at(1, 0.8, faceless=4)) == 0.0


def test_the_most_alike_candidate_is_chosen_of_equals_the_earliest() -> None:
    assert best_score([]) is None
    assert best_score([at(500, 0.6), at(1000, 0.8), at(1500, 0.7)]) == at(1000, 0.8)
    assert best_score([at(1500, 0.8), at(1000, 0.8)]) == at(1000, 0.8)
    assert best_score([at(500, 0.9, faceless=3), at(1000, 0.5)]) == at(1000, 0.5)


@pytest.mark.parametrize(
    ("values", "peaked"),
    [
        ([0.5, 0.4], False),
        ([0.5, 0.6, 0.7], False),
        ([0.7, 0.69, 0.68], False),
        ([0.7, 0.6, 0.75], False),
        ([0.7, 0.6, 0.5], True),
    ],
)
def test_a_peak_is_passed_when_two_in_a_row_are_clearly_worse(values: list[float], peaked: bool) -> None:
    assert has_peaked([at(step, alike) for step, alike in enumerate(values)]) is peaked


def test_the_photo_of_somebody_else_is_found() -> None:
    assert find_odd_photo([ANN, ANN, ANN, BOB, ANN], drawing_similarity) == 4
    assert find_odd_photo([ANN] * 5, drawing_similarity) is None
    assert find_odd_photo([ANN, BOB], drawing_similarity) is None


def test_a_candidate_that_comes_again_takes_its_earlier_place() -> None:
    report = likeness.add_score(LikenessReport((at(500, 0.5), at(1000, 0.6)), chosen=1000), at(500, 0.7), 3)
    assert report == LikenessReport((at(500, 0.7), at(1000, 0.6)), chosen=1000, odd_photo=3)


def test_the_likeness_text_names_figure_step_and_reason() -> None:
    report = LikenessReport(
        (at(500, 0.5), at(1000, 0.8), at(1500, 0.6, faceless=1)), chosen=1000, odd_photo=4
    )
    assert format_likeness(report) == "likeness 80% (very close)"
    assert likeness_summary(report) == (
        "Its likeness is 80% (very close), measured on 4 pictures. I kept step 1000: "
        "by step 1500 it was down to 60%. Photo 4 is unlike the others and may have lowered it; "
        "/replace swaps it."
    )


def test_one_picture_and_several_are_said_as_such() -> None:
    one, several = (
        likeness_summary(LikenessReport((at(500, 0.5, faceless=count, copies=count),), chosen=500))
        for count in (1, 2)
    )
    assert "1 of them shows no clear face. 1 of them nearly repeats one of your photos" in one
    assert "2 of them show no clear face. 2 of them nearly repeat one of your photos" in several


@pytest.mark.parametrize("report", [None, LikenessReport(()), LikenessReport((at(500, 0.5),))])
def test_a_likeness_that_was_not_measured_is_not_mentioned(report: LikenessReport | None) -> None:
    assert format_likeness(report) == ""
    assert likeness_summary(report) == ""


def test_the_most_alike_picture_is_chosen_and_one_without_a_face_never() -> None:
    me = (1.0, 0.0)
    found = likeness.pick_best([me], [None, (0.6, 0.8), me, me], drawing_similarity)
    assert found == PictureSelection((None, pytest.approx(0.6), 1.0, 1.0), chosen=3)
    assert likeness.pick_best([me], [None, None], drawing_similarity) is None
    assert likeness.pick_best([], [me], drawing_similarity) is None


@pytest.mark.parametrize("wanted", [100, 450, 800])
def test_a_strip_shows_the_first_the_last_and_the_chosen_step(wanted: int) -> None:
    shown = pick_evenly([100 * number for number in range(1, 12)], wanted)
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1], len(shown)) == (100, 1100, 6)
    assert (wanted in shown) == (wanted != 450)


def test_of_pictures_of_two_the_one_whose_least_alike_person_is_best_is_chosen() -> None:
    half = (0.6, 0.8, 0.0)  # 60% Ann, 80% Bob
    pictures = [[ANN, ANN], [half, half], [ANN, None]]
    pick = likeness.pick_best_together([[ANN], [BOB]], pictures, drawing_similarity)
    assert pick == PictureSelection((0.0, 0.6, None), 2, ((1.0, 0.0), (0.6, 0.8), (1.0, None)))
    assert likeness.pick_best_together([[ANN], []], pictures, drawing_similarity) is None
    assert likeness.pick_best_together([[ANN], [BOB]], [[None, None]], drawing_similarity) is None
