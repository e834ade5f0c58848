"""What a simulated machine is, and what may be rehearsed with it. Pure values.

`Hardware` is burnt in when a world is made: it stands in the PCK certificate. `Rehearsal` says what the world's
collateral reports about that hardware today, so that an owner can see a status, a revocation or an expiry before
Intel publishes one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from strongroom.attestation import TcbStatus

FMSPC_PREFIX: Final = b"\xf0"  # reserved for simulated machines (spec 14.2)
PPID_PREFIX: Final = b"SIM"
COMPONENTS: Final = 16
COLLATERAL_LIFETIME: Final = timedelta(days=30)  # Intel's window for TCB info, QE identity and the PCK CRL


class Revocation(enum.Enum):
    """A certificate of the world that its CRLs list as revoked."""

    PCK = "pck"
    PCK_CA = "pck-ca"
    TCB_SIGNER = "tcb-signer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The facts in a PCK certificate, and the security versions of the quoting enclave.

    `components`: the 16 TCB component SVNs (0..255); `ca`: which PCK CA certifies the machine.
    """

    fmspc: bytes
    ppid: bytes
    platform_instance_id: bytes
    qe_id: bytes
    pce_id: bytes = b"\0\0"
    components: tuple[int, ...] = (11, 11, 2, 2, 255, 1) + (0,) * 10
    pce_svn: int = 13
    qe_svn: int = 8
    ca: Literal["platform", "processor"] = "platform"

    def __post_init__(self) -> None:
        if len(self.components) != COMPONENTS:
            raise ValueError(f"a machine has {COMPONENTS} TCB components, not {len(self.components)}")

    @classmethod
    def draw(cls, entropy: Callable[[int], bytes], *, ca: Literal["platform", "processor"] = "platform") -> Hardware:
        """Return a machine of its own: random identifiers with the marks of a simulation."""
        return cls(
            fmspc=FMSPC_PREFIX + entropy(5),
            ppid=PPID_PREFIX + entropy(13),
            platform_instance_id=entropy(16),
            qe_id=entropy(16),
            ca=ca,
        )

    @property
    def cpu_svn(self) -> bytes:
        """The 16 bytes that a report carries: the components, as on all real machines seen."""
        return bytes(self.components)

    @property
    def fmspc_hex(self) -> str:
        """The FMSPC as collateral writes it: 12 hex digits, upper case."""
        return self.fmspc.hex().upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What collateral says today; the default is a healthy, current platform.

    `age`: how long before `now` the collateral was issued; from 30 days on it has expired.
    `unsupported`: every TCB level asks for more than the hardware has.
    """

    status: TcbStatus = TcbStatus.UP_TO_DATE
    advisories: tuple[str, ...] = ()
    qe_status: TcbStatus = TcbStatus.UP_TO_DATE
    qe_advisories: tuple[str, ...] = ()
    unsupported: bool = False
    evaluation_number: int = 17
    qe_evaluation_number: int = 17
    revoked: frozenset[Revocation] = field(default_factory=frozenset)
    age: timedelta = timedelta(days=1)
    lifetime: timedelta = COLLATERAL_LIFETIME
