"""Check the whole ledger: chain, end, signed roots; or a copy of it, or a proof about one line.

Whoever holds the broker's store and root key can rewrite history up to what somebody else remembers: keep a checkpoint
elsewhere (strongroom ledger witness) and give it with --checkpoint later. An outsider checks a proof with
--proof FILE --key PUBLIC, and needs nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.ledger_place import Place, key_argument, open_place, place_arguments, read_keys, read_seen
from strongroom.cli.passphrase import passphrase_argument, with_passphrase

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from strongroom.broker.ledger.audit import Verified
    from strongroom.broker.ledger.chain import Head
    from strongroom.broker.ledger.checkpoint import SignedCheckpoint
    from strongroom.broker.store import Store
    from strongroom.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    place_arguments(parser)
    passphrase_argument(parser)
    key_argument(parser, about="the ledger's public key (default: the key in the workspace's store)")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", action="append", default=[],
        help="a checkpoint seen earlier, which the ledger has to contain",
    )  # fmt: skip
    parser.add_argument("--other", type=Path, metavar="FILE", help="a second copy: say where the copies part")
    parser.add_argument("--proof", type=Path, metavar="FILE", help="check this proof about one line, offline")
    parser.add_argument("--head", metavar="SEQ:HASH", help="a head printed earlier, which the ledger has to contain")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Return 0 if everything holds. Raises the fault of the first thing that does not."""
    if args.proof is not None:
        return _run_proof(args)
    from strongroom.broker.ledger.chain import Head

    remembered = Head.from_text(remembered_text(args.head)) if args.head else None
    keys, seen = read_keys(args), read_seen(args.checkpoint)
    _check_signed(seen, keys, args.checkpoint)
    with open_place(args) as place:
        found = _verify(args, place, keys, seen, remembered)
        shared = _compare(place, args.other, keys) if args.other else None
    if args.json:
        sys.stdout.write(json.dumps(_as_object(place, found, shared)) + "\n")
    else:
        _print(place, found, shared)
        if place.head_file is not None and not place.head_file.exists() and not args.key:
            sys.stderr.write(f"note: {place.head_file} is not there, so whether this is the newest copy of the store "
                             "cannot be told: compare with a witness's checkpoint (--checkpoint)\n")  # fmt: skip
    return 0


def _verify(
    args: argparse.Namespace, place: Place, keys: list[Ed25519PublicKey], seen: list[SignedCheckpoint],
    remembered: Head | None,
) -> Verified:  # fmt: skip
    from strongroom.broker.ledger import file
    from strongroom.broker.ledger.reading import verify_store

    points = [each.checkpoint for each in seen]
    if place.store is None or place.owner is None:
        return file.verify(place.file, remembered=remembered, keys=keys, checkpoints=points)
    signer = None
    if not keys:
        signer = _signer(args, place.owner, place.store)
        beside = [path for path in [place.head_file] if path is not None and path.exists()]
        seen = seen + read_seen(beside)
        _check_signed(seen, [signer.public_key()], [*args.checkpoint, *beside])
        points = [each.checkpoint for each in seen]
    heads = [remembered] if remembered else []
    return verify_store(place.store, signer=signer, keys=keys, checkpoints=points, remembered=heads)


def _signer(args: argparse.Namespace, owner: Workspace, store: Store) -> Ed25519PrivateKey:
    from strongroom.broker.keyring.opening import open_keyring

    keyring = with_passphrase(args, lambda given: open_keyring(owner, passphrase=given, store=store))
    try:
        return keyring.signing_key()
    finally:
        keyring.close()


def _check_signed(seen: list[SignedCheckpoint], keys: list[Ed25519PublicKey], paths: list[Path]) -> None:
    from strongroom.broker.ledger.faults import CheckpointBad

    for each, path in zip(seen, paths, strict=True):
        if keys and not any(each.is_signed_by(key) for key in keys):
            raise CheckpointBad(f"the checkpoint in {path} is not signed by this ledger's key")


def _compare(place: Place, other: Path, keys: list[Ed25519PublicKey]) -> int:
    from strongroom.broker.ledger import file
    from strongroom.broker.ledger.audit import audit, check_same

    shared = check_same((line for _, line in place.lines()), file.lines(other))
    audit(file.lines(other), keys=keys)
    return shared


def _as_object(place: Place, found: Verified, shared: int | None) -> dict[str, object]:
    return {
        "ledger": place.name,
        "lines": found.size,
        "head": f"{found.head.seq}:{found.head.digest}",
        "root": found.root.hex(),
        "signed_roots": found.roots,
        "signatures_checked": found.checked,
        "last_signed": found.last and found.last.to_text(),
        "shared_lines": shared,
    }


def _print(place: Place, found: Verified, shared: int | None) -> None:
    sys.stdout.write(f"{place.name}: {found.size} lines, whole\nhead {found.head.seq}:{found.head.digest}\n")
    sys.stdout.write(f"root {found.root.hex()}\n")
    if found.last is not None:
        held = "their signatures hold" if found.checked else "signatures NOT checked, give --key"
        sys.stdout.write(f"signed roots: {found.roots}, {held}; the last over {found.last.checkpoint}\n")
    if shared is not None:
        sys.stdout.write(f"the other copy shares {shared} lines; neither contradicts the other\n")


def _run_proof(args: argparse.Namespace) -> int:
    from strongroom.broker.ledger.proofs import MAX_PROOF_BYTES, LedgerProof, verify_proof
    from strongroom.cli.frame import Misuse
    from strongroom.cli.ledger_show import lines_of
    from strongroom.pki import disk

    if not args.key or len(args.checkpoint) > 1:
        raise Misuse("a proof is checked with --key, and with at most one --checkpoint", fix="Give the public key.")
    proof = LedgerProof.from_json(disk.read_bounded(args.proof, limit=MAX_PROOF_BYTES))
    seen = read_seen(args.checkpoint)
    keys = read_keys(args)
    _check_signed(seen, keys, args.checkpoint)
    entry = verify_proof(proof, keys, seen=seen[0] if seen else None)
    if args.json:
        sys.stdout.write(json.dumps({"entry": entry, "checkpoint": proof.checkpoint.to_text()}) + "\n")
        return 0
    sys.stdout.write(f"line {proof.seq} is in the ledger of {proof.checkpoint.checkpoint}\n")
    sys.stdout.write("\n".join(lines_of(entry)) + "\n")
    return 0


def remembered_text(text: str) -> str:
    """Return a head in the form of the head file. Raises Misuse."""
    from strongroom.cli.frame import Misuse

    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) <= 20 and len(digest) == 64):
        raise Misuse(f"{text[:100]!r} is not a head", fix="Give what strongroom ledger verify printed, SEQ:HASH.")
    return f"{number:0>20} {digest.lower()}\n"
