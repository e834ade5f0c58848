"""Write what the learning examples learn from: real data where they were fetched, or else named stand-ins.

World: reads the folder of fetched data, writes plain files, on the machine of whoever owns them: sealing comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from strongroom.analytics.learning import mails, pictures, tables

DEFAULT_ROWS: Final = 5_000


def write_pictures(out: Path, *, fetched: Path | None, size: int | None, seed: int) -> str:
    """Write OUT/train and OUT/test with pictures of digits; return where they come from."""
    real = fetched is not None and pictures.has_mnist(fetched)
    for part in pictures.PARTS:
        found = pictures.mnist(fetched, part) if fetched is not None and real else pictures.digits(part, seed=seed)
        chosen = found.taken(size) if part == "train" else found
        pictures.write_parquet(out / part, chosen)
    return found.source


def write_mails(out: Path, *, fetched: Path | None, size: int | None, seed: int) -> str:
    """Write OUT/part-0.parquet with mails, half of them spam; return where they come from."""
    if fetched is not None and mails.has_corpus(fetched):
        found, source = mails.corpus(fetched), "SpamAssassin's public corpus"
    else:
        found, source = mails.generated(size or DEFAULT_ROWS, seed=seed), mails.STAND_IN
    mails.write_parquet(out, mails.balanced(found, size=size, seed=seed))
    return source


def write_houses(out: Path, *, fetched: Path | None, size: int | None, seed: int) -> str:
    """Write OUT/houses.csv; return where it comes from. Nothing is fetched for it."""
    return _csv(out / "houses.csv", tables.to_csv(tables.housing(size or DEFAULT_ROWS, seed=seed)), fetched)


def write_diabetes(out: Path, *, fetched: Path | None, size: int | None, seed: int) -> str:
    """Write OUT/diabetes.csv; return where it comes from. Nothing is fetched for it."""
    return _csv(out / "diabetes.csv", tables.to_csv(tables.diabetes(size or DEFAULT_ROWS, seed=seed)), fetched)


WRITERS: Final[dict[str, Callable[..., str]]] = {
    "pictures": write_pictures, "mails": write_mails, "houses": write_houses, "diabetes": write_diabetes,
}  # fmt: skip


def _csv(path: Path, text: str, _fetched: Path | None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
    return "generated numbers (a stand-in)"
