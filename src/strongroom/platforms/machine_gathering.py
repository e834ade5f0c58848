"""Look at a machine: device files, processor flags, kernel interfaces, firmware tables. Reads below one root.

Nothing is changed but that configfs-tsm is asked who makes reports, for which a directory is made and removed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from strongroom.platforms.machine_facts import Cloud, DeviceFile, MachineFacts, Processor, SgxFacts, TdxFacts
from strongroom.platforms.tdx import provider_of
from strongroom.platforms.tsm_reports import ConfigfsReports

ENCLAVE_DEVICES: Final = ("dev/sgx_enclave", "dev/sgx/enclave")
PROVISION_DEVICES: Final = ("dev/sgx_provision", "dev/sgx/provision")
AESM_SOCKETS: Final = ("var/run/aesmd/aesm.socket", "run/aesmd/aesm.socket")
SNP_DEVICE: Final = "dev/sev-guest"
TSM_REPORTS: Final = "sys/kernel/config/tsm/report"
_CONTAINER_MARKS: Final = (".dockerenv", "run/.containerenv", "var/run/secrets/kubernetes.io")
_MAX_BYTES: Final = 256 * 1024  # of any one file; cpuinfo of a big machine is longer, its first entry is not
# The firmware's vendor and product, as the clouds fill them in; Azure is told from other Hyper-V by its asset tag.
_DMI: Final = ("sys_vendor", "product_name", "chassis_asset_tag", "board_vendor")
_CLOUDS: Final = (
    (Cloud.AZURE, "7783-7084-3265-9085-8269-3286-77"),
    (Cloud.ALIBABA, "Alibaba Cloud"),
    (Cloud.TENCENT, "Tencent Cloud"),
    (Cloud.BYTEDANCE, "ByteDance"),
    (Cloud.BYTEDANCE, "Volcengine"),
    (Cloud.GOOGLE, "Google"),
    (Cloud.AWS, "Amazon EC2"),
)


def gather(
    root: Path, *, user: str, simulated_world: Path | None, provider: Callable[[Path], str] | None = None
) -> MachineFacts:
    """Return the facts of the machine whose file system starts at `root`; unreadable files are facts not known.

    `provider` says who makes reports in a directory of configfs-tsm; the default asks the kernel.
    """
    gramine = _text(root / "dev/attestation/attestation_type")
    return MachineFacts(
        kernel=(_text(root / "proc/sys/kernel/osrelease") or "unknown").strip(),
        processor=_processor(_text(root / "proc/cpuinfo")),
        sgx=_sgx(root),
        tdx=_tdx(root, provider or (lambda place: provider_of(ConfigfsReports(place)))),
        gramine=gramine.strip("\0\n ") if gramine is not None else None,
        snp_guest=(root / SNP_DEVICE).exists(),
        container=any((root / mark).exists() for mark in _CONTAINER_MARKS),
        cloud=_cloud(root / "sys/class/dmi/id"),
        user=user,
        simulated_world=str(simulated_world) if simulated_world is not None else None,
    )


def _processor(cpuinfo: str | None) -> Processor:
    """Read the first processor's entry; all others say the same."""
    fields = dict(_fields((cpuinfo or "").split("\n\n")[0]))
    flags = frozenset(fields["flags"].split()) if "flags" in fields else None

    def has(flag: str) -> bool | None:
        return None if flags is None else flag in flags

    return Processor(
        vendor=fields.get("vendor_id", "unknown"),
        sgx=has("sgx"),
        launch_control=has("sgx_lc"),
        tdx_guest=has("tdx_guest"),
        hypervisor=has("hypervisor"),
    )


def _fields(entry: str) -> Iterator[tuple[str, str]]:
    for line in entry.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _sgx(root: Path) -> SgxFacts:
    return SgxFacts(
        enclave=_first(root, ENCLAVE_DEVICES, os.R_OK | os.W_OK),
        provision=_first(root, PROVISION_DEVICES, os.R_OK),
        old_driver=_first(root, ("dev/isgx",), os.R_OK | os.W_OK),
        epc_bytes=_epc_bytes(root / "sys/devices/system/node"),
        aesmd=_first(root, AESM_SOCKETS, os.R_OK | os.W_OK),
    )


def _tdx(root: Path, provider: Callable[[Path], str]) -> TdxFacts:
    reports = root / TSM_REPORTS
    found, problem = None, None
    if reports.is_dir():
        try:
            found = provider(reports)
        except OSError as failure:
            problem = failure.strerror or type(failure).__name__
    mounts = (_text(root / "proc/self/mounts") or "").splitlines()
    return TdxFacts(
        device=_first(root, ("dev/tdx_guest",), os.R_OK | os.W_OK),
        configfs_mounted=any(fields[2:3] == ["configfs"] for fields in (line.split(" ") for line in mounts)),
        reports=reports.is_dir(),
        provider=found,
        problem=problem,
        host=(_text(root / "sys/module/kvm_intel/parameters/tdx") or "").strip() in {"Y", "1"},
    )


def _cloud(dmi: Path) -> Cloud | None:
    seen = [(_text(dmi / name) or "").strip() for name in _DMI]
    return next((cloud for cloud, mark in _CLOUDS if any(text.startswith(mark) for text in seen)), None)


def _epc_bytes(nodes: Path) -> int | None:
    """Return the enclave page cache of all memory nodes together (Linux 5.17: x86/sgx_total_bytes)."""
    sizes = [(_text(path) or "").strip() for path in sorted(nodes.glob("node*/x86/sgx_total_bytes"))]
    numbers = [int(size) for size in sizes if size.isdecimal() and len(size) < 20]
    return sum(numbers) if numbers else None


def _first(root: Path, names: tuple[str, ...], access: int) -> DeviceFile | None:
    return next((found for name in names if (found := _device(root, name, access)) is not None), None)


def _device(root: Path, name: str, access: int) -> DeviceFile | None:
    path = root / name
    try:
        state = path.stat()
    except OSError:
        return None
    return DeviceFile(
        path=f"/{name}",
        mode=f"{stat.S_IMODE(state.st_mode):04o}",
        group=_group_name(root, state.st_gid),
        usable=os.access(path, access),
    )


def _group_name(root: Path, number: int) -> str:
    """Return a group's name by the group file of the machine that is looked at."""
    for line in (_text(root / "etc/group") or "").splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2] == str(number):
            return fields[0]
    return str(number)


def _text(path: Path) -> str | None:
    """Return the beginning of a file as text, or None where it is absent or not to be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:  # what cannot be read is not known; the findings say so
        return None
