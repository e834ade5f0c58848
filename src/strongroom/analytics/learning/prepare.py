"""Write what the learning examples learn from: real data where they were fetched, or else named stand-ins.

    python -m strongroom.analytics.learning.prepare pictures|mails|houses|diabetes OUT [--fetched DIR] …

World: reads the folder of fetched data, writes plain files, on the machine of whoever owns them: sealing comes next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
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
    del fetched
    return _written(out / "houses.csv", tables.housing(size or DEFAULT_ROWS, seed=seed))


def write_diabetes(out: Path, *, fetched: Path | None, size: int | None, seed: int) -> str:
    """Write OUT/diabetes.csv; return where it comes from. Nothing is fetched for it."""
    del fetched
    return _written(out / "diabetes.csv", tables.diabetes(size or DEFAULT_ROWS, seed=seed))


WRITERS: Final[dict[str, Callable[..., str]]] = {
    "pictures": write_pictures, "mails": write_mails, "houses": write_houses, "diabetes": write_diabetes,
}  # fmt: skip


def _written(path: Path, columns: dict[str, tables.Numbers]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tables.to_csv(columns), encoding="ascii")
    return "generated numbers (a stand-in)"


def main(words: Sequence[str] | None = None) -> int:
    """Write one of them, and say where it comes from."""
    parser = argparse.ArgumentParser(description="Write what the learning examples learn from.")
    parser.add_argument("what", choices=sorted(WRITERS))
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--fetched", type=Path, metavar="DIR", help="MNIST's four files or SpamAssassin's mails")
    parser.add_argument("--size", type=int, metavar="N", help="so many rows")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args(words)
    source = WRITERS[args.what](args.out, fetched=args.fetched, size=args.size, seed=args.seed)
    sys.stdout.write(f"{args.out}: {args.what} from {source}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
