"""When a demonstration counts as one that worked."""

import pytest

from strongroom.demo.results import AttackResult, PhotoResult, Report, Step, StepResult

STEP = StepResult(step=Step(1, "a → b", "something"), at=1.0, seconds=0.5, seen="it")
PHOTO = PhotoResult(photo="p.jpg", classes=(("daisy", 0.5),), version=1, latency_ms=2.0, as_known=True)


def attack(code="SR-RIGHT"):
    return AttackResult(
        attack="a", refused_by="the broker", code=code, sentence="no", wanted=("SR-RIGHT", "SR-ALSO"), seconds=1.0
    )


def report(*, steps=(STEP,), photos=(PHOTO,), attacks=None):
    attacks = [attack()] if attacks is None else attacks
    return Report(steps_wanted=1, attacks_wanted=1, steps=list(steps), photos=list(photos), attacks=attacks)


def test_all_steps_all_refusals_and_known_photographs_are_a_success():
    assert report().ok
    assert report(attacks=[attack("SR-ALSO")]).ok
    assert report().to_json_object()["steps"][0] == {
        "number": 1, "who": "a → b", "what": "something", "at": 1.0, "seconds": 0.5, "seen": "it",
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": ()},
        {"attacks": []},
        {"attacks": [attack("SR-OTHER")]},
        {"attacks": [attack("NOT-REFUSED")]},
        {"photos": (PhotoResult(photo="p", classes=(("cat", 0.5),), version=1, latency_ms=2.0, as_known=False),)},
    ],
    ids=["a step is missing", "an attack is missing", "another reason", "not refused", "not as known"],
)
def test_anything_else_is_not(wrong):
    assert not report(**wrong).ok
