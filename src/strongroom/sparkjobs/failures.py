"""The one useful sentence in what Spark says of a job that failed, with traces of Java and of Python in it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_TEXT_CHARS: Final = 1 << 20  # of a trace that is looked through, from its end
MAX_SENTENCE_CHARS: Final = 1000
_CODE: Final = r"SR-[A-Z0-9-]{2,60}"
# How a worker passes on an error of ours with its remedy (source.faults), and how our Java classes name one.
_NOTED: Final = re.compile(rf"^(?:[\w.]+: )?(.+)\nwhat to do: (.+) \[({_CODE})\]$", re.MULTILINE)
_NAMED: Final = re.compile(rf"\b({_CODE}): (.+)$", re.MULTILINE)
_RAISED: Final = re.compile(r"^((?:[A-Za-z_]\w*\.)*[A-Z]\w*: .+)$", re.MULTILINE)
_NESTED: Final = "Traceback (most recent call last):"
_CAUSE: Final = re.compile(r"^Caused by: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Failure:
    """What happened, what to do about it, and its code: empty where it is the program's own."""

    sentence: str
    fix: str = ""
    code: str = ""


def failure(text: str) -> Failure:
    """Return what a long text says: an error of ours where there is one, else what was raised first."""
    text = text[-MAX_TEXT_CHARS:]
    noted = list(_NOTED.finditer(text))
    if noted:
        sentence, fix, code = noted[-1].groups()
        return Failure(_line(sentence), _line(fix), code)
    named = list(_NAMED.finditer(text))
    if named:
        code, sentence = named[-1].groups()
        return Failure(_line(sentence), f"See strongroom explain {code}.", code)
    return Failure(_line(_first(text)))


def _first(text: str) -> str:
    _, nested, trace = text.rpartition(_NESTED)
    raised = _RAISED.findall(trace) if nested else []
    causes = _CAUSE.findall(text)
    if raised:
        return str(raised[0])
    lines = [line for line in text.splitlines() if line.strip()]
    return str(causes[-1]) if causes else (lines[0] if lines else "it failed")


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_SENTENCE_CHARS]
