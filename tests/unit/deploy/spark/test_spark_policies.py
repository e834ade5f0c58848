"""Who may connect to whom in a job, asked of the policies themselves."""

import pytest

from strongroom.deploy.description import Tee
from strongroom.deploy.lint.network import Outside, Pod, allowed

LABEL = "app.kubernetes.io"
API_SERVER = Outside("10.96.0.1")
DNS = Pod(namespace="kube-system", labels={"k8s-app": "kube-dns"})
STRANGER = Pod(namespace="strongroom", labels={"app": "x"})


def pod(component, instance="count"):
    return Pod(namespace="strongroom", labels={f"{LABEL}/instance": instance, f"{LABEL}/component": component})


DRIVER, EXECUTOR, BROKER = pod("driver"), pod("executor"), pod("broker", "strongroom")
OTHERS = {"driver": pod("driver", "other"), "executor": pod("executor", "other")}
OPEN = [
    (EXECUTOR, DRIVER, 7078), (EXECUTOR, DRIVER, 7079), (DRIVER, EXECUTOR, 7079), (EXECUTOR, EXECUTOR, 7079),
    (DRIVER, BROKER, 8080), (EXECUTOR, BROKER, 8080), (DRIVER, API_SERVER, 443), (DRIVER, API_SERVER, 6443),
]  # fmt: skip
CLOSED = [
    (EXECUTOR, API_SERVER, 443), (EXECUTOR, API_SERVER, 6443), (DRIVER, EXECUTOR, 7078), (EXECUTOR, DRIVER, 4440),
    (STRANGER, DRIVER, 7078), (STRANGER, EXECUTOR, 7079), (DRIVER, STRANGER, 80), (EXECUTOR, STRANGER, 80),
    (OTHERS["executor"], DRIVER, 7078), (OTHERS["driver"], EXECUTOR, 7079), (DRIVER, Outside("192.0.2.1"), 80),
    (EXECUTOR, Outside("192.0.2.1"), 443), (DRIVER, BROKER, 8443),
]  # fmt: skip


@pytest.mark.parametrize("tee", [Tee.SIMULATED, Tee.TDX])
def test_dp_10_parts_reach_what_they_need_and_nothing_else(objects, tee):
    found = objects(tee=tee)
    assert [one for one in OPEN if not allowed(found, *one)] == []
    assert [one for one in CLOSED if allowed(found, *one)] == []
    for source in (DRIVER, EXECUTOR):
        assert allowed(found, source, DNS, 53, "UDP")


def test_dp_10_an_enclave_reaches_the_broker_alone(objects):
    found = objects(tee=Tee.SGX)
    assert allowed(found, DRIVER, BROKER, 4433)
    assert not allowed(found, DRIVER, API_SERVER, 443)
    assert not allowed(found, EXECUTOR, DRIVER, 7078)


def test_dp_10_a_broker_elsewhere_is_reached_at_its_port(objects):
    found = objects(broker="192.0.2.7:4433", tee=Tee.TDX)
    assert allowed(found, EXECUTOR, Outside("192.0.2.7"), 4433)
    assert not allowed(found, EXECUTOR, Outside("192.0.2.8"), 4433)
    assert not [each for each in found if each["metadata"]["name"].endswith("-to-broker")]
