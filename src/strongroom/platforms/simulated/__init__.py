"""A machine without a TEE that behaves like one: own root, PCK chain, collateral, and quotes of SGX and TDX.

Quotes and collateral have the real formats, byte for byte. Law of this room: it replaces the quote generator and
nothing else. The verifier has no branch for it; only the anchors differ, so every verdict on its evidence carries the
trust domain `simulated`, and every certificate says so too. It vouches only for programs that it measured and started
itself (`measure`, `run`), and not beside a real TEE unless told. It gives no secrecy: whoever can read its folder or
the program's memory wins.
"""

from strongroom.platforms.simulated.certificates import MARK_OID, ORGANISATION
from strongroom.platforms.simulated.hardware import (
    CURRENT_MODULE,
    OLD_MODULE,
    Hardware,
    Rehearsal,
    Revocation,
    TdxModule,
)
from strongroom.platforms.simulated.identities import EnclaveIdentity, Identity, TdIdentity
from strongroom.platforms.simulated.launch import LaunchAs, LaunchFailed, run
from strongroom.platforms.simulated.measurement import LaunchFileUnusable, Measurement, TrustedFileChanged, measure
from strongroom.platforms.simulated.quoting import QuoteFormat, QuotingEnclave
from strongroom.platforms.simulated.real_tee import BANNER, REAL_TEE_DEVICES, RealTeePresent, refuse_beside_real_tee
from strongroom.platforms.simulated.td_measurement import TdMeasurement, measure_td
from strongroom.platforms.simulated.world import World, default_folder
from strongroom.platforms.simulated.world_folder import WorldMissing, WorldUnusable

__all__ = [
    "BANNER",
    "CURRENT_MODULE",
    "MARK_OID",
    "OLD_MODULE",
    "ORGANISATION",
    "REAL_TEE_DEVICES",
    "EnclaveIdentity",
    "Hardware",
    "Identity",
    "LaunchAs",
    "LaunchFailed",
    "LaunchFileUnusable",
    "Measurement",
    "QuoteFormat",
    "QuotingEnclave",
    "RealTeePresent",
    "Rehearsal",
    "Revocation",
    "TdIdentity",
    "TdMeasurement",
    "TdxModule",
    "TrustedFileChanged",
    "World",
    "WorldMissing",
    "WorldUnusable",
    "default_folder",
    "measure",
    "measure_td",
    "refuse_beside_real_tee",
    "run",
]
