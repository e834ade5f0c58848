"""Who may connect to whom: a port matrix over policies that are written out (threat DP-10)."""

import pytest

from strongroom.deploy.lint.network import Outside, Pod, allowed

SERVER = Pod(namespace="serving", labels={"part": "model-server"}, ports={"grpc": 8500, "health": 8502})
FRONT = Pod(namespace="serving", labels={"part": "front"}, address="10.1.2.3")
BROKER = Pod(namespace="serving", labels={"part": "broker"}, ports={"kbs": 8080, "admin": 8443})
DNS = Pod(namespace="kube-system", labels={"k8s-app": "kube-dns"})
OTHER = Pod(namespace="other", labels={"part": "front"}, namespace_labels={"team": "blue"})
NODE, INTERNET = Outside("192.168.7.1"), Outside("203.0.113.9")


def policy(part, *, namespace="serving", **spec):
    selector = {"matchLabels": {"part": part}} if part else {}
    return {"kind": "NetworkPolicy", "metadata": {"name": part or "all", "namespace": namespace},
            "spec": {"podSelector": selector, **spec}}  # fmt: skip


def pods(part):
    return {"podSelector": {"matchLabels": {"part": part}}}


def port(number, **more):
    return {"protocol": "TCP", "port": number, **more}


POLICIES = [
    policy("", policyTypes=["Ingress", "Egress"]),
    policy("front", policyTypes=["Ingress", "Egress"], ingress=[{"ports": [port(8500)]}],
           egress=[{"to": [pods("model-server")], "ports": [port("grpc")]}]),
    policy("model-server", policyTypes=["Ingress", "Egress"],
           ingress=[{"from": [pods("front")], "ports": [port(8500)]},
                    {"from": [{"ipBlock": {"cidr": "192.168.0.0/16", "except": ["192.168.9.0/24"]}}],
                     "ports": [port("health")]}],
           egress=[{"to": [pods("broker")], "ports": [port(8080)]},
                   {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
                    "ports": [port(53), {"protocol": "UDP", "port": 53}]}]),
    policy("broker", ingress=[{"from": [pods("model-server")], "ports": [port("kbs")]}]),
]  # fmt: skip

MATRIX = [
    (INTERNET, FRONT, 8500, True), (INTERNET, FRONT, 8502, False), (OTHER, FRONT, 8500, True),
    (FRONT, SERVER, 8500, True), (FRONT, SERVER, 8501, False), (FRONT, BROKER, 8080, False),
    (SERVER, BROKER, 8080, True), (SERVER, BROKER, 8443, False), (SERVER, INTERNET, 443, False),
    (SERVER, DNS, 53, True), (SERVER, FRONT, 8500, False), (NODE, SERVER, 8502, True), (NODE, SERVER, 8500, False),
    (Outside("192.168.9.4"), SERVER, 8502, False), (OTHER, SERVER, 8500, False), (INTERNET, BROKER, 8080, False),
    (BROKER, INTERNET, 443, False), (DNS, SERVER, 8500, False), (OTHER, INTERNET, 25, True),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "number", "verdict"), MATRIX)
def test_dp_10_the_port_matrix(source, target, number, verdict):
    assert allowed(POLICIES, source, target, number) is verdict


def test_dp_10_protocols_differ():
    assert allowed(POLICIES, SERVER, DNS, 53, "UDP")
    assert not allowed(POLICIES, SERVER, BROKER, 8080, "UDP")


def test_without_policies_everything_is_allowed():
    assert allowed([], INTERNET, BROKER, 8443)


@pytest.mark.parametrize(
    ("peer", "verdict"),
    [
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, False),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}, True),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}, False),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}}, True),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["red"]}]}}, False),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Perhaps"}]}}, False),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"part": "other"}}}, False),
        ({"namespaceSelector": {}}, True),
        ({"ipBlock": {"cidr": "not an address"}}, False),
        ({}, False),
    ],
)
def test_selectors_of_peers(peer, verdict):
    policies = [policy("broker", ingress=[{"from": [peer]}])]
    assert allowed(policies, OTHER, BROKER, 8080) is verdict


def test_a_range_of_ports():
    policies = [policy("broker", ingress=[{"ports": [port(8000, endPort=8100)]}])]
    assert [allowed(policies, OTHER, BROKER, each) for each in (7999, 8000, 8100, 8101)] == [False, True, True, False]


def test_a_policy_without_types_limits_egress_only_where_it_says_something_of_it():
    assert allowed([policy("broker", ingress=[])], BROKER, INTERNET, 443)
    assert not allowed([policy("broker", egress=[])], BROKER, INTERNET, 443)
    assert not allowed([policy("broker")], FRONT, BROKER, 8080)
