"""What applying changes, field by field, and what has to go."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.cluster.changes import Change, Fate, change_of, differences, gone, key, waves


def deployment(replicas=1, image="x:v1", **meta):
    template = {"spec": {"containers": [{"name": "m", "image": image}]}}
    meta = {"name": "x", **meta}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": {"replicas": replicas, "template": template}}  # fmt: skip


def test_a_change_names_the_field_and_both_values():
    found = change_of(deployment(4), deployment(1, "x:v2"))
    assert found.fate is Fate.CHANGED
    assert found.fields == ("spec.replicas: 4 -> 1", "spec.template.spec.containers[m].image: x:v1 -> x:v2")


def test_what_only_the_server_writes_is_no_change():
    live = {**deployment(resourceVersion="7", managedFields=[1], generation=3), "status": {"replicas": 1}}
    assert change_of(live, deployment()).fate is Fate.SAME


def test_what_is_not_there_is_new():
    assert change_of(None, deployment()) == Change(kind="Deployment", name="x", fate=Fate.NEW)


def test_the_values_of_a_secret_are_never_shown():
    old = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"root.pem": "QUJD"}}
    new = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"root.pem": "REVG"}}
    assert change_of(old, new).fields == ("data.root.pem: changes",)


def test_many_changes_are_cut_and_counted():
    old = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {str(n): "a" for n in range(40)}}
    new = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {str(n): "b" for n in range(40)}}
    assert change_of(old, new).fields[-1] == "and 28 more"


def test_what_is_no_longer_rendered_goes_but_not_what_something_else_owns():
    owned = {**deployment(), "metadata": {"name": "owned", "ownerReferences": [{"kind": "HorizontalPodAutoscaler"}]}}
    old = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "old"}}
    assert gone([deployment(), owned, old], [deployment()]) == (old,)


def test_another_version_of_an_api_is_the_same_object():
    one = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}}
    assert key(one) == key({**one, "apiVersion": "policy/v1"})


def test_the_namespace_is_applied_first():
    space = {"kind": "Namespace", "metadata": {"name": "n"}}
    assert list(waves([deployment(), space])) == [(space,), (deployment(),)]


VALUES = st.recursive(st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=12)  # fmt: skip


@given(VALUES)
def test_nothing_differs_from_itself(value):
    assert list(differences(value, value)) == []


@given(VALUES, VALUES)
def test_what_is_not_equal_differs(one, other):
    assert bool(list(differences(one, other))) is (one != other)
