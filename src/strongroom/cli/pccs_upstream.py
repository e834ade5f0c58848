"""What `pccs serve` and `pccs fill` share: which servers a mirror stands before, and where it keeps their answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.frame import Misuse

if TYPE_CHECKING:
    from strongroom.attestation import Anchor
    from strongroom.collateral import pccs

_MAX_ROOT_BYTES = 64 * 1024


def upstream_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a mirror."""
    mirror = parser.add_argument_group("mirror of other servers")
    mirror.add_argument("--upstream", metavar="SOURCE", action="append", default=[],
                        help="ask here what is not kept yet: intel-pcs, azure-cache, or a PCCS's address")  # fmt: skip
    mirror.add_argument("--cache", metavar="DIR", type=Path, help="where verified answers are kept")
    mirror.add_argument("--root", metavar="FILE", type=Path,
                        help="root certificate that all of it chains to (default: Intel's key)")  # fmt: skip
    mirror.add_argument("--ca-file", metavar="FILE", type=Path, help="CA of the upstream PCCS's TLS certificate, PEM")
    mirror.add_argument("--subscription-key-file", metavar="FILE", type=Path,
                        help="key for PCK certificates from Intel, in a file of mode 0600")  # fmt: skip


def open_mirror(args: argparse.Namespace, mode: pccs.Mode) -> pccs.Mirror | None:
    """Return the mirror that the arguments name; None where they name none."""
    from strongroom.collateral import pccs
    from strongroom.collateral.cache import Cache
    from strongroom.collateral.client import HttpSource, read_subscription_key
    from strongroom.collateral.profiles import INTEL_BASE, find

    if args.cache is None:
        if args.upstream:
            raise Misuse("--upstream needs --cache", fix="Name the folder to keep answers in with --cache DIR.")
        return None
    key = read_subscription_key(args.subscription_key_file) if args.subscription_key_file else None
    profiles = [find(name) for name in args.upstream]
    sources = [
        HttpSource(each, ca_file=args.ca_file, subscription_key=key if each.base == INTEL_BASE else None)
        for each in profiles
    ]
    return pccs.Mirror(sources, Cache(args.cache), anchor=anchor_of(args), mode=mode)


def anchor_of(args: argparse.Namespace) -> Anchor:
    """Return the root that mirrored and uploaded collateral must chain to."""
    from strongroom.attestation import INTEL, Anchor
    from strongroom.pki.disk import read_bounded

    if args.root is None:
        return INTEL
    return Anchor.from_certificate(read_bounded(args.root, limit=_MAX_ROOT_BYTES))
