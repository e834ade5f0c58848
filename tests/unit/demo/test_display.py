"""What a person sees: a table on a terminal, lines elsewhere, nothing for machines."""

import io

import pytest
from rich.console import Console

from strongroom.demo.display import Plain, Silent, Terminal, choose
from strongroom.demo.results import AttackResult, PhotoResult, Step, StepResult

STEPS = (Step(1, "owner", "seals [the] model"), Step(2, "replica", "opens it"))
DONE = [StepResult(step=step, at=1.25, seconds=0.5, seen="seen [here]") for step in STEPS]
PHOTO = PhotoResult(photo="flower.jpg", classes=(("daisy", 0.327),), version=1, latency_ms=12.0, as_known=True)
ATTACK = AttackResult(
    attack="a flipped byte",
    refused_by="the replica",
    code="SR-X",
    sentence=f"saw {'ab' * 32}",
    wanted=("SR-X",),
    seconds=1,
)
CARD = [("proved", "program", "the one"), ("", "fresh", "a nonce"), ("NOT proved", "SECRECY", "SIMULATED")]


def play(display):
    with display:
        display.say("hello [world]")
        for step in DONE:
            display.step_begins(step.step)
            display.step_done(step)
    display.photos([PHOTO], CARD)
    with display.busy("attacking"):
        pass
    display.attacks([ATTACK])


def console(*, terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None, legacy_windows=False)


@pytest.mark.parametrize("terminal", [True, False])
def test_everything_is_told_with_brackets_as_they_are(terminal):
    out = console(terminal=terminal)
    play(choose(out, STEPS, as_json=False, plain=False))
    text = out.file.getvalue()
    for part in (
        "hello [world]",
        "seals [the] model",
        "seen [here]",
        "daisy",
        "32.7 %",
        "SIMULATED",
        "SR-X",
        "the replica",
    ):
        assert part in text


def test_measurements_are_shortened_for_people():
    out = console(terminal=False)
    play(Plain(out))
    assert "saw abababababab…" in out.file.getvalue()


def test_an_attack_that_was_not_refused_is_loud():
    out = console(terminal=False)
    other = AttackResult(attack="a", refused_by="nobody", code="NOT-REFUSED", sentence="", wanted=("SR-X",), seconds=1)
    Plain(out).attacks([other])
    assert out.file.getvalue().startswith("NOT REFUSED AS IT SHOULD BE: a")
    Terminal(live := console(terminal=True), STEPS).attacks([other])
    assert "✗" in live.file.getvalue()


def test_the_display_fits_where_the_output_goes():
    assert isinstance(choose(console(terminal=True), STEPS, as_json=False, plain=False), Terminal)
    assert isinstance(choose(console(terminal=True), STEPS, as_json=False, plain=True), Plain)
    assert isinstance(choose(console(terminal=False), STEPS, as_json=False, plain=False), Plain)
    silent = choose(out := console(terminal=True), STEPS, as_json=True, plain=False)
    assert type(silent) is Silent
    play(silent)
    assert out.file.getvalue() == ""
