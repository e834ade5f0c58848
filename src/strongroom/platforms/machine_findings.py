"""Judge what was seen of a machine: what it can vouch with, what is missing, and what to do about it.

Pure: facts in, findings out. A cross is something that stands between this machine and evidence it could give; what
it simply is not (no SGX, no TDX guest) is noted, not blamed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from strongroom.platforms.machine_facts import Cloud, DeviceFile, MachineFacts

SGX_KERNEL: Final = (5, 11)
TSM_KERNEL: Final = (6, 7)
SMALL_EPC_BYTES: Final = 256 * 1024 * 1024
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")
# Which name of `--source` serves a cloud's machines with collateral; AWS has neither SGX nor TDX.
PROFILES: Final = {
    Cloud.AZURE: "azure",
    Cloud.ALIBABA: "alibaba:REGION",
    Cloud.TENCENT: "tencent",
    Cloud.BYTEDANCE: "bytedance",
    Cloud.GOOGLE: "intel-pcs",
    Cloud.AWS: None,
}


class Standing(StrEnum):
    """What a finding means for evidence from this machine."""

    GOOD = "good"
    MISSING = "missing"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about the machine; `fix` is there exactly where something is missing."""

    topic: str
    standing: Standing
    sentence: str
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All findings, the platforms that could be used right now, and the next step."""

    findings: tuple[Finding, ...]
    usable: tuple[str, ...]
    next_step: str

    def to_json_object(self) -> dict[str, object]:
        """Return the examination as JSON can write it."""
        return asdict(self)


def examine(facts: MachineFacts) -> Examination:
    """Return what `facts` mean."""
    gramine, tdx, sgx = list(_gramine(facts)), list(_tdx(facts)), list(_sgx(facts))
    collateral = list(_collateral(facts)) if _attests(facts) else []
    simulated = _simulated(facts)
    findings = (*gramine, *sgx, *tdx, *collateral, *_surroundings(facts), simulated)
    usable = [name for name, part in (("gramine", gramine), ("tdx", tdx), ("sgx", sgx)) if _ready(part)]
    if simulated.standing is Standing.GOOD:
        usable.append("simulated")
    return Examination(findings=findings, usable=tuple(usable), next_step=_next_step(usable, findings, facts))


def _good(topic: str, sentence: str) -> Finding:
    return Finding(topic=topic, standing=Standing.GOOD, sentence=sentence)


def _missing(topic: str, sentence: str, fix: str) -> Finding:
    return Finding(topic=topic, standing=Standing.MISSING, sentence=sentence, fix=fix)


def _absent(topic: str, sentence: str) -> Finding:
    return Finding(topic=topic, standing=Standing.ABSENT, sentence=sentence)


def _ready(findings: list[Finding]) -> bool:
    """A platform is usable when something of it is good and nothing of it is missing."""
    return {Standing.GOOD} == {each.standing for each in findings}


def _attests(facts: MachineFacts) -> bool:
    """Whether evidence could come from this machine, so that somebody needs its collateral."""
    return bool(facts.processor.sgx or facts.sgx.enclave or facts.gramine or _is_tdx_guest(facts))


def _gramine(facts: MachineFacts) -> Iterator[Finding]:
    if facts.gramine is None:
        return
    if facts.gramine == "dcap":
        yield _good("Gramine", "this process runs in an SGX enclave with DCAP attestation")
        return
    yield _missing(
        "Gramine", f"this process runs in an enclave whose attestation type is {facts.gramine[:32]!r}, not 'dcap'",
        'Set sgx.remote_attestation = "dcap" in the manifest and sign it again.',
    )  # fmt: skip


def _sgx(facts: MachineFacts) -> Iterator[Finding]:
    if facts.gramine is not None:
        return  # inside an enclave the host's files are not to be seen, and not to be believed
    processor, sgx = facts.processor, facts.sgx
    if not processor.sgx and sgx.enclave is None:
        words = "the processor says nothing about SGX" if processor.sgx is None else "the processor has no SGX"
        switched = ", or it is switched off in the firmware" if processor.vendor == "GenuineIntel" else ""
        yield _absent("SGX", f"{words}{switched}")
        return
    yield _good("SGX", "the processor has SGX")
    if processor.launch_control is False:
        yield _missing(
            "launch control", "the processor or its firmware has no flexible launch control (flag sgx_lc)",
            "Set SGX launch control to unlocked in the firmware; without it Linux has no SGX driver, and there is "
            "no DCAP.",
        )  # fmt: skip
    yield from _sgx_devices(facts)
    yield _epc(sgx.epc_bytes)
    yield _aesmd(facts)


def _sgx_devices(facts: MachineFacts) -> Iterator[Finding]:
    sgx = facts.sgx
    if sgx.enclave is None:
        yield _missing("enclave device", "there is no /dev/sgx_enclave", _why_no_device(facts))
        return
    yield _device("enclave device", sgx.enclave, facts)
    if sgx.provision is None:
        yield _missing(
            "provision device", "there is no /dev/sgx_provision, without which nothing can be quoted",
            _into_container("/dev/sgx_provision") if facts.container else _why_no_device(facts),
        )  # fmt: skip
        return
    yield _device("provision device", sgx.provision, facts)


def _why_no_device(facts: MachineFacts) -> str:
    if facts.container:
        return _into_container("/dev/sgx_enclave --device /dev/sgx_provision")
    version = kernel_version(facts.kernel)
    if version is not None and version < SGX_KERNEL:
        return f"Use Linux 5.11 or newer (this is {facts.kernel}); older kernels have no SGX driver of their own."
    if facts.sgx.old_driver is not None:
        return "Remove the old driver (/dev/isgx), which knows no DCAP, and use the one in Linux 5.11 or newer."
    if facts.processor.launch_control is False:
        return "Set SGX launch control to unlocked in the firmware; the driver needs it."
    return "Switch SGX on in the firmware, use a kernel with CONFIG_X86_SGX=y, and read: dmesg | grep -i sgx."


def _into_container(devices: str) -> str:
    return f"Hand the device into this container: --device {devices} (Kubernetes: the SGX device plugin)."


def _device(topic: str, device: DeviceFile, facts: MachineFacts) -> Finding:
    if device.usable:
        return _good(topic, f"{device.path} is there and may be used")
    return _missing(
        topic, f"{device.path} (mode {device.mode}, group {device.group}) may not be used by {facts.user}",
        f"Run: sudo usermod -aG {device.group} {facts.user}, then log in again.",
    )  # fmt: skip


def _epc(size: int | None) -> Finding:
    if size is None:
        return _good("enclave memory", "this kernel does not say how much there is (before Linux 5.17)")
    if size == 0:
        return _missing("enclave memory", "none is left for enclaves", "Give SGX memory (PRMRR) in the firmware.")
    amount = f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
    small = ": little for a model, so expect paging" if size < SMALL_EPC_BYTES else ""
    return _good("enclave memory", f"{amount}{small}")


def _aesmd(facts: MachineFacts) -> Finding:
    socket = facts.sgx.aesmd
    if socket is None:
        fix = "Install sgx-aesm-service and libsgx-aesm-quote-ex-plugin, then: sudo systemctl start aesmd."
        if facts.container:
            fix = "Mount the host's socket into this container: -v /var/run/aesmd:/var/run/aesmd."
        return _missing("quoting service", "aesmd has no socket (/var/run/aesmd/aesm.socket)", fix)
    if not socket.usable:
        return _missing(
            "quoting service", f"aesmd's socket {socket.path} (mode {socket.mode}) may not be used by {facts.user}",
            "Let the socket and /var/run/aesmd be open to this user (mode 0777 and 0755 are aesmd's own).",
        )  # fmt: skip
    return _good("quoting service", f"aesmd listens on {socket.path}")


def _is_tdx_guest(facts: MachineFacts) -> bool:
    return bool(facts.processor.tdx_guest or facts.tdx.device or facts.tdx.provider == "tdx_guest")


def _tdx(facts: MachineFacts) -> Iterator[Finding]:
    if facts.gramine is not None:
        return
    tdx = facts.tdx
    if not _is_tdx_guest(facts):
        host = "; it is a host for such guests, which give the evidence themselves" if tdx.host else ""
        yield _absent("TDX", f"this is no TDX guest{host}")
        return
    yield _good("TDX", "this is a TDX guest")
    if not tdx.reports:
        yield _missing("reports", "configfs-tsm is not there (/sys/kernel/config/tsm/report)", _why_no_reports(facts))
    elif tdx.provider is None:
        yield _missing(
            "reports", f"configfs-tsm cannot be asked: {tdx.problem or 'no answer'}",
            "Run as root (sudo strongroom platform says more), and load the driver: modprobe tdx_guest.",
        )  # fmt: skip
    elif tdx.provider != "tdx_guest":
        yield _missing(
            "reports", f"reports come from {tdx.provider[:32]!r}, not from 'tdx_guest'",
            "Load the guest driver: modprobe tdx_guest.",
        )  # fmt: skip
    else:
        yield _good("reports", "configfs-tsm makes TDX reports")


def _why_no_reports(facts: MachineFacts) -> str:
    version = kernel_version(facts.kernel)
    if version is not None and version < TSM_KERNEL:
        return f"Use Linux 6.7 or newer (this is {facts.kernel}); quotes through /dev/tdx_guest are not supported."
    if facts.container:
        return "Mount it into this container: -v /sys/kernel/config:/sys/kernel/config, and run as root."
    if not facts.tdx.configfs_mounted:
        return "Run: sudo mount -t configfs none /sys/kernel/config, and: sudo modprobe tdx_guest."
    return "Run: sudo modprobe tdx_guest; the kernel needs CONFIG_TSM_REPORTS and CONFIG_TDX_GUEST_DRIVER."


def _collateral(facts: MachineFacts) -> Iterator[Finding]:
    """Only where evidence could come from: who quotes fetches its PCK certificate through the same file."""
    qcnl = facts.qcnl
    if qcnl is None:
        source = PROFILES.get(facts.cloud) if facts.cloud is not None else None
        hint = f" Strongroom itself can ask --source {source}." if source else ""
        if facts.gramine is None and not _is_tdx_guest(facts):  # in guests and enclaves it is the host's business
            yield _missing(
                "PCCS", "there is no /etc/sgx_default_qcnl.conf, so quoting finds no PCK certificate",
                f"Install libsgx-dcap-default-qpl and name your PCCS in that file.{hint}",
            )  # fmt: skip
        return
    if qcnl.problem is not None:
        yield _missing("PCCS", qcnl.problem, f"Correct {qcnl.path}.")
    elif qcnl.answers is False:
        yield _missing(
            "PCCS", f"{qcnl.pccs_url} ({qcnl.path}) does not answer: {qcnl.failure or 'no reason given'}",
            "Start that service (strongroom pccs serve is one), or name another; strongroom collateral doctor says "
            "more.",
        )  # fmt: skip
    else:
        yield _good("PCCS", f"{qcnl.pccs_url}{' answers' if qcnl.answers else ', which was not asked'}")


def _surroundings(facts: MachineFacts) -> Iterator[Finding]:
    if facts.snp_guest:
        yield _absent("SEV-SNP", "this is an AMD SEV-SNP guest, whose evidence is not verified yet")
    if facts.cloud is not None:
        profile = PROFILES[facts.cloud]
        advice = f"collateral: --source {profile}" if profile else "it has neither SGX nor TDX machines"
        yield _good("cloud", f"{facts.cloud.value}; {advice}")


def _simulated(facts: MachineFacts) -> Finding:
    real = _real_devices(facts)
    if real or facts.gramine is not None:
        return _absent("simulated", f"not beside a real TEE ({real or 'Gramine'}) unless --beside-real-tee is said")
    where = f"a world is in {facts.simulated_world}" if facts.simulated_world else "made on first use"
    return _good("simulated", f"for rehearsals; {where}")


def _real_devices(facts: MachineFacts) -> str:
    return ", ".join(device.path for device in (facts.sgx.enclave, facts.tdx.device) if device is not None)


def _next_step(usable: list[str], findings: tuple[Finding, ...], facts: MachineFacts) -> str:
    """Return the one thing to do now."""
    if "gramine" in usable or "tdx" in usable:
        return "Start the replica here: strongroom serve finds its platform by itself."
    first = next((each for each in findings if each.fix is not None), None)
    if first is not None and first.fix is not None:
        return f"{first.topic}: {first.fix}"
    if "sgx" in usable:
        return "Build the replica's enclave with Gramine, and show its owner: strongroom measure REPLICA.sig."
    if facts.simulated_world is None:
        return "Rehearse here: strongroom sim init, or see the whole story with strongroom demo."
    return "Rehearse here: strongroom sim run MANIFEST (add --tee tdx for a trust domain)."


def kernel_version(release: str) -> tuple[int, int] | None:
    """Return the first two numbers of a kernel's release, or None where it has none."""
    found = _VERSION.match(release)
    return (int(found[1]), int(found[2])) if found else None
