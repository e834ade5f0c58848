"""What can be seen of a machine that may attest: facts as read, without opinion. `machine_findings` judges them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Cloud(StrEnum):
    """Whose machine this is, as its firmware tables say. Nothing is trusted to this: it chooses advice."""

    AZURE = "Azure"
    ALIBABA = "Alibaba Cloud"
    TENCENT = "Tencent Cloud"
    BYTEDANCE = "ByteDance Volcengine"
    GOOGLE = "Google Cloud"
    AWS = "AWS"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """A device file that is there: who may use it, and whether we may."""

    path: str
    mode: str  # octal, four digits
    group: str  # name, or number where there is no name
    usable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """What the processor says of itself; flags are None where nobody could read them."""

    vendor: str
    sgx: bool | None
    launch_control: bool | None
    tdx_guest: bool | None
    hypervisor: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxFacts:
    """Device files, enclave page cache and the quoting service."""

    enclave: DeviceFile | None
    provision: DeviceFile | None
    old_driver: DeviceFile | None  # /dev/isgx, the driver of before Linux 5.11: no DCAP
    epc_bytes: int | None  # None: this kernel does not say (before 5.17)
    aesmd: DeviceFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxFacts:
    """A TDX guest's interfaces, and whether this is a host for such guests."""

    device: DeviceFile | None
    configfs_mounted: bool
    reports: bool  # the directory of configfs-tsm is there
    provider: str | None  # who makes reports; None: nobody, or we may not ask
    problem: str | None  # why the provider could not be asked
    host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QcnlFacts:
    """The quote provider's configuration file, and the service that it names."""

    path: str
    pccs_url: str | None
    problem: str | None  # why the file cannot be used
    answers: bool | None = None  # None: not asked
    failure: str | None = None  # why the service did not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """Everything that is judged. `gramine`: what attestation_type says, None outside Gramine."""

    kernel: str
    processor: Processor
    sgx: SgxFacts
    tdx: TdxFacts
    gramine: str | None
    snp_guest: bool
    container: bool
    cloud: Cloud | None
    user: str
    simulated_world: str | None  # its folder, if one was made
    qcnl: QcnlFacts | None = None

    def to_json_object(self) -> dict[str, object]:
        """Return the facts as JSON can write them."""
        return asdict(self)
