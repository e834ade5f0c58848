"""Who may connect to whom, decided as Kubernetes decides it, on a matrix of peers and ports (threat DP-10)."""

import itertools

import pytest

from strongroom.deploy.description import Autoscaling, Front, Tee
from strongroom.deploy.lint.network import Outside, Pod, allowed

NAMESPACE = "strongroom"
SCALED = Autoscaling(least=1, most=4, requests_in_flight=8)
PORTS = (53, 443, 4433, 6443, 8080, 8081, 8443, 8500, 8501, 8502)


def pod(component, namespace=NAMESPACE, **labels):
    ours = {"app.kubernetes.io/instance": "strongroom", "app.kubernetes.io/component": component}
    return Pod(namespace=namespace, labels={**ours, **labels})


def stranger(namespace=NAMESPACE, **labels):
    return Pod(namespace=namespace, labels=labels)


PEERS = {
    "replica": pod("model-server"),
    "broker": pod("broker"),
    "front": pod("front"),
    "adapter": pod("metrics-adapter"),
    "admin": stranger(**{"strongroom/broker-admin": "true"}),
    "dns": stranger("kube-system", **{"k8s-app": "kube-dns"}),
    "prometheus": stranger("monitoring"),
    "neighbour": stranger(),
    "impostor": pod("model-server", namespace="other"),
    "internet": Outside("203.0.113.9"),
}


def matrix(policies):
    """Return (from, to, port) of everything that passes between different peers, one of them ours."""
    ours = ("replica", "broker", "front", "adapter")
    return {
        (one, other, port)
        for (one, source), (other, target), port in itertools.product(PEERS.items(), PEERS.items(), PORTS)
        if one != other and (one in ours or other in ours) and allowed(policies, source, target, port)
    }


def with_dns(*rows):
    return {*rows, *((each, "dns", 53) for each in ("replica", "broker", "front", "adapter"))}


INSIDE = {
    ("front", "replica", 8500), ("front", "replica", 8501), ("prometheus", "replica", 8501),
    ("replica", "broker", 8080), ("replica", "broker", 4433), ("admin", "broker", 8443),
    ("prometheus", "broker", 8443), ("adapter", "replica", 8502), ("adapter", "internet", 443),
    ("adapter", "internet", 6443),
}  # fmt: skip
TO_THE_FRONT = {(each, "front", port) for each in ("neighbour", "impostor", "internet", "prometheus", "dns", "admin")
                for port in (8500, 8501)}  # fmt: skip
TO_THE_ADAPTER = {
    (each, "adapter", 6443) for each in ("neighbour", "impostor", "internet", "prometheus", "dns", "admin")
}


def test_dp_10_nothing_passes_but_what_is_named(built):
    found = matrix(built(autoscaling=SCALED))
    assert found == with_dns() | INSIDE | TO_THE_FRONT | TO_THE_ADAPTER


def test_dp_10_only_the_broker_reaches_collateral_and_only_with_real_tees(built):
    def outward(tee):
        return {(one, port) for one, other, port in matrix(built(tee=tee)) if other == "internet" and one != "adapter"}

    assert outward(Tee.SIMULATED) == set()
    assert outward(Tee.SGX) == outward(Tee.TDX) == {("broker", 443), ("broker", 8081)}


@pytest.mark.parametrize(
    ("broker", "address", "passes"),
    [
        ("10.1.2.3:4433", "10.1.2.3", True),
        ("10.1.2.3:4433", "10.1.2.4", False),
        ("https://broker.example.com:4433", "203.0.113.9", True),  # a policy cannot name a host
    ],
)
def test_dp_10_a_broker_outside_is_all_that_replicas_reach_there(built, broker, address, passes):
    policies = built(broker=broker)
    assert allowed(policies, PEERS["replica"], Outside(address), 4433) is passes
    assert not allowed(policies, PEERS["replica"], Outside(address), 443)


@pytest.mark.parametrize("front", [Front.NONE, Front.INGRESS, Front.GATEWAY])
def test_dp_10_without_our_front_only_clients_and_the_controller_reach_replicas(built, front):
    policies = built(front=front)
    controllers = {
        Front.NONE: [],
        Front.INGRESS: [stranger("ingress-nginx")],
        Front.GATEWAY: [
            stranger("nginx-gateway"),
            stranger(**{"gateway.networking.k8s.io/gateway-name": "strongroom-front"}),
        ],
    }
    may = [stranger("elsewhere", **{"strongroom/client": "true"}), *controllers[front]]
    assert all(allowed(policies, each, PEERS["replica"], 8500) for each in may)
    may_not = [stranger(), stranger("elsewhere"), Outside("203.0.113.9"), pod("front")]
    assert not any(allowed(policies, each, PEERS["replica"], 8500) for each in may_not)


def test_dp_10_autoscaling_reaches_the_health_port_of_replicas_alone_behind_any_front(built):
    for front in Front:
        policies = built(front=front, autoscaling=SCALED)
        reached = [port for port in PORTS if allowed(policies, PEERS["adapter"], PEERS["replica"], port)]
        assert reached == [8502]  # how busy they are, and nothing else
