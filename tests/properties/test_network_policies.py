"""NetworkPolicies: rules only ever open, isolation only ever closes; and the lint takes objects of any shape."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.lint import lint
from strongroom.deploy.lint.network import Outside, Pod, allowed

NAMES = st.sampled_from(["front", "model-server", "broker"])
PORTS = st.sampled_from([443, 8080, 8500])
PODS = st.builds(lambda name, space: Pod(namespace=space, labels={"part": name}), NAMES, st.sampled_from(["a", "b"]))
PEERS = st.one_of(PODS, st.sampled_from([Outside("10.0.0.1"), Outside("192.0.2.1")]))
SELECTORS = st.one_of(st.just({}), st.builds(lambda name: {"matchLabels": {"part": name}}, NAMES))
BLOCKS = st.sampled_from([{"cidr": "10.0.0.0/8"}, {"cidr": "0.0.0.0/0", "except": ["192.0.2.0/24"]}])
SOURCES = st.one_of(
    st.builds(lambda each: {"podSelector": each}, SELECTORS),
    st.builds(lambda each: {"namespaceSelector": {}, "podSelector": each}, SELECTORS),
    st.builds(lambda each: {"ipBlock": each}, BLOCKS),
)


def rules(key):
    return st.lists(
        st.fixed_dictionaries(
            {}, optional={key: st.lists(SOURCES, max_size=2), "ports": st.lists(
                st.builds(lambda number: {"port": number}, PORTS), max_size=2)}
        ),
        max_size=2,
    )  # fmt: skip


POLICIES = st.lists(
    st.builds(
        lambda space, selector, types, ingress, egress: {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": space},
            "spec": {"podSelector": selector, "policyTypes": types, "ingress": ingress, "egress": egress},
        },
        st.sampled_from(["a", "b"]),
        SELECTORS,
        st.lists(st.sampled_from(["Ingress", "Egress"]), min_size=1, unique=True),
        rules("from"),
        rules("to"),
    ),
    max_size=4,
)


@given(POLICIES, PEERS, PEERS, PORTS)
def test_one_more_rule_opens_and_never_closes(policies, source, target, port):
    before = allowed(policies, source, target, port)
    for index in range(len(policies)):
        wider = copy.deepcopy(policies)
        wider[index]["spec"]["ingress"].append({})
        wider[index]["spec"]["egress"].append({})
        assert allowed(wider, source, target, port) >= before


@given(POLICIES, PEERS, PEERS, PORTS)
def test_isolating_every_pod_opens_nothing(policies, source, target, port):
    deny = [
        {"kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": space},
         "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
        for space in "ab"
    ]  # fmt: skip
    assert allowed([*policies, *deny], source, target, port) <= allowed(policies, source, target, port)
    if isinstance(source, Pod):
        assert not allowed(deny, source, target, port)


@given(POLICIES, PODS, PODS, PORTS)
def test_the_order_of_policies_does_not_matter(policies, source, target, port):
    assert allowed(policies, source, target, port) == allowed(policies[::-1], source, target, port)


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=8))
WORDS = st.sampled_from([
    "spec", "metadata", "template", "containers", "initContainers", "ports", "env", "rules", "selector", "volumes",
    "securityContext", "hostPath", "data", "stringData", "policyTypes", "ingress", "egress", "from", "to", "labels",
])  # fmt: skip
SHAPES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4))
KINDS = st.sampled_from(["Deployment", "Pod", "CronJob", "Service", "Secret", "ConfigMap", "NetworkPolicy", "Role",
                         "RoleBinding", "Ingress", "Gateway", "HorizontalPodAutoscaler", "PodDisruptionBudget",
                         "List"])  # fmt: skip


@given(st.lists(st.builds(lambda kind, rest: {**rest, "kind": kind}, KINDS,
                          st.dictionaries(WORDS, SHAPES, max_size=4)), max_size=3))  # fmt: skip
def test_objects_of_any_shape_are_judged(objects):
    for finding in lint(objects):
        assert finding.why
        assert finding.fix
