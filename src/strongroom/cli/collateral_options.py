"""Options that the collateral verbs share: where to ask, under which root, by which rules, at which time."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from strongroom.attestation import INTEL, Anchor, Quote, Tee, parse_quote
from strongroom.attestation.quote import MAX_QUOTE_BYTES
from strongroom.cli.option_types import AT_HELP, moment
from strongroom.collateral import CollateralSettings
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.gather import Choice
from strongroom.collateral.settings import UPDATES, duration, parse
from strongroom.errors import StrongroomError
from strongroom.pki import disk
from strongroom.workspace import Workspace

DEFAULT_SOURCE = "intel-pcs"
_MAX_ROOT_BYTES = 64 * 1024


def source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options that say where to ask, what to accept, under which root and at which time."""
    where_arguments(parser)
    rules = parser.add_argument_group("what to accept")
    rules.add_argument("--max-age", type=_duration, metavar="TIME", help="accept nothing older, as in 7d (default: 7d)")
    rules.add_argument("--min-eval-num", type=_number, metavar="N", help="lowest evaluation number to accept")
    rules.add_argument("--root", type=Path, metavar="FILE", help="root certificate to pin (default: Intel's key)")
    rules.add_argument("--at", type=moment, metavar="TIME", help=AT_HELP)


def where_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options that say where to ask, and for which of Intel's releases."""
    where = parser.add_argument_group("where to ask")
    where.add_argument("--source", action="append", default=[], metavar="NAME",
                       help="intel-pcs, azure, azure-cache, azure-region:REGION, alibaba:REGION, tencent, bytedance,"
                       " a PCCS's URL, or a folder's path; several are asked in order (default: those of the workspace,"
                       f" else {DEFAULT_SOURCE})")  # fmt: skip
    where.add_argument("--qcnl", type=Path, metavar="FILE", help="ask what this sgx_default_qcnl.conf names")
    where.add_argument("--ca-file", type=Path, metavar="FILE", help="PEM: what a PCCS's certificate must chain to")
    where.add_argument("--subscription-key-file", type=Path, metavar="FILE",
                       help="Intel's key for PCK certificates; the file must be 0600")  # fmt: skip
    where.add_argument("--update", choices=UPDATES, help="which of Intel's releases (default: standard)")


def workspace_settings(folder: Path) -> tuple[CollateralSettings, Path] | None:
    """Return what the workspace says about live collateral, and where its paths start; None if it says nothing."""
    if not (folder / "strongroom.toml").is_file():
        return None
    table = Workspace.open(folder).settings.collateral
    return None if table is None else (parse(table), folder)


def settings_of(args: argparse.Namespace) -> tuple[CollateralSettings, Path]:
    """Return the settings that the options and the workspace make together, and where relative paths start."""
    found = workspace_settings(args.workspace)
    settings, base = found or (CollateralSettings(sources=(DEFAULT_SOURCE,)), Path())
    if args.source or args.qcnl:
        settings = replace(settings, sources=tuple(map(_absolute, args.source)), qcnl=_resolved(args.qcnl))
    if args.ca_file:
        settings = replace(settings, ca_file=_resolved(args.ca_file))
    if args.subscription_key_file:
        settings = replace(settings, subscription_key_file=_resolved(args.subscription_key_file))
    if args.update:
        settings = replace(settings, choice=Choice(update=args.update))
    return replace(settings, rules=_rules(args, settings.rules)), base


def _rules(args: argparse.Namespace, rules: Freshness) -> Freshness:
    if getattr(args, "max_age", None) is not None:
        rules = replace(rules, max_age=args.max_age)
    if getattr(args, "min_eval_num", None) is not None:
        rules = replace(rules, min_eval_num=args.min_eval_num)
    return rules


def _absolute(name: str) -> str:
    """Return a source's name, with a path made absolute; something that is there is a path, whatever it looks like."""
    from strongroom.collateral.opening import is_path

    if is_path(name) or ("://" not in name and Path(name).exists()):
        return str(Path(name).absolute())
    return name


def _resolved(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def anchors_of(args: argparse.Namespace) -> tuple[Anchor, ...]:
    """Return the roots to trust: the one named, or Intel's and those of the workspace."""
    if args.root is not None:
        return (Anchor.from_certificate(disk.read_bounded(args.root, limit=_MAX_ROOT_BYTES)),)
    folder = args.workspace / "trust" / "anchors"
    if not folder.is_dir():
        return (INTEL,)
    from strongroom.broker.setup import read_anchors

    return (INTEL, *read_anchors(folder))


def clock_of(args: argparse.Namespace) -> Callable[[], datetime]:
    """Return the clock to judge by."""
    fixed: datetime | None = args.at
    return (lambda: datetime.now(UTC)) if fixed is None else (lambda: fixed)


def read_quote(path: Path) -> Quote:
    """Read a quote from a file."""
    return parse_quote(disk.read_bounded(path, limit=MAX_QUOTE_BYTES + 1))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Let the sources say on stderr what they do."""
    room = logging.getLogger("strongroom.collateral")
    room.setLevel(level)
    room.handlers = [_StandardError()]


class _StandardError(logging.Handler):
    """Writes to what is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def fmspc(text: str) -> str:
    """Read a platform family: 12 hex digits."""
    if len(text) != 12 or not all(digit in "0123456789abcdefABCDEF" for digit in text):
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not 12 hex digits")
    return text.upper()


def tee(text: str) -> Tee:
    """Read the name of a kind of TEE."""
    try:
        return Tee(text.upper())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is neither sgx nor tdx") from None


def _duration(text: str) -> object:
    try:
        return duration(text)
    except StrongroomError as problem:
        raise argparse.ArgumentTypeError(problem.sentence) from None


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number")
    return int(text)
