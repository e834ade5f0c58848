"""Find what weakens a Gramine manifest, before it is signed and its measurement is trusted.

Reads X.manifest.template as far as its text goes, X.manifest, and X.manifest.sgx. Each finding names its rule (see
docs/measurements.md), its line, why, and what to do. --sig checks the signed identity beside it; --wrap-key reads the
stored paths of the sealed files that encrypted mounts lead to.

Status 0: no error, though perhaps warnings. Status 2: at least one error. With --production warnings count as errors
and a template is refused, since only what is signed can be judged; --accept drops a rule by name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.cli.file_common import notice
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.gramine.lint import Finding
    from strongroom.gramine.lint.subject import Mount
    from strongroom.secret import Secret

MAX_SEALED_FILES: Final = 10_000  # of one mount, whose paths are compared


class ManifestHasErrors(BadInput):
    """A manifest breaks rules that keep it from production; the findings are printed."""

    code = "SR-MANIFEST-LINT"
    fix = "Do what the findings say; --accept RULE drops a rule that you have thought about."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="template, manifest or expanded manifest")
    parser.add_argument("--gramine", metavar="RELEASE", default="1.9", help="release that runs it (default: 1.9)")
    parser.add_argument("--production", action="store_true", help="warnings count, and templates are refused")
    parser.add_argument("--accept", metavar="RULE", action="append", default=[], type=_rule_id,
                        help="drop the findings of one rule, as M13 (repeatable)")  # fmt: skip
    parser.add_argument("--sig", metavar="X.sig", type=Path, help="the signed identity: checked, and not for debugging")
    parser.add_argument("--model", metavar="PATH", type=Path, help="model file or folder, to compare with the memory")
    parser.add_argument("--wrap-key", metavar="NAME=KEYFILE", action="append", default=[], type=_named_key,
                        help="read the stored paths on the mounts of this key (repeatable)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Lint and print; raise ManifestHasErrors if there is an error."""
    from strongroom.gramine import lint

    text = _read(args.manifest)
    template = lint.is_template(text)
    if template and args.production:
        from strongroom.gramine.measure import ManifestNotExpanded

        raise ManifestNotExpanded("this is a template; what its expressions become cannot be judged")
    found = [each for each in _findings(text, args) if each.rule.id not in args.accept]
    if args.production:
        found = [each.as_error() for each in found]
    errors = sum(each.is_error for each in found)
    if args.json:
        result = {"manifest": str(args.manifest), "gramine": args.gramine, "template": template, "errors": errors,
                  "warnings": len(found) - errors, "findings": [each.to_json_object() for each in found],
                  "accepted": sorted(set(args.accept))}  # fmt: skip
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.writelines(_sentence(args.manifest, each) for each in found)
        sys.stdout.write(f"{args.manifest}: {_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}\n")
    if template:
        notice("this is a template: lint the X.manifest.sgx too, which is what will be measured")
    if errors:
        raise ManifestHasErrors(f"{args.manifest} has {_count(errors, 'error')}")
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _findings(text: str, args: argparse.Namespace) -> list[Finding]:
    from strongroom.gramine import lint, versions

    size = _size(args.model) if args.model else None
    found = list(lint.lint(text, version=versions.parse(args.gramine), model_bytes=size))
    if args.sig:
        found += _signed(args.sig)
    return [*found, *_stored_paths(text, dict(args.wrap_key), args.manifest.parent)] if args.wrap_key else found


def _signed(path: Path) -> Iterator[Finding]:
    """Yield a finding if the signed identity lets the host debug the enclave (threat ID-15)."""
    from strongroom.gramine import sigstruct
    from strongroom.gramine.lint import Finding
    from strongroom.gramine.lint.identity import M02
    from strongroom.pki import disk

    signed = sigstruct.parse(disk.read_bounded(path, limit=sigstruct.SIGSTRUCT_BYTES))
    signed.check()
    if signed.permits_debug:
        yield Finding(rule=M02, place=str(path), line=None, why="signed so that the host may start it for debugging",
                      fix="Set sgx.debug = false and sign again.")  # fmt: skip


def _stored_paths(text: str, keys: dict[str, Secret], folder: Path) -> Iterator[Finding]:
    """Yield a finding for each sealed file whose stored path is not the one that its mount gives it."""
    from strongroom.gramine import lint

    subject = lint.subject_of(text)
    for mount in subject.encrypted():
        key = keys.get(mount.key_name)
        if key is None:
            continue
        for path in _sealed_files(folder / mount.host):
            wanted = (Path(mount.host) / path.relative_to(folder / mount.host)).as_posix()
            why = _path_trouble(path, wanted, key)
            if why:
                yield subject.finding(lint.M16, _uri_place(mount), why, "Run strongroom file rename on it.")


def _uri_place(mount: Mount) -> tuple[str | int, ...]:
    return (*mount.place, "uri")


def _path_trouble(path: Path, wanted: str, key: Secret) -> str | None:
    """Return what is wrong with a sealed file's stored path, or that it cannot be read."""
    from strongroom import sealing
    from strongroom.cli.file_common import shown
    from strongroom.errors import StrongroomError

    try:
        with sealing.open(path, key, stored_path=None, weak_key=True) as reader:
            stored = reader.stored_path
    except StrongroomError as error:
        return f"{path}: {error.sentence} [{error.code}]"
    return None if stored == wanted else f"{path} is bound to {shown(stored)}; its mount makes it {shown(wanted)}"


def _sealed_files(place: Path) -> list[Path]:
    from itertools import islice

    found = [place] if place.is_file() else sorted(each for each in islice(place.rglob("*"), MAX_SEALED_FILES)
                                                   if each.is_file() and not each.is_symlink())  # fmt: skip
    if not found:
        notice(f"there are no files in {place}, so no stored path is compared")
    return found


def _size(model: Path) -> int:
    if model.is_file():
        return model.stat().st_size
    return sum(each.stat().st_size for each in model.rglob("*") if each.is_file())


def _read(path: Path) -> str:
    from strongroom.gramine.manifest import ManifestMalformed
    from strongroom.gramine.measure import MAX_EXPANDED_BYTES
    from strongroom.pki import disk

    try:
        return disk.read_bounded(path, limit=MAX_EXPANDED_BYTES).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ManifestMalformed(f"{path} is not UTF-8 at byte {problem.start}") from None


def _sentence(path: Path, finding: Finding) -> str:
    place = f"{path}:{finding.line}" if finding.line else str(path)
    head = f"{place}: {finding.rule.level} {finding.rule.id} {finding.place}"
    return f"{head}: {finding.why}\n  what to do: {finding.fix}\n"


def _rule_id(text: str) -> str:
    from strongroom.gramine.lint import RULES

    if text not in {rule.id for rule in RULES}:
        raise argparse.ArgumentTypeError(f"there is no rule {text!r}")
    return text


def _named_key(text: str) -> tuple[str, Secret]:
    from strongroom import sealing

    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError("write NAME=KEYFILE, as default=wrap_key")
    return name, sealing.read_wrap_key(path)
