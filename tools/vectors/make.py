"""Make tests/vectors/simulated_quotes: quotes of simulated worlds of versions 3 to 5, SGX and TDX, and their verdicts.

Run it again only when the formats change: every run draws new keys, and the keys are thrown away. `dcap-qvl` must say
what each case expects of it before anything is written. Equal files are stored once. The folder tests/vectors/simulated
beside it was made by release 0.1 and is kept as it is: what was issued then must get the same verdict for ever.

    .venv/bin/python tools/vectors/make.py [FOLDER]
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import dcap_qvl
from cases import AT, REPORT_DATA, TDX_4, Case, Kit, every_case

from strongroom.attestation import Collateral, Tee
from strongroom.platforms.simulated import Hardware, World

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "vectors" / "simulated_quotes"


class Shelf:
    """Writes each content once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[bytes, str] = {}

    def put(self, name: str, content: bytes) -> str:
        """Return the path below the folder under which `content` lies: `name`, unless it lies there already."""
        digest = hashlib.sha256(content).digest()
        if digest not in self._places:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self._places[digest] = name
        return self._places[digest]


class Maker:
    """Builds cases; equal parts are made once, so that they are equal files."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._quotes: dict[object, bytes] = {}
        self._collateral: dict[object, Collateral] = {}

    def world(self, case: Case) -> World:
        """Return the world that vouches in this case."""
        return self._kit.processor if case.processor else self._kit.world

    def quote(self, case: Case) -> bytes:
        """Return the case's quote."""
        world = self.world(case)
        key = (case.form, case.identity, case.report, case.processor)
        if key not in self._quotes:
            report = case.identity.report(world.hardware, REPORT_DATA)
            self._quotes[key] = world.quoting_enclave(case.form).sign(case.report(report) if case.report else report)
        quote = self._quotes[key]
        return case.change(quote, self._kit, case) if case.change else quote

    def collateral(self, case: Case) -> Collateral:
        """Return the case's collateral."""
        key = (case.reference, case.rehearsal, case.form.tee, case.chain, case.processor)
        if key not in self._collateral:
            self._collateral[key] = case.reference(self.world(case), case)
        return self._collateral[key]

    def usual(self, case: Case) -> Collateral:
        """Return the collateral of a healthy platform in the case's world."""
        return self.collateral(Case(name="", note="", form=replace(TDX_4, tee=case.form.tee), processor=case.processor))

    def root(self, case: Case) -> bytes:
        """Return the root under which the case is judged."""
        return (self._kit.other if case.other_root else self.world(case)).root_der


def main(folder: Path) -> None:
    """Write every case below `folder`, over what an earlier run made."""
    if (folder / "index.json").exists():
        shutil.rmtree(folder)
    shelf, index = Shelf(folder), []
    with tempfile.TemporaryDirectory() as scratch:
        maker = Maker(Kit(**{name: _world(Path(scratch) / name, name) for name in ("world", "processor", "other")}))
        for case in every_case():
            quote, collateral, root = maker.quote(case), maker.collateral(case), maker.root(case)
            confirm(case, quote, collateral, root)
            index.append(
                {
                    "name": case.name,
                    "note": case.note,
                    "quote": shelf.put(f"quotes/{case.name}.bin", quote),
                    **_kept(shelf, case, collateral, maker.usual(case)),
                    "root": shelf.put(f"roots/{case.name}.der", root),
                    "at": int(case.at.timestamp()),
                    "expected": expectation(case, maker.world(case)),
                    "dcap_qvl": case.peer,
                }
            )
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(index)} cases in {folder}\n")


def _kept(shelf: Shelf, case: Case, collateral: Collateral, usual: Collateral) -> dict[str, str]:
    """Put collateral on the shelf as the usual one and what differs from it: most parts are the same in all cases."""
    mark = f"{case.form.tee.value}{'-processor-ca' if case.processor else ''}".lower()
    kept = {"collateral": shelf.put(f"collateral/{mark}.json", usual.to_json().encode() + b"\n")}
    parts = json.loads(usual.to_json())
    changed = {name: part for name, part in json.loads(collateral.to_json()).items() if parts.get(name) != part}
    if changed:
        kept["changes"] = shelf.put(f"collateral/{case.name}.json", json.dumps(changed, indent=1).encode() + b"\n")
    return kept


def _world(folder: Path, name: str) -> World:
    """Make a machine with readable identifiers: nothing about it is secret."""
    start = {"world": 0x01, "processor": 0x41, "other": 0x81}[name]
    ca: Literal["platform", "processor"] = "processor" if name == "processor" else "platform"
    hardware = Hardware.draw(lambda size: bytes(range(start, start + size)), ca=ca)
    return World.create(folder, now=AT, hardware=hardware)


def expectation(case: Case, world: World) -> dict[str, object]:
    """Return what a verifier must say, in the words of the specification."""
    if case.error is not None:
        return {"verdict": "err", "error": case.error}
    tdx = case.form.tee is Tee.TDX
    report = case.identity.report(world.hardware, REPORT_DATA)
    return {
        "verdict": "ok",
        "trust_domain": "simulated",
        "root_key_id": world.root_key_id,
        "tee": case.form.tee.value,
        "status": case.status,
        "platform_status": case.platform_status or case.status,
        "module_status": (case.module_status or "UpToDate") if tdx and not case.no_module else None,
        "qe_status": case.qe_status,
        "advisories": list(case.advisories),
        "fmspc": world.fmspc,
        "tcb_date": case.tcb_date,
        "tcb_eval": 17,
        "qe_eval": 17,
        "body": {**report.to_json_object(), "quote_version": case.form.version, "debug": report.debug},
    }


def confirm(case: Case, quote: bytes, collateral: Collateral, root: bytes) -> None:
    """Leave unless `dcap-qvl` says what the case expects of it."""
    parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
    accepts = {"same": case.error is None, "accepts": True, "refuses": False}[case.peer]
    try:
        report = dcap_qvl.verify_with_root_ca(quote, parsed, root, int(case.at.timestamp()))
    except ValueError as refusal:
        if accepts:
            raise SystemExit(f"{case.name}: dcap-qvl refuses: {refusal}") from None
        return
    said = (report.status, tuple(report.advisory_ids))
    if not accepts or (case.peer == "same" and said != (case.status, case.advisories)):
        raise SystemExit(f"{case.name}: dcap-qvl says {said}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
