"""The command line: one verb a file; parse, call one function below, print.

Law of this room: nothing imports it. A verb module has `arguments(parser)` and `run(args) -> int`; `contents` lists
the verbs, so that `strongroom --help` reads like a table of contents and loads nothing else.
"""

from strongroom.cli.frame import main

__all__ = ["main"]
