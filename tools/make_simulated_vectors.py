"""Make tests/vectors/simulated: quotes of a simulated world, with collateral, root and the verdict that they must get.

Run it again only when the formats change: every run draws new keys, and the keys are thrown away. What is expected is
written down here by case, not taken from Strongroom's verifier; `dcap-qvl` must agree before anything is written.

    .venv/bin/python tools/make_simulated_vectors.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import dcap_qvl

from strongroom.attestation import Collateral, TcbStatus
from strongroom.platforms.simulated import EnclaveIdentity, Hardware, Rehearsal, Revocation, World

CaKind: TypeAlias = Literal["platform", "processor"]
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "simulated"
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REPORT_DATA = bytes(range(64))
ADVISORIES = ("INTEL-SA-00615", "INTEL-SA-00657")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One vector: what is rehearsed or broken, and what a verifier must say; `peer_refuses`: dcap-qvl alone refuses."""

    name: str
    note: str
    rehearsal: Rehearsal = field(default_factory=Rehearsal)
    debug: bool = False
    ca: CaKind = "platform"
    flip: int | None = None
    other_root: bool = False
    status: str = "UpToDate"
    qe_status: str = "UpToDate"
    platform_status: str = "UpToDate"
    advisories: tuple[str, ...] = ()
    error: str | None = None
    peer_refuses: bool = False


CASES = (
    Case(name="up-to-date", note="a healthy platform"),
    Case(name="processor-ca", note="a PCK certificate of the processor CA", ca="processor"),
    Case(
        name="sw-hardening-needed", note="status with advisories", advisories=ADVISORIES,
        rehearsal=Rehearsal(status=TcbStatus.SW_HARDENING_NEEDED, advisories=ADVISORIES),
        status="SWHardeningNeeded", platform_status="SWHardeningNeeded",
    ),
    Case(
        name="out-of-date", note="the platform's level is out of date", advisories=ADVISORIES,
        rehearsal=Rehearsal(status=TcbStatus.OUT_OF_DATE, advisories=ADVISORIES),
        status="OutOfDate", platform_status="OutOfDate",
    ),
    Case(
        name="qe-out-of-date", note="an old quoting enclave on a healthy platform", advisories=ADVISORIES[:1],
        rehearsal=Rehearsal(qe_status=TcbStatus.OUT_OF_DATE, qe_advisories=ADVISORIES[:1]),
        status="OutOfDate", qe_status="OutOfDate",
    ),
    Case(
        name="revoked", note="a claim for us, an error for dcap-qvl", rehearsal=Rehearsal(status=TcbStatus.REVOKED),
        status="Revoked", platform_status="Revoked", peer_refuses=True,
    ),
    Case(name="debug", note="sound evidence of a debug enclave; dcap-qvl refuses it", debug=True, peer_refuses=True),
    Case(name="pck-revoked", note="the leaf is on the CA's list", error="PCK_REVOKED",
         rehearsal=Rehearsal(revoked=frozenset({Revocation.PCK}))),
    Case(name="tcb-signer-revoked", note="the TCB signer is on the root's list", error="TCB_SIGNING_REVOKED",
         rehearsal=Rehearsal(revoked=frozenset({Revocation.TCB_SIGNER}))),
    Case(name="collateral-expired", note="issued 31 days before", error="TCB_INFO_EXPIRED",
         rehearsal=Rehearsal(age=timedelta(days=31))),
    Case(name="report-data-flipped", note="one bit of the report data", flip=48 + 320, error="INVALID_QUOTE_SIGNATURE"),
    Case(name="other-root", note="judged under the root of another world", other_root=True, error="ROOT_UNTRUSTED"),
)  # fmt: skip


def main(folder: Path) -> None:
    """Write every case below `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        worlds = {
            ca: World.create(Path(scratch) / ca, now=AT, hardware=Hardware.draw(_drawn(ca), ca=ca))
            for ca in get_args(CaKind)
        }
        for case in CASES:
            write(folder / case.name, case, worlds[case.ca], worlds["processor"])
    sys.stdout.write(f"{len(CASES)} cases in {folder}\n")


def _drawn(ca: str) -> Callable[[int], bytes]:
    """Machines with readable identifiers: nothing about them is secret."""
    start = 1 if ca == "platform" else 0x81
    return lambda size: bytes(range(start, start + size))


def write(folder: Path, case: Case, world: World, other: World) -> None:
    """Write one case, after the other verifier has agreed with it."""
    identity = EnclaveIdentity(
        mr_enclave=bytes(range(32)), mr_signer=world.mr_signer, isv_prod_id=3, isv_svn=7, debug=case.debug
    )
    quote = bytearray(world.quote(identity, REPORT_DATA))
    if case.flip is not None:
        quote[case.flip] ^= 1
    collateral = world.collateral(AT, case.rehearsal)
    root = (other if case.other_root else world).root_der
    expected = expectation(case, world, identity)
    confirm(case, bytes(quote), collateral, root)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quote.bin").write_bytes(quote)
    (folder / "collateral.json").write_text(collateral.to_json() + "\n", encoding="utf-8")
    (folder / "root.der").write_bytes(root)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def expectation(case: Case, world: World, identity: EnclaveIdentity) -> dict[str, object]:
    """Return what a verifier must say, in the words of the specification."""
    head: dict[str, object] = {"note": case.note, "at": int(AT.timestamp())}
    if case.error is not None:
        return {**head, "verdict": "err", "error": case.error}
    return {
        **head,
        "verdict": "ok",
        "trust_domain": "simulated",
        "root_key_id": world.root_key_id,
        "status": case.status,
        "platform_status": case.platform_status,
        "qe_status": case.qe_status,
        "advisories": list(case.advisories),
        "fmspc": world.fmspc,
        "tcb_date": "2025-08-01T00:00:00Z",
        "tcb_eval": 17,
        "qe_eval": 17,
        "body": {
            "cpu_svn": world.hardware.cpu_svn.hex(),
            "attributes": ("07" if identity.debug else "05") + "00" * 7 + "e7" + "00" * 7,
            "mr_enclave": identity.mr_enclave.hex(),
            "mr_signer": identity.mr_signer.hex(),
            "isv_prod_id": identity.isv_prod_id,
            "isv_svn": identity.isv_svn,
            "report_data": REPORT_DATA.hex(),
            "quote_version": 3,
            "debug": identity.debug,
        },
    }


def confirm(case: Case, quote: bytes, collateral: Collateral, root: bytes) -> None:
    """Raise unless `dcap-qvl` says what the case expects of it."""
    parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
    refused = case.peer_refuses or case.error is not None
    try:
        report = dcap_qvl.verify_with_root_ca(quote, parsed, root, int(AT.timestamp()))
    except ValueError:
        if refused:
            return
        raise
    if refused or (report.status, tuple(report.advisory_ids)) != (case.status, case.advisories):
        raise SystemExit(f"{case.name}: dcap-qvl says {report.status} {report.advisory_ids}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
