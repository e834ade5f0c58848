"""Print what a verifier will see of an enclave: mr_enclave, mr_signer, isv_prod_id, isv_svn.

Give the signed identity (X.sig), whose signature is checked; or the expanded manifest (X.manifest.sgx), from which the
measurement is computed with the libpal.so of the target's Gramine; or both, and they have to agree. The signer is known
from the .sig alone. Feed --json to strongroom policy trust --measurement, or take the rule from --rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.cli.file_common import notice
from strongroom.cli.frame import Misuse
from strongroom.errors import BadInput, Refused

if TYPE_CHECKING:
    from strongroom.gramine.measure import Measurement
    from strongroom.gramine.sigstruct import Sigstruct

LIBPAL: Final = "libpal.so"
INSTALLED: Final = tuple(
    Path(root, "gramine", "sgx", LIBPAL)
    for root in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib/x86_64-linux-gnu",
                 "/usr/local/lib64", "/usr/local/lib")
)  # fmt: skip


class LibpalMissing(BadInput):
    """A manifest cannot be measured without the libpal.so that will be loaded with it."""

    code = "SR-LIBPAL"
    fix = "Give --libpal PATH: the libpal.so of the Gramine that runs the enclave, kept beside the release."


class DebugBuild(Refused):
    """A rule is asked for an enclave that the host may start in debug mode, and read."""

    code = "SR-MEASURE-DEBUG"
    fix = "Build with sgx.debug = false; for development, --allow-debug writes the rule all the same."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the files say together; the signer and the day are None where no .sig was given."""

    mr_enclave: bytes
    mr_signer: bytes | None
    isv_prod_id: int
    isv_svn: int
    debug: bool
    signed: Sigstruct | None
    layout: str | None

    @property
    def signed_on(self) -> str | None:
        """The day of the signature, as 2024-12-31."""
        return self.signed.date.isoformat() if self.signed else None

    def to_json_object(self) -> dict[str, object]:
        """Return what `policy trust --measurement` reads, and where it comes from."""
        return {
            "mr_enclave": self.mr_enclave.hex(),
            "mr_signer": self.mr_signer.hex() if self.mr_signer else None,
            "isv_prod_id": self.isv_prod_id,
            "isv_svn": self.isv_svn,
            "debug": self.debug,
            "date": self.signed_on,
            "layout": self.layout,
        }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", metavar="X.sig|MANIFEST", nargs="+", type=Path, help="X.sig, X.manifest.sgx, or both")
    parser.add_argument(
        "--libpal", metavar="PATH", type=Path,
        help="the target's libpal.so (default: the one beside the manifest, else the installed Gramine's)",
    )  # fmt: skip
    parser.add_argument("--signer", metavar="PUBLIC.pem", type=Path, help="who will sign, where there is no .sig yet")
    parser.add_argument("--gramine", metavar="RELEASE", default="1.9", help="release that runs it (default: 1.9)")
    parser.add_argument("--rule", action="store_true", help="print the rule for policy.toml instead of the values")
    parser.add_argument(
        "--release", metavar="NAME", default="secret/default",
        help="what the rule releases: model/NAME/VERSION or secret/NAME (default: secret/default)",
    )  # fmt: skip
    parser.add_argument("--by-signer", action="store_true", help="rule: trust the signer, product and least SVN")
    parser.add_argument("--allow-debug", action="store_true", help="rule: admit a debug build, which keeps no secret")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure, compare and print."""
    found = _found(args)
    if found.debug:
        notice("this is a debug build, or one that the host may start so: its memory can be read")
    result = found.to_json_object()
    if args.rule:
        result["rule"] = _rule(found, args)
    if args.json:
        sys.stdout.write(json.dumps(result) + "\n")
    elif args.rule:
        sys.stdout.write(str(result["rule"]))
    else:
        names = ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn")
        sys.stdout.writelines(f"{name}: {result[name]}\n" for name in names if result[name] is not None)
    return 0


def _found(args: argparse.Namespace) -> Found:
    from strongroom.gramine import elf, measure, sigstruct, versions
    from strongroom.pki import disk

    signed: Sigstruct | None = None
    measured: Measurement | None = None
    version = versions.parse(args.gramine)
    for path in args.files:
        data = disk.read_bounded(path, limit=measure.MAX_EXPANDED_BYTES)
        if path.suffix == ".sig" or data.startswith(sigstruct.HEADER):
            _once(signed, ".sig files")
            signed = sigstruct.parse(data)
            signed.check()
        else:
            _once(measured, "manifests")
            libpal = _libpal_place(args.libpal, path)
            if libpal is None:
                measure.read_expanded(data)  # what is wrong with the manifest is the better news
                raise LibpalMissing(f"there is no {args.libpal or 'libpal.so beside the manifest, nor in Gramine'}")
            measured = measure.measure(data, disk.read_bounded(libpal, limit=elf.MAX_ELF_BYTES), version=version)
    if signed is not None and measured is not None:
        measure.compare(measured, signed)
    if measured is not None:
        _tell_layout(measured, signed)
    source = signed or measured
    if source is None:
        raise Misuse("no file is given")
    if signed is not None:
        notice(f"signed on {signed.date.isoformat()}")
    return Found(
        mr_enclave=source.mr_enclave, isv_prod_id=source.isv_prod_id, isv_svn=source.isv_svn,
        mr_signer=_signer(signed, args.signer),
        debug=signed.permits_debug if signed else source.debug,
        signed=signed,
        layout=str(measured.version) if measured else None,
    )  # fmt: skip


def _signer(signed: Sigstruct | None, key: Path | None) -> bytes | None:
    """Return mr_signer, from the signed identity or from the public key of who is going to sign."""
    from strongroom.gramine import sigstruct
    from strongroom.pki import disk

    expected = sigstruct.mr_signer_of(disk.read_bounded(key, limit=64 * 1024)) if key else None
    if signed is None:
        if expected is None:
            notice("a manifest does not say who signs it: give X.sig too, or --signer, for mr_signer")
        return expected
    if expected not in (None, signed.mr_signer):
        raise sigstruct.SigstructForged(f"the .sig file is signed by another key than {key}")
    return signed.mr_signer


def _tell_layout(measured: Measurement, signed: Sigstruct | None) -> None:
    from strongroom.gramine import versions

    notice(f"measured with the layout of Gramine {measured.version}")
    if measured.version not in versions.MEASURED and signed is None:
        notice(f"the layout of {measured.version} was read, not run: compare it with a .sig of that release once")


def _once(before: object, what: str) -> None:
    if before is not None:
        raise Misuse(f"two {what} are given", fix="Give one .sig file, one expanded manifest, or one of each.")


def _libpal_place(given: Path | None, manifest: Path) -> Path | None:
    """Return the libpal.so to measure with; None where there is none."""
    if given is not None:
        return given if given.is_file() else None
    path = next((place for place in (manifest.with_name(LIBPAL), *INSTALLED) if place.is_file()), None)
    if path is not None:
        notice(f"using {path}")
    return path


def _rule(found: Found, args: argparse.Namespace) -> str:
    """Return the table for policy.toml."""
    from strongroom.broker import SignatureCheck
    from strongroom.broker.policy import text as policy_text
    from strongroom.broker.policy.measurement_file import kss_of

    if found.debug and not args.allow_debug:
        raise DebugBuild("this build can be started in debug mode, so a rule for it would keep no secret")
    if args.by_signer and found.mr_signer is None:
        raise Misuse("--by-signer needs the .sig file", fix="Give X.sig: a manifest does not say who signs it.")
    signer = SignatureCheck(mrsigner=found.mr_signer, isvprodid=found.isv_prod_id, min_isvsvn=found.isv_svn)
    rule = policy_text.strict_rule(
        f"{args.release}, {(found.mr_signer or b'' if args.by_signer else found.mr_enclave).hex()[:8]}",
        release=args.release,
        mrenclave=None if args.by_signer else found.mr_enclave,
        signature=signer if args.by_signer else SignatureCheck(),
        kss=kss_of(found.signed) if found.signed else None,
    )
    if found.debug:
        rule = replace(rule, policy=replace(rule.policy, allow_debug=True))
    comments = [f"signed on {found.signed_on}"] if found.signed_on else []
    return policy_text.render(rule, comments=comments)
