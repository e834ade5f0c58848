"""A simulated world's stock for the local PCCS: fresh collateral of both TEEs, its PCK certificate, its FMSPC."""

from __future__ import annotations

import json
from datetime import datetime

from strongroom.attestation import Tee
from strongroom.collateral import pccs
from strongroom.platforms import simulated
from strongroom.platforms.simulated.certification import encrypted_ppid
from strongroom.platforms.simulated.signatures import raw_signature
from strongroom.platforms.simulated.tcb_documents import TCB_DATE

PLATFORM = "E5"  # a server, in the list of FMSPCs


def world_stock(
    world: simulated.World, now: datetime, *, standard: simulated.Rehearsal, early: simulated.Rehearsal
) -> pccs.Stock:
    """Return what the world's authorities publish at `now`, under the standard and under the early update."""
    signers, hardware = world.signers, world.hardware
    certificate = pccs.PckCertificate.read(
        signers.pck.pem,
        signers.pck_ca.pem + signers.root.pem,
        qe_id=hardware.qe_id.hex().upper(),
        encrypted_ppid=encrypted_ppid(hardware).hex().upper(),
    )
    return pccs.Stock(
        standard=tuple(world.collateral(now, standard, tee=tee) for tee in Tee),
        early=tuple(world.collateral(now, early, tee=tee) for tee in Tee),
        documents=tuple(_evaluation_numbers(world, now, tee, standard, early) for tee in Tee),
        certificates=(certificate,),
        platforms=json.dumps([{"fmspc": world.fmspc, "platform": PLATFORM}], separators=(",", ":")).encode("ascii"),
    )


def _evaluation_numbers(
    world: simulated.World, now: datetime, tee: Tee, standard: simulated.Rehearsal, early: simulated.Rehearsal
) -> pccs.Document:
    """Return the signed list of the evaluation numbers that count, newest first (specification section 11.1)."""
    numbers = sorted({standard.evaluation_number, early.evaluation_number}, reverse=True)
    issued = now.replace(microsecond=0) - standard.age
    listed = [
        {"tcbEvaluationDataNumber": number, "tcbRecoveryEventDate": TCB_DATE, "tcbDate": TCB_DATE} for number in numbers
    ]
    text = json.dumps(
        {
            "id": tee.value,
            "version": 1,
            "issueDate": f"{issued:%Y-%m-%dT%H:%M:%SZ}",
            "nextUpdate": f"{issued + standard.lifetime:%Y-%m-%dT%H:%M:%SZ}",
            "tcbEvalNumbers": listed,
        },
        separators=(",", ":"),
    )
    signer = world.signers.tcb_signer
    body = f'{{"tcbEvaluationDataNumbers":{text},"signature":"{raw_signature(signer.key, text.encode()).hex()}"}}'
    return pccs.Document.read(body.encode("ascii"), signer.pem + world.signers.root.pem)
