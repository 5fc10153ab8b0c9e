"""The coach's rules: numbers in, verdicts out."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, tuples
from PIL import Image, ImageOps

from bot.core.loras import CLASS_WORDS
from bot.core.photos import MAX_PHOTO_SIDE_PX
from bot.media.quality import (
    Advice,
    Box,
    PhotoGrade,
    PhotoMeasurements,
    PhotoProblem,
    PhotoVerdict,
    TrainingHint,
    build_report,
    verdict_overlay,
    verdict_sentence,
)
from bot.media.quality._measurements import is_grey
from bot.media.quality._sentences import advice_sentence
from tests.support.photo_measurements import face, person, sight

GREEN, AMBER, RED = PhotoGrade


def verdict_of(seen: PhotoMeasurements | None, class_word: str = "woman") -> PhotoVerdict:
    return build_report([seen], class_word).verdicts[0]


def verdicts(*seen: PhotoMeasurements | None) -> list[tuple[PhotoGrade, PhotoProblem | None]]:
    return [(each.grade, each.problem) for each in build_report(seen, "person").verdicts]


@pytest.mark.parametrize("class_word", CLASS_WORDS)
def test_a_good_photo_is_green(class_word: str) -> None:
    assert verdict_of(sight(), class_word) == PhotoVerdict()


@pytest.mark.parametrize(
    ("changed", "grade", "reason"),
    [
        ({"width_px": 63}, RED, PhotoProblem.FACE_SMALL),
        ({"width_px": 80}, AMBER, PhotoProblem.FACE_DISTANT),
        ({"sharpness": 39}, RED, PhotoProblem.BLURRED),
        ({"sharpness": 64}, AMBER, PhotoProblem.BLURRED),
        ({"highlight": 59}, RED, PhotoProblem.DARK),
        ({"highlight": 89}, AMBER, PhotoProblem.DARK),
        ({"blown_out": 0.51}, RED, PhotoProblem.BLOWN_OUT),
        ({"blown_out": 0.21}, AMBER, PhotoProblem.BLOWN_OUT),
        ({"is_cut": True}, AMBER, PhotoProblem.FACE_CUT),
    ],
)
def test_a_face_must_be_large_sharp_and_lit(
    changed: dict[str, float], grade: PhotoGrade, reason: PhotoProblem
) -> None:
    seen = sight(0, face(**changed))
    verdict = verdict_of(seen)
    assert (verdict.grade, verdict.problem) == (grade, reason)
    assert verdict_of(seen, "dog") == PhotoVerdict(), "a dog's photo is not judged by the face beside it"


@pytest.mark.parametrize(("trained_side_px", "least_px"), [(512, 64), (1024, 128)])
def test_a_base_that_looks_at_more_pixels_wants_a_larger_face(trained_side_px: int, least_px: int) -> None:
    def problem_of(width_px: int) -> PhotoProblem | None:
        seen = sight(0, face(width_px=width_px))
        return build_report([seen], "woman", trained_side_px).verdicts[0].problem

    assert problem_of(least_px - 1) is PhotoProblem.FACE_SMALL
    assert problem_of(least_px) is not PhotoProblem.FACE_SMALL


def test_a_crop_is_never_smaller_than_the_base_looks_at() -> None:
    small_face = Box(0.4, 0.4, 0.03, 0.03)
    for trained_side_px in (512, 1024):
        crop = TrainingHint(1536, 1536, small_face, (), trained_side_px).crop()
        assert crop is not None
        assert round(crop.width * 1536) == trained_side_px


def test_a_person_s_photo_shows_exactly_one_face() -> None:
    assert verdict_of(sight(faces=())).problem is PhotoProblem.NO_FACE
    two = verdict_of(sight(0, face(), face(width_px=100)))
    assert (two.grade, two.problem, two.values) == (RED, PhotoProblem.SEVERAL_FACES, {"faces": 2})
    behind = verdict_of(sight(0, face(), face(width_px=60), face(width_px=40)))
    assert (behind.grade, behind.problem, behind.values) == (
        AMBER,
        PhotoProblem.BACKGROUND_FACES,
        {"faces": 2},
    )


def test_a_far_face_is_one_that_training_would_shrink_too_much() -> None:
    assert verdict_of(sight(0, face(width_px=80), width_px=512, height_px=700)) == PhotoVerdict()
    far = verdict_of(sight(0, face(width_px=80), width_px=1024, height_px=1400))
    assert far.values == {"face_px": 40, "wanted_px": 48}


@pytest.mark.parametrize(
    ("class_word", "changed", "grade", "reason"),
    [
        ("dog", {"sharpness": 29}, RED, PhotoProblem.BLURRED),
        ("thing", {"sharpness": 99}, AMBER, PhotoProblem.BLURRED),
        ("style", {"sharpness": 1}, GREEN, None),
        ("cat", {"width_px": 400}, AMBER, PhotoProblem.SMALL),
        ("cat", {"faces": ()}, GREEN, None),
    ],
)
def test_other_classes_are_judged_by_sharpness_and_size(
    class_word: str, changed: dict[str, object], grade: PhotoGrade, reason: PhotoProblem | None
) -> None:
    verdict = verdict_of(sight(0, **changed), class_word)
    assert (verdict.grade, verdict.problem) == (grade, reason)


def test_a_photo_of_a_person_is_judged_as_a_whole_without_the_extra() -> None:
    said = build_report([sight(faces=None), sight(1, faces=None, sharpness=5)], "woman")
    assert not said.has_face_detection
    assert [each.problem for each in said.verdicts] == [None, PhotoProblem.BLURRED]


@pytest.mark.parametrize("class_word", ["woman", "dog"])
def test_a_black_and_white_photo_is_amber_and_its_caption_says_so(class_word: str) -> None:
    said = build_report([sight(0, is_grey=True), sight(1)], class_word)
    assert [(each.grade, each.problem) for each in said.verdicts] == [
        (AMBER, PhotoProblem.GREY),
        (GREEN, None),
    ]
    captions = [hint.caption("sks") for hint in said.hints if hint is not None]
    assert ["black and white photo" in caption for caption in captions] == [True, False]
    assert build_report([sight(0, is_grey=True)], "style").verdicts[0].grade is GREEN


def test_black_and_white_is_told_from_pale_colours() -> None:
    noise = Image.effect_noise((300, 300), 60)
    sepia = ImageOps.colorize(noise, "#1c1008", "#f5e6c8")
    pale = Image.merge("RGB", [noise.point(lambda value, add=add: value * 0.8 + add) for add in (25, 10, 0)])
    spot = noise.convert("RGB")
    spot.paste((200, 40, 40), (100, 100, 150, 150))
    pictures = [noise.convert("RGB"), sepia, pale, spot]
    files = [io.BytesIO() for _ in pictures]
    for picture, file in zip(pictures, files, strict=True):
        picture.save(file, "JPEG", quality=80)
    assert [is_grey(Image.open(file).convert("RGB")) for file in files] == [True, False, False, False]


def test_a_photo_that_nobody_could_look_at_is_left_to_the_person() -> None:
    said = build_report([None, sight()], "woman")
    assert [each.grade for each in said.verdicts] == [AMBER, GREEN]
    assert said.hints[0] is None


def test_the_worst_is_named() -> None:
    assert verdict_of(sight(0, face(is_cut=True, highlight=30))).problem is PhotoProblem.DARK
    assert verdict_of(sight(0, face(sharpness=10), face())).problem is PhotoProblem.SEVERAL_FACES


def test_one_of_five_who_is_somebody_else_is_red() -> None:
    five = [sight(seed, face(embedding=person(1, nearness=seed / 20))) for seed in range(5)]
    assert {each for each in verdicts(*five)} == {(GREEN, None)}
    five[3] = sight(3, face(embedding=person(2)))
    assert verdicts(*five)[3] == (RED, PhotoProblem.OTHER_PERSON)
    assert verdicts(*five).count((GREEN, None)) == 4


def test_the_first_photo_may_be_the_stranger() -> None:
    four = [sight(0, face(embedding=person(2)))] + [sight(seed, face()) for seed in (1, 2, 3)]
    assert verdicts(*four) == [(RED, PhotoProblem.OTHER_PERSON)] + [(GREEN, None)] * 3


def test_faces_without_a_majority_are_not_called_somebody_else() -> None:
    one, other = sight(0, face()), sight(1, face(embedding=person(2)))
    assert verdicts(one, other) == [(GREEN, None), (AMBER, PhotoProblem.UNSURE_PERSON)]
    pairs = [one, sight(2, face()), other, sight(3, face(embedding=person(2)))]
    assert verdicts(*pairs) == [(GREEN, None)] * 2 + [(AMBER, PhotoProblem.UNSURE_PERSON)] * 2


def test_a_face_between_near_and_far_is_asked_about() -> None:
    doubtful = sight(4, face(embedding=person(1, nearness=0.55)))
    assert verdicts(sight(1), sight(2), doubtful)[2] == (AMBER, PhotoProblem.UNSURE_PERSON)


def test_a_bad_face_says_nothing_about_whose_it_is() -> None:
    blurred = sight(3, face(sharpness=5, embedding=person(2)))
    assert verdicts(sight(1), sight(2), blurred)[2] == (RED, PhotoProblem.BLURRED)


def test_dogs_are_not_compared_as_people() -> None:
    seen = [sight(seed, face(embedding=person(seed))) for seed in range(3)]
    assert {each.grade for each in build_report(seen, "dog").verdicts} == {GREEN}


def flipped(seen: PhotoMeasurements, bits: int) -> PhotoMeasurements:
    hashed = int.from_bytes(seen.hash, "big") ^ (2**bits - 1)
    return sight(0, hash=hashed.to_bytes(16, "big"))


def test_the_same_picture_twice_is_red_and_a_near_one_amber() -> None:
    said = build_report([sight(1), sight(2), flipped(sight(1), 12), flipped(sight(2), 28)], "dog").verdicts
    assert (said[2].grade, said[2].problem, said[2].values) == (RED, PhotoProblem.DUPLICATE, {"photo": 1})
    assert (said[3].grade, said[3].problem, said[3].values) == (
        AMBER,
        PhotoProblem.NEAR_DUPLICATE,
        {"photo": 2},
    )
    assert [each.grade for each in said[:2]] == [GREEN, GREEN]
    assert verdict_of(flipped(sight(1), 29)) == PhotoVerdict()


def test_variety_is_advice_and_never_a_verdict() -> None:
    alike = build_report([sight(seed) for seed in range(3)], "man")
    assert set(alike.advice) == set(Advice)
    assert {each.grade for each in alike.verdicts} == {GREEN}
    near = Box(0.2, 0.2, 0.5, 0.5)
    varied = [sight(0), sight(1, face(yaw=0.4)), sight(2, face(box=near), brightness=140)]
    assert build_report(varied, "man").advice == ()
    assert build_report([sight(0), sight(1)], "man").advice == (), "two photos are too few to say"


def test_a_caption_has_the_words_that_were_measured() -> None:
    near = face(box=Box(0.2, 0.2, 0.6, 0.4), yaw=-0.5)
    feed = build_report([sight(0, near, greenery=0.4, brightness=30)], "woman").hints[0]
    assert feed is not None
    assert feed.caption("sks woman") == "sks woman, close-up, three-quarter view, outdoors, low light"
    plain = build_report([sight(0, face(box=Box(0, 0, 0.1, 0.1)))], "woman").hints[0]
    assert plain is not None
    assert plain.caption("sks woman") == "sks woman, long shot"
    dog = build_report([sight(0, sky=0.3)], "dog").hints[0]
    assert dog is not None
    assert (dog.face, dog.caption("sks dog")) == (None, "sks dog, outdoors")
    assert dog.mask_png() is None


def test_the_mask_is_white_on_the_face_black_far_from_it_and_soft_between() -> None:
    feed = build_report([sight()], "woman").hints[0]
    assert feed is not None
    mask = feed.mask_png()
    assert mask is not None
    with Image.open(io.BytesIO(mask)) as image:
        assert (image.mode, image.size) == ("L", (900, 1200))
        assert image.getpixel((450, 390)) == 255
        assert image.getpixel((450, 1100)) == image.getpixel((60, 390)) == 0
        assert len(image.histogram()) - image.histogram().count(0) > 50, "its edge is soft"


EXAMPLES = {
    PhotoProblem.SEVERAL_FACES: {"faces": 2},
    PhotoProblem.BACKGROUND_FACES: {"faces": 1},
    PhotoProblem.FACE_SMALL: {"face_px": 50, "wanted_px": 64},
    PhotoProblem.FACE_DISTANT: {"face_px": 40, "wanted_px": 48},
    PhotoProblem.BLURRED: {"sharpness": 5, "wanted": 65},
    PhotoProblem.DARK: {"highlight": 40, "wanted": 90},
    PhotoProblem.BLOWN_OUT: {"percent": 60},
    PhotoProblem.SMALL: {"short_px": 300, "wanted_px": 512},
    PhotoProblem.DUPLICATE: {"photo": 1},
    PhotoProblem.NEAR_DUPLICATE: {"photo": 2},
}


@pytest.mark.parametrize("grade", [AMBER, RED])
@pytest.mark.parametrize("reason", PhotoProblem)
def test_every_verdict_has_a_sentence_and_a_mark_that_fits_its_tile(
    reason: PhotoProblem, grade: PhotoGrade
) -> None:
    verdict = PhotoVerdict(grade, reason, EXAMPLES.get(reason, {}))
    said = verdict_sentence(3, verdict)
    assert said is not None
    assert re.search(r"[Pp]hoto(s 2 and)? 3\b", said)
    assert "{" not in said
    assert len(verdict_overlay(verdict).label) <= 14


def test_two_people_are_told_with_what_to_do() -> None:
    said = verdict_sentence(3, PhotoVerdict(RED, PhotoProblem.SEVERAL_FACES, {"faces": 2}))
    assert said == "Photo 3 shows 2 people: crop it to one, or send another."
    assert verdict_sentence(1, PhotoVerdict()) is None
    assert all(advice_sentence(each) for each in Advice)


def test_the_report_tells_its_worst_grade() -> None:
    assert build_report([sight(0), sight(1, faces=())], "man").worst_grade is RED
    assert build_report([], "man").worst_grade is GREEN


def feed(*box: float, size_px: tuple[int, int] = (900, 1200)) -> TrainingHint:
    return TrainingHint(*size_px, face=Box(*box))


def test_a_crop_holds_the_head_where_the_middle_of_the_photo_would_cut_it() -> None:
    crop = feed(0.4, 0.05, 0.2, 0.15).crop()
    assert crop is not None
    assert (crop.left, crop.top, crop.width, crop.height) == pytest.approx((0, 0, 1, 0.75))
    wide = feed(0.85, 0.3, 0.1, 0.2, size_px=(1200, 900)).crop()
    assert wide is not None
    assert (wide.left, wide.top, wide.width, wide.height) == pytest.approx((0.25, 0, 0.75, 1))


def test_a_crop_goes_nearer_to_a_small_face_but_no_nearer_than_the_model_has_pixels() -> None:
    small = feed(0.5, 0.5, 0.06, 0.06, size_px=(1200, 1200)).crop()
    assert small is not None
    assert small.width * 1200 == pytest.approx(0.06 * 1200 / 0.125)
    tiny = feed(0.5, 0.5, 0.01, 0.01, size_px=(1200, 1200)).crop()
    assert tiny is not None
    assert tiny.width * 1200 == pytest.approx(512)
    little = feed(0.5, 0.5, 0.01, 0.01, size_px=(300, 300)).crop()
    assert little is not None
    assert (little.width, little.height) == (1, 1)


@given(
    tuples(floats(0, 0.9), floats(0, 0.9), floats(0.01, 0.1)), tuples(integers(64, 1536), integers(64, 1536))
)
def test_a_crop_is_a_square_inside_its_photo(
    box: tuple[float, float, float], size_px: tuple[int, int]
) -> None:
    (left, top, width), (wide, high) = box, size_px
    crop = feed(left, top, width, width, size_px=size_px).crop()
    assert crop is not None
    assert crop.width * wide == pytest.approx(crop.height * high)
    assert min(crop.left, crop.top) >= 0
    assert max(crop.left + crop.width, crop.top + crop.height) <= 1 + 1e-9


def test_a_photo_without_a_face_is_not_cropped() -> None:
    assert TrainingHint(900, 1200).crop() is None


def test_training_hints_are_read_as_they_were_written() -> None:
    seen = TrainingHint(900, 1200, Box(0.1, 0.2, 0.3, 0.4), ("close-up", "outdoors"))
    assert TrainingHint.from_json(seen.to_json()) == seen
    assert TrainingHint.from_json("") is None
    assert TrainingHint.from_json("of another version") is None, (
        "one photo less cropped, and no training less"
    )


@pytest.mark.parametrize("ratio", [4 / 3, 3 / 2])
def test_a_square_around_a_face_of_a_stored_photo_is_as_large_as_sdxls_pictures(ratio: float) -> None:
    short_px = round(MAX_PHOTO_SIDE_PX / ratio)
    crop = TrainingHint(MAX_PHOTO_SIDE_PX, short_px, Box(0.4, 0.4, 0.03, 0.03), (), 1024).crop()
    assert crop is not None
    assert round(crop.width * MAX_PHOTO_SIDE_PX) == 1024
