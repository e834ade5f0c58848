"""What a simulated machine is, and what may be rehearsed with it. Pure values.

`Hardware` is burnt in when a world is made: it stands in the PCK certificate. `Rehearsal` says what the world's
collateral reports about that hardware today, so that an owner can see a status, a revocation or an expiry before
Intel publishes one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
class TdxModule:
    """Security versions (0..255) under which a trust domain was launched, as `tee_tcb_svn` carries them."""

    svn: int = 5
    version: int = 1
    microcode: int = 3

    @property
    def tee_tcb_svn(self) -> bytes:
        """The 16 bytes of a TD report."""
        return bytes((self.svn, self.version, self.microcode)).ljust(16, b"\0")


CURRENT_MODULE: Final = TdxModule()
OLD_MODULE: Final = TdxModule(svn=2)  # out of date in every world's collateral, for rehearsing a relaunch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What collateral says today; the default is a healthy, current platform.

    `module_status`: what the TDX module's current SVN is worth; `tdx_modules`: the major versions that TDX's TCB info
    describes, None leaves the list out. `age`: how long before `now` the collateral was issued; from 30 days on it has
    expired. `unsupported`: every TCB level asks for more than the hardware has.
    """

    status: TcbStatus = TcbStatus.UP_TO_DATE
    advisories: tuple[str, ...] = ()
    qe_status: TcbStatus = TcbStatus.UP_TO_DATE
    qe_advisories: tuple[str, ...] = ()
    module_status: TcbStatus = TcbStatus.UP_TO_DATE
    module_advisories: tuple[str, ...] = ()
    tdx_modules: tuple[int, ...] | None = (CURRENT_MODULE.version,)
    unsupported: bool = False
    evaluation_number: int = 17
    qe_evaluation_number: int = 17
    revoked: frozenset[Revocation] = field(default_factory=frozenset)
    age: timedelta = timedelta(days=1)
    lifetime: timedelta = COLLATERAL_LIFETIME

    @property
    def standard(self) -> Rehearsal:
        """What the standard update says while the early one says this: as healthy as before, one number lower.

        A platform vendor discloses early; what the disclosure finds reaches the standard update weeks later.
        """
        return replace(
            self,
            status=TcbStatus.UP_TO_DATE,
            advisories=(),
            qe_status=TcbStatus.UP_TO_DATE,
            qe_advisories=(),
            module_status=TcbStatus.UP_TO_DATE,
            module_advisories=(),
            evaluation_number=self.evaluation_number - 1,
            qe_evaluation_number=self.qe_evaluation_number - 1,
        )
