"""Make TOML of a Jinja template, as far as its text allows, without running any of it.

Pure. An expression becomes a token that compares equal to the same expression elsewhere, so that a mount and a trusted
file with the same `{{ … }}` still match; tags and comments vanish. Of an `if`, either the first branch stays or the
last: a manifest is judged twice. What an expression stands for is left open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.gramine.manifest import ManifestMalformed

OPEN: Final = "\ue000"  # private use: no manifest has it
CLOSE: Final = "\ue001"

_TOKEN: Final = re.compile(f"{OPEN}([0-9]+){CLOSE}")
_PIECES: Final = re.compile(
    r"""(?P<quote>\"{3}|'{3}|["'])|(?P<escape>\\.|\\\Z)|(?P<comment>\#)|(?P<newline>\n)|(?P<text>[^{"'\\\#\n]++|.)""",
    re.DOTALL,
)
_ENDS: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_KINDS: Final = {"{{": "expression", "{%": "tag", "{#": "note"}
MAX_BRANCH_DEPTH: Final = 64
_WORD: Final = re.compile(r"\{%[-+]?\s*(\w+)")


@dataclass(frozen=True, slots=True)
class Plain:
    """TOML text with as many lines as the template, and the expressions that its tokens stand for."""

    text: str
    expressions: tuple[str, ...]
    has_branches: bool

    def shown(self, value: object) -> str:
        """Return a value as the template has it, on one line and short."""
        text = _TOKEN.sub(lambda token: self.expressions[int(token[1])], str(value))
        return ascii(text[:120])[1:-1]


def is_open(value: object) -> bool:
    """Whether a value holds an expression whose result is not known."""
    return isinstance(value, str) and OPEN in value


def is_template(text: str) -> bool:
    """Whether `text` has Jinja's braces outside of what TOML could mean by them."""
    return any(kind in _KINDS.values() for kind, _ in _pieces(text))


def plain(text: str, *, last_branch: bool = False) -> Plain:
    """Return the template `text` with its Jinja resolved as far as can be without running it.

    Raises ManifestMalformed for conditions nested too deeply.
    """
    return _Resolver(last_branch).resolve(text.replace(OPEN, "?").replace(CLOSE, "?"))


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each piece; an opening brace counts only where its closing one follows."""
    last = {start: text.rfind(end) for start, end in _ENDS.items()}
    at = 0
    while at < len(text):
        start = text[at : at + 2]
        if at + 2 <= last.get(start, -1):
            end = text.index(_ENDS[start], at + 2) + 2
            yield _KINDS[start], text[at:end]
            at = end
        elif piece := _PIECES.match(text, at):
            yield str(piece.lastgroup), piece[0]
            at = piece.end()


class _Resolver:
    """Walks a template once, front to back, and knows whether it is inside of a string, a comment, a dead branch."""

    def __init__(self, last_branch: bool) -> None:
        self._last_branch = last_branch
        self._out: list[str] = []
        self._numbers: dict[str, int] = {}
        self._quote = ""  # the quote that ends the string we are in; "#" in a comment
        self._branches: list[int] = []  # where each open if's branch starts in `_out`; -1: its branch is chosen
        self._seen_branch = False

    def resolve(self, text: str) -> Plain:
        """Return the result for the whole text."""
        for kind, found in _pieces(text):
            if kind == "expression":
                self._expression(found)
            elif kind in {"tag", "note"}:
                self._tag(found)
                self._keep("\n" * found.count("\n"))
            else:
                self._plain(kind, found)
        return Plain("".join(self._out), tuple(self._numbers), self._seen_branch)

    @property
    def _dead(self) -> bool:
        return -1 in self._branches

    def _keep(self, text: str) -> None:
        self._out.append(text if not self._dead else "\n" * text.count("\n"))

    def _expression(self, found: str) -> None:
        normal = "{{ " + " ".join(found[2:-2].strip("-+ \t\r\n").split()) + " }}"
        number = self._numbers.setdefault(normal, len(self._numbers))
        token = f"{OPEN}{number}{CLOSE}"
        self._keep(token if self._quote else f'"{token}"')
        if not self._quote or len(self._quote) == 3:
            self._keep("\n" * found.count("\n"))

    def _tag(self, found: str) -> None:
        word = _WORD.match(found)
        name = word[1] if word else ""
        if name == "if":
            if len(self._branches) == MAX_BRANCH_DEPTH:
                raise ManifestMalformed(f"the template nests more than {MAX_BRANCH_DEPTH} conditions")
            self._branches.append(len(self._out))
        elif name == "endif" and self._branches:
            self._branches.pop()
        elif name in {"else", "elif"} and self._branches:
            self._seen_branch = True
            start = self._branches[-1]
            if not self._last_branch:
                self._branches[-1] = -1
            elif start >= 0:
                self._out[start:] = ["\n" * sum(part.count("\n") for part in self._out[start:])]
                self._branches[-1] = len(self._out)

    def _plain(self, kind: str, found: str) -> None:
        if not self._dead:
            self._follow(kind, found)
        self._keep(found)

    def _follow(self, kind: str, found: str) -> None:
        """Keep track of strings and comments, by TOML's rules."""
        if not self._quote:
            if kind in {"quote", "comment"}:
                self._quote = found
        elif (kind == "newline" and len(self._quote) == 1) or (kind == "quote" and found == self._quote):
            self._quote = ""
