"""What a machine has and lacks, judged on trees that look like machines: laptop, servers, guests, enclaves."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from strongroom.platforms.machine_facts import Cloud, DeviceFile, QcnlFacts
from strongroom.platforms.machine_findings import Standing, examine, kernel_version
from strongroom.platforms.machine_gathering import gather

AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"


class Machine:
    """A tree that looks like a machine's file system."""

    def __init__(self, root, *, kernel="6.8.0-45-generic", flags="fpu sse avx", vendor="GenuineIntel"):
        self.root = root
        self.write("proc/sys/kernel/osrelease", f"{kernel}\n")
        entry = f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n"
        self.write("proc/cpuinfo", f"processor\t: 0\n{entry}\nprocessor\t: 1\n{entry}")
        self.write("proc/self/mounts", "sysfs /sys sysfs rw 0 0\n")
        self.write("etc/group", "root:x:0:\nsgx_prv:x:130:\n")
        self.provider = None

    def write(self, name, content=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return self

    def with_sgx(self, epc=64 << 30):
        self.write("dev/sgx_enclave").write("dev/sgx_provision").write("var/run/aesmd/aesm.socket")
        if epc is not None:
            self.write("sys/devices/system/node/node0/x86/sgx_total_bytes", f"{epc // 2}\n")
            self.write("sys/devices/system/node/node1/x86/sgx_total_bytes", f"{epc // 2}\n")
        return self

    def with_dmi(self, **texts):
        for name, text in texts.items():
            self.write(f"sys/class/dmi/id/{name}", f"{text}\n")
        return self

    def facts(self, **changes):
        def provider(_place):
            if isinstance(self.provider, OSError):
                raise self.provider
            return self.provider

        found = gather(self.root, user="eve", simulated_world=None, provider=provider)
        return replace(found, **changes)


@pytest.fixture
def laptop(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def server(tmp_path):
    return Machine(tmp_path, flags="fpu sgx sgx_lc").with_sgx()


@pytest.fixture
def guest(tmp_path):
    machine = Machine(tmp_path, flags="fpu hypervisor tdx_guest", kernel="6.11.0-26-generic")
    machine.write("dev/tdx_guest").write("proc/self/mounts", "none /sys/kernel/config configfs rw 0 0\n")
    (tmp_path / "sys/kernel/config/tsm/report").mkdir(parents=True)
    machine.provider = "tdx_guest"
    return machine


PCCS = QcnlFacts(path="/etc/sgx_default_qcnl.conf", pccs_url="https://localhost:8081/", problem=None, answers=True)


def standing(found, topic):
    return next(each for each in found.findings if each.topic == topic).standing


def fix_of(found, topic):
    return next(each for each in found.findings if each.topic == topic).fix


def test_a_laptop_can_rehearse_and_is_blamed_for_nothing(laptop):
    found = examine(laptop.facts())
    assert found.usable == ("simulated",)
    assert not any(each.fix for each in found.findings)
    assert standing(found, "SGX") is standing(found, "TDX") is Standing.ABSENT
    assert "strongroom sim init" in found.next_step


def test_a_laptop_with_a_world_is_told_to_run_it(laptop, tmp_path):
    found = examine(laptop.facts(simulated_world=str(tmp_path / "world")))
    assert "strongroom sim run" in found.next_step


def test_a_bare_sgx_server_lacks_nothing(server):
    facts = server.facts(qcnl=PCCS)
    assert facts.sgx.epc_bytes == 64 << 30
    found = examine(facts)
    assert found.usable == ("sgx",)
    assert {each.standing for each in found.findings if each.topic not in {"simulated", "TDX"}} == {"good"}
    assert standing(found, "simulated") is Standing.ABSENT
    assert "Gramine" in found.next_step


def test_sgx_without_flexible_launch_control_is_sent_to_the_firmware(tmp_path):
    machine = Machine(tmp_path, flags="fpu sgx")
    machine.write("dev/isgx")
    found = examine(machine.facts())
    assert "sgx" not in found.usable
    assert "firmware" in fix_of(found, "launch control")
    assert fix_of(found, "enclave device") is not None
    assert found.next_step.startswith("launch control: ")


@pytest.mark.parametrize(
    ("kernel", "mark", "words"),
    [
        ("5.4.0-150-generic", None, "5.11"),
        ("6.8.0", ".dockerenv", "--device /dev/sgx_enclave"),
        ("6.8.0", "dev/isgx", "old driver"),
        ("6.8.0", None, "CONFIG_X86_SGX"),
        ("strange", None, "CONFIG_X86_SGX"),
    ],
)
def test_a_missing_enclave_device_has_a_reason(tmp_path, kernel, mark, words):
    machine = Machine(tmp_path, flags="fpu sgx sgx_lc", kernel=kernel)
    if mark:
        machine.write(mark)
    assert words in fix_of(examine(machine.facts()), "enclave device")


def test_a_device_of_another_group_names_the_group_to_join(server):
    facts = server.facts()
    closed = DeviceFile(path="/dev/sgx_provision", mode="0660", group="sgx_prv", usable=False)
    found = examine(replace(facts, sgx=replace(facts.sgx, provision=closed)))
    assert fix_of(found, "provision device") == "Run: sudo usermod -aG sgx_prv eve, then log in again."
    assert "sgx" not in found.usable


def test_modes_and_groups_are_read_from_the_machine_that_is_looked_at(server, tmp_path):
    (tmp_path / "dev/sgx_provision").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(tmp_path / "dev/sgx_provision", 0, 130)
    found = server.facts().sgx.provision
    assert found.mode == "0640"
    assert found.group == ("sgx_prv" if os.geteuid() == 0 else found.group)


def test_the_older_places_of_the_devices_count(tmp_path):
    machine = Machine(tmp_path, flags="fpu sgx sgx_lc")
    machine.write("dev/sgx/enclave").write("dev/sgx/provision").write("run/aesmd/aesm.socket")
    assert machine.facts().sgx.enclave.path == "/dev/sgx/enclave"
    assert examine(machine.facts(qcnl=PCCS)).usable == ("sgx",)


@pytest.mark.parametrize(
    ("missing", "topic", "words"),
    [
        ("dev/sgx_provision", "provision device", "CONFIG_X86_SGX"),
        ("var/run/aesmd/aesm.socket", "quoting service", "systemctl start aesmd"),
    ],
)
def test_dp_06_each_missing_part_of_a_server_is_named_with_its_fix(server, tmp_path, missing, topic, words):
    (tmp_path / missing).unlink()
    found = examine(server.facts(qcnl=PCCS))
    assert words in fix_of(found, topic)
    assert found.usable == ()
    assert found.next_step.startswith(f"{topic}: ")


@pytest.mark.parametrize(
    ("size", "words", "mark"),
    [
        (64 << 30, "64.0 GiB", "good"), (94 << 20, "94 MiB: little", "good"), (0, "none is left", "missing"),
        (None, "does not say", "good"),
    ],
)  # fmt: skip
def test_enclave_memory_is_said_as_far_as_the_kernel_says_it(tmp_path, size, words, mark):
    machine = Machine(tmp_path, flags="fpu sgx sgx_lc").with_sgx(epc=size)
    found = examine(machine.facts(qcnl=PCCS))
    assert words in next(each for each in found.findings if each.topic == "enclave memory").sentence
    assert standing(found, "enclave memory") == mark


def test_an_azure_dcsv3_is_recognised_and_sent_to_its_own_cache(tmp_path):
    machine = Machine(tmp_path, flags="fpu hypervisor sgx sgx_lc", kernel="6.8.0-1015-azure").with_sgx()
    machine.with_dmi(sys_vendor="Microsoft Corporation", product_name="Virtual Machine", chassis_asset_tag=AZURE_TAG)
    found = examine(machine.facts())
    assert machine.facts().cloud is Cloud.AZURE
    assert "--source azure" in next(each for each in found.findings if each.topic == "cloud").sentence
    assert "--source azure" in fix_of(found, "PCCS")


@pytest.mark.parametrize(
    ("texts", "cloud"),
    [
        ({"sys_vendor": "Alibaba Cloud", "product_name": "Alibaba Cloud ECS"}, Cloud.ALIBABA),
        ({"sys_vendor": "Tencent Cloud", "product_name": "CVM"}, Cloud.TENCENT),
        ({"sys_vendor": "ByteDance"}, Cloud.BYTEDANCE),
        ({"product_name": "Volcengine ECS"}, Cloud.BYTEDANCE),
        ({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, Cloud.GOOGLE),
        ({"sys_vendor": "Amazon EC2", "product_name": "m7i.large"}, Cloud.AWS),
        ({"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "1234"}, None),  # Hyper-V at home
        ({"sys_vendor": "Dell Inc."}, None),
        ({}, None),
    ],
    ids=str,
)
def test_clouds_are_told_by_their_firmware(laptop, texts, cloud):
    assert laptop.with_dmi(**texts).facts().cloud is cloud


def test_a_tdx_guest_can_start_its_replica(guest):
    found = examine(guest.facts())
    assert found.usable == ("tdx",)
    assert "strongroom serve" in found.next_step
    assert standing(found, "SGX") is Standing.ABSENT


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"proc/sys/kernel/osrelease": "6.2.0"}, "6.7"),
        ({"proc/self/mounts": ""}, "mount -t configfs"),
        ({}, "modprobe tdx_guest"),
        ({"run/.containerenv": ""}, "-v /sys/kernel/config"),
    ],
)
def test_a_tdx_guest_without_reports_is_told_why(guest, tmp_path, files, words):
    shutil.rmtree(tmp_path / "sys/kernel/config/tsm")
    for name, content in files.items():
        guest.write(name, content)
    found = examine(guest.facts())
    assert words in fix_of(found, "reports")
    assert found.usable == ()


@pytest.mark.parametrize(
    "provider", [PermissionError(13, "Permission denied"), OSError(6, "No such device"), "sev_guest"]
)
def test_reports_that_cannot_be_asked_for_are_said_so(guest, provider):
    guest.provider = provider
    found = examine(guest.facts())
    assert standing(found, "reports") is Standing.MISSING
    assert found.usable == ()


def test_a_host_of_tdx_guests_is_no_guest(laptop):
    laptop.write("sys/module/kvm_intel/parameters/tdx", "Y\n")
    finding = next(each for each in examine(laptop.facts()).findings if each.topic == "TDX")
    assert finding.standing is Standing.ABSENT
    assert "host" in finding.sentence


def test_inside_gramine_nothing_of_the_host_is_believed(server):
    server.write("dev/attestation/attestation_type", "dcap\0")
    found = examine(server.facts())
    assert found.usable == ("gramine",)
    assert {each.topic for each in found.findings} == {"Gramine", "simulated"}


@pytest.mark.parametrize("kind", ["none", "epid", ""])
def test_inside_gramine_without_dcap_the_manifest_line_is_named(server, kind):
    server.write("dev/attestation/attestation_type", kind)
    found = examine(server.facts())
    assert 'sgx.remote_attestation = "dcap"' in fix_of(found, "Gramine")
    assert found.usable == ()


def test_an_snp_guest_is_told_that_its_evidence_is_not_verified(laptop):
    laptop.write("dev/sev-guest")
    assert "not verified yet" in next(
        each for each in examine(laptop.facts()).findings if each.topic == "SEV-SNP"
    ).sentence  # fmt: skip


@pytest.mark.parametrize(
    ("qcnl", "words"),
    [
        (None, "no /etc/sgx_default_qcnl.conf"),
        (replace(PCCS, answers=False, failure="connection refused"), "connection refused"),
        (replace(PCCS, pccs_url=None, answers=None, problem="line 3: no URL"), "line 3"),
    ],
)
def test_a_server_whose_quotes_will_lack_a_certificate_is_told_so(server, qcnl, words):
    found = examine(server.facts(qcnl=qcnl))
    finding = next(each for each in found.findings if each.topic == "PCCS")
    assert finding.standing is Standing.MISSING
    assert words in finding.sentence


def test_nobody_claims_that_an_unasked_service_answers(server):
    found = examine(server.facts(qcnl=replace(PCCS, answers=None)))
    assert "not asked" in next(each for each in found.findings if each.topic == "PCCS").sentence


def test_an_empty_machine_is_unknown_not_a_crash(tmp_path):
    facts = gather(tmp_path, user="eve", simulated_world=None)
    assert facts.processor.sgx is None
    assert facts.kernel == "unknown"
    found = examine(facts)
    assert found.usable == ("simulated",)
    assert json.dumps({"facts": facts.to_json_object(), **found.to_json_object()})


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b":", b"flags", b"flags : " + b"sgx " * 100_000])
def test_strange_files_are_facts_like_others(tmp_path, content):
    for name in ("proc/cpuinfo", "proc/self/mounts", "etc/group", "dev/attestation/attestation_type"):
        Machine.write(type("Tree", (), {"root": tmp_path})(), name)
        (tmp_path / name).write_bytes(content)
    assert examine(gather(tmp_path, user="eve", simulated_world=None)).next_step


@pytest.mark.parametrize(
    ("release", "version"), [("6.8.0-45", (6, 8)), ("5.15", (5, 15)), ("unknown", None), ("", None), ("6", None)]
)
def test_a_kernels_version_is_its_first_two_numbers(release, version):
    assert kernel_version(release) == version


def test_dp_06_every_missing_thing_has_a_fix_and_nothing_else_has(tmp_path):
    for number, flags in enumerate(("sgx", "sgx sgx_lc", "tdx_guest", "")):
        found = examine(Machine(tmp_path / str(number), flags=flags).facts())
        for finding in found.findings:
            assert (finding.fix is not None) == (finding.standing is Standing.MISSING), finding
            assert finding.fix is None or finding.fix.endswith(".")
