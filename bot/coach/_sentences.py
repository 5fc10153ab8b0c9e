"""How the coach says it: one sentence a verdict, with what to do; two words for the contact sheet."""

from __future__ import annotations

from bot.coach._rules import Grade, Reason, Verdict
from bot.coach._together import Advice
from bot.contact_sheet import Mark

_SENTENCES = {
    Reason.NOT_SEEN: "I could not look at photo {number} closely. You can use it, or send it again.",
    Reason.NO_FACE: "I see no clear face on photo {number}: send one where the face is seen from the front.",
    Reason.MORE_FACES: "Photo {number} shows {faces} people: crop it to one, or send another.",
    Reason.FACES_BEHIND: "Somebody is in the background of photo {number}: crop it, or use it as it is.",
    Reason.FACE_SMALL: (
        "The face on photo {number} is {face_px} pixels wide, and I need {wanted_px}: "
        "send one from nearer, or the original file."
    ),
    Reason.FACE_FAR: "The face on photo {number} is far away: crop it closer, or use it as it is.",
    Reason.FACE_CUT: "The face on photo {number} is cut by the edge: one that shows all of it is better.",
    Reason.BLURRED: "Photo {number} is blurred: send a sharper one.",
    Reason.DARK: "Photo {number} is dark: send one with more light on the face.",
    Reason.BLOWN_OUT: "Photo {number} has too much light: {percent} % of the face is white. Send another.",
    Reason.SMALL: (
        "Photo {number} is only {short_px} pixels on its short side, and {wanted_px} are better: "
        "send the original file if you can."
    ),
    Reason.OTHER_PERSON: "Photo {number} seems to show somebody else than the others: send another.",
    Reason.UNSURE_PERSON: "I am not sure that photo {number} shows the same person as the others. Does it?",
    Reason.SAME_PICTURE: "Photo {number} is the same picture as photo {photo}: send another.",
    Reason.MUCH_ALIKE: "Photo {number} is much like photo {photo}: another moment would teach more.",
}
#: Of photos that a person may insist on.
_MILDER = {
    Reason.BLURRED: "Photo {number} is a little soft: a sharper one is better.",
    Reason.DARK: "Photo {number} is a little dark: more light on the face is better.",
    Reason.BLOWN_OUT: "Photo {number} is very bright: {percent} % of the face is plain white.",
}
_MARKS = {
    Reason.NOT_SEEN: "not seen",
    Reason.NO_FACE: "no face",
    Reason.MORE_FACES: "{faces} people",
    Reason.FACES_BEHIND: "background",
    Reason.FACE_SMALL: "face small",
    Reason.FACE_FAR: "face far",
    Reason.FACE_CUT: "face cut",
    Reason.BLURRED: "blurred",
    Reason.DARK: "dark",
    Reason.BLOWN_OUT: "too bright",
    Reason.SMALL: "small",
    Reason.OTHER_PERSON: "other person",
    Reason.UNSURE_PERSON: "same person?",
    Reason.SAME_PICTURE: "same as {photo}",
    Reason.MUCH_ALIKE: "like {photo}",
}
_ADVICE = {
    Advice.TURN: "The head looks the same way on all of them: one from the side would help.",
    Advice.DISTANCE: "All are taken from the same distance: one from nearer or further away would help.",
    Advice.LIGHT: "All have the same light: one taken somewhere else would help.",
}
#: They differ in brightness too, for eyes that do not tell red from green.
_COLOURS = {Grade.GREEN: (0, 158, 96), Grade.AMBER: (240, 170, 0), Grade.RED: (190, 20, 40)}


def sentence(number: int, verdict: Verdict) -> str | None:
    """Say what is wrong with photo `number`, from 1, and what to do; None when it is green."""
    if verdict.reason is None:
        return None
    milder = _MILDER if verdict.grade is Grade.AMBER else {}
    words = milder.get(verdict.reason, _SENTENCES[verdict.reason])
    return words.format(number=number, **verdict.values)


def advice_sentence(advice: Advice) -> str:
    """Say what would make a set better."""
    return _ADVICE[advice]


def mark(verdict: Verdict) -> Mark:
    """Give a photo's frame and words on the contact sheet."""
    words = "ok" if verdict.reason is None else _MARKS[verdict.reason].format(**verdict.values)
    return Mark(_COLOURS[verdict.grade], words)
