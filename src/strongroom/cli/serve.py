"""Serve a model over TensorFlow Serving's gRPC and REST, with TLS.

The flags are TensorFlow Serving's, then ours; `--flag=value` and `--flag value` both work. With --broker the program
proves what it is, gets the version's key, and serves the sealed bundle from memory. Servers listen on 127.0.0.1 unless
--bind says otherwise, and never without TLS unless --insecure says so.

Exit status: 0 stopped, 1 misuse, 2 bad input, 3 the key was refused or something was tampered with, 4 the broker was
not reached or no version could be loaded.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping

from strongroom.serving.flag_table import FLAGS, STRONGROOM, TENSORFLOW_SERVING, Effect, Flag, Value
from strongroom.serving.flags import options_of, with_environment, without_effect


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the server's flags, in three groups."""
    works = [flag for flag in TENSORFLOW_SERVING if flag.effect is Effect.WORKS]
    others = [flag for flag in TENSORFLOW_SERVING if flag.effect is not Effect.WORKS]
    for title, flags in (
        ("TensorFlow Serving's flags", works),
        ("Strongroom's flags", STRONGROOM),
        ("TensorFlow Serving's flags without effect, or with their off value only", others),
    ):
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)


def _add(group: argparse._ArgumentGroup, flag: Flag) -> None:
    about = flag.about.replace("%", "%%")
    if flag.effect is Effect.OFF_ONLY:
        about = f"not offered: {about}"
    if flag.effect is Effect.NO_EFFECT:
        about = f"no effect: {about}"
    is_switch = isinstance(flag.default, bool)
    unset = flag.default == "" or flag.default is False
    shown = f" (default {str(flag.default).lower()})" if flag.effect is Effect.WORKS and not unset else ""
    group.add_argument(
        f"--{flag.name}",
        type=flag.parse,
        nargs="?" if is_switch else None,
        const=True if is_switch else None,
        default=None,
        metavar="true|false" if is_switch else type(flag.default).__name__.upper(),
        help=about + shown,
    )


def given_flags(args: argparse.Namespace) -> dict[str, Value]:
    """Return the flags that the command line named."""
    return {name: value for name, value in vars(args).items() if name in FLAGS and value is not None}


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    return serve_flags(given_flags(args), os.environ)


def serve_flags(given: Mapping[str, Value], environ: Mapping[str, str]) -> int:
    """Check the flags, start the log, serve."""
    given = with_environment(given, environ)
    options = options_of(given)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s] %(message)s", force=True
    )
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its core would log every refused handshake
    for sentence in without_effect(given):
        logging.getLogger("strongroom.serving").info("%s", sentence)
    from strongroom.serving.server import serve

    return serve(options)
