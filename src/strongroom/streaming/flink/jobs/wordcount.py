"""Count the words of a text, as a PyFlink batch job; the text is Hamlet's soliloquy, or a file: `--input FILE`.

Runs inside Flink. Prints `(word,count)` in the order of the alphabet, one per line. Words are runs of ASCII letters and
digits, in lower case.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

WORD: Final = re.compile(r"[a-z0-9]+", re.ASCII)


def words_of(line: str) -> Iterator[tuple[str, int]]:
    """Yield each word of a line, once for each time it stands there."""
    for word in WORD.findall(line.lower()):
        yield word, 1


def main(arguments: list[str]) -> None:
    """Run the job on the cluster that it was submitted to, and print what it counted."""
    from pyflink.common import Types
    from pyflink.datastream import RuntimeExecutionMode, StreamExecutionEnvironment

    parser = argparse.ArgumentParser(description="Count the words of a text with Flink.")
    parser.add_argument("--input", type=Path, default=Path(__file__).with_name("hamlet.txt"))
    text = parser.parse_args(arguments).input.read_text(encoding="utf-8")
    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.set_runtime_mode(RuntimeExecutionMode.BATCH)
    counted = (
        environment.from_collection(text.splitlines(), Types.STRING())
        .flat_map(words_of, Types.TUPLE([Types.STRING(), Types.LONG()]))
        .key_by(lambda each: each[0], Types.STRING())
        .reduce(lambda left, right: (left[0], left[1] + right[1]))
    )
    with counted.execute_and_collect("WordCount") as found:
        for word, count in sorted((each[0], each[1]) for each in found):
            sys.stdout.write(f"({word},{count})\n")


if __name__ == "__main__":
    main(sys.argv[1:])
