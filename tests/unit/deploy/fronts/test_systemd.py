"""systemd units: parsed and judged by systemd's own tools where they are, and confined everywhere."""

import configparser
import re
import shutil
import subprocess
import sys

import pytest

from strongroom.deploy.description import Description, Engine, Front, Model, Tee
from strongroom.deploy.fronts.files import fronts
from strongroom.deploy.fronts.systemd import systemd_units

UNITS = ("strongroom-broker.service", "strongroom-front.service", "strongroom-replica@.service")
WORST_EXPOSURE = 2.0  # systemd-analyze security: 10 is a service without any restriction


class Unit(configparser.RawConfigParser):
    """A unit file; a setting that comes several times is the list of its values."""

    def __init__(self, text):
        super().__init__(strict=False, dict_type=dict, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str
        seen = {}
        lines = []
        for line in text.splitlines():
            name = line.split("=", 1)[0]
            seen[name] = seen.get(name, 0) + 1
            lines.append(line if seen[name] == 1 or "=" not in line else f"{name}.{seen[name]}={line.split('=', 1)[1]}")
        self.read_string("\n".join(lines))


@pytest.fixture(params=list(Tee))
def units(request):
    return {name: content.decode() for name, content in systemd_units(Description(tee=request.param)).items()}


def test_there_is_a_unit_for_each_part(units):
    assert tuple(sorted(units)) == UNITS


@pytest.mark.parametrize("name", UNITS)
def test_dp_01_a_unit_takes_away_what_its_program_does_not_need(units, name):
    service = Unit(units[name])["Service"]
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["RestrictAddressFamilies"] == "AF_INET AF_INET6 AF_UNIX"
    assert service["LimitCORE"] == "0"


def test_a_broker_administers_on_loopback_alone():
    words = Unit(systemd_units(Description())["strongroom-broker.service"].decode())["Service"]["ExecStart"]
    assert "--admin-port 8443" in words
    assert "--admin-address" not in words


def test_a_replica_starts_its_measured_words_and_may_drain():
    service = Unit(systemd_units(Description())["strongroom-replica@.service"].decode())["Service"]
    assert service["ExecStart"].endswith("sim run --world /work/world /app/replica.manifest")
    assert int(service["TimeoutStopSec"]) > 30
    sgx = Unit(systemd_units(Description(tee=Tee.SGX))["strongroom-replica@.service"].decode())["Service"]
    assert sgx["ExecStart"] == "/usr/bin/gramine-sgx /app/model-server"
    assert sgx["DevicePolicy"] == "closed"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units_and_finds_them_little_exposed(units, tmp_path):
    for name, text in units.items():
        program = re.sub(r"^(Exec\w+)=\S+", rf"\1={sys.executable}", text, flags=re.MULTILINE)  # those are not here
        file = tmp_path / name
        file.write_text(program)
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False
        )
        assert (verified.returncode, verified.stderr) == (0, "")
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--no-pager", file],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
        assert found, judged.stderr
        assert float(found[1]) <= WORST_EXPOSURE


def test_all_files_are_there_at_their_stable_paths_whatever_stands_before_a_cluster():
    for front in Front:
        tree = fronts(Description(front=front))
        assert sorted(tree) == [
            "compose/compose.yaml",
            "compose/nginx.conf",
            "haproxy/haproxy-attested.cfg",
            "haproxy/haproxy.cfg",
            "nginx/nginx-attested.conf",
            "nginx/nginx.conf",
            *(f"systemd/{name}" for name in UNITS),
        ]
        assert tree == fronts(Description(front=front))
        assert b"PRIVATE KEY" not in b"".join(tree.values())


def test_an_older_drivers_devices_are_those_of_the_clouds_profile():
    found = fronts(Description(tee=Tee.SGX), ("/dev/sgx/enclave", "/dev/sgx/provision"))
    assert (
        b"DeviceAllow=/dev/sgx/enclave rw\nDeviceAllow=/dev/sgx/provision rw\n"
        in found["systemd/strongroom-replica@.service"]
    )
    assert b"/dev/sgx/enclave:/dev/sgx/enclave" in found["compose/compose.yaml"]


def test_tensorflow_serving_finds_its_tls_identity_where_it_was_sealed_for():
    described = Description(
        tee=Tee.SGX, engine=Engine.TENSORFLOW_SERVING, broker="b.example:4433", models=(Model(name="a", path="m/a"),)
    )
    unit = systemd_units(described)["strongroom-replica@.service"].decode()
    assert "BindReadOnlyPaths=/var/lib/strongroom-models/ssl.cfg:/ssl/a/1/ssl.cfg\n" in unit
