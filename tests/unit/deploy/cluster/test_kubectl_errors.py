"""What kubectl says in each kind of trouble, recorded from kubectl 1.37 and an API server 1.20, and what it becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.cluster import kubectl_errors
from strongroom.deploy.cluster.kubectl_errors import conflicting_managers, error_of, invalid_fields, one_line

UNREACHABLE = (
    "E0301 12:00:00.000000 12 memcache.go:265] couldn't get current server API group list: Get ...\n"
    "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n"
)
INVALID = 'The Deployment "x" is invalid: spec.template.spec.containers[0].image: Required value\n'
CONFLICT = (
    'error: Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas\n'
    "Please review the fields above--they currently have other managers.\n"
)


@pytest.mark.parametrize(
    ("said", "code", "status"),
    [
        (UNREACHABLE, "SR-KUBECTL-UNREACHABLE", 4),
        ("Unable to connect to the server: dial tcp: lookup nowhere: no such host\n", "SR-KUBECTL-UNREACHABLE", 4),
        ("Error from server (ServiceUnavailable): the server is currently unable", "SR-KUBECTL-UNREACHABLE", 4),
        ('Error from server (Forbidden): pods is forbidden: User "nobody" cannot list', "SR-KUBECTL-FORBIDDEN", 3),
        ("error: You must be logged in to the server (Unauthorized)", "SR-KUBECTL-FORBIDDEN", 3),
        (INVALID, "SR-KUBECTL-INVALID", 2),
        ('error: error validating "STDIN": unknown field "spec.replica"', "SR-KUBECTL-INVALID", 2),
        (CONFLICT, "SR-KUBECTL-CONFLICT", 3),
        ('Error from server (NotFound): namespaces "x" not found', "SR-KUBECTL-NOT-FOUND", 2),
        ('error: resource mapping not found for name: "x": no matches for kind "TLSRoute"', "SR-KUBECTL-NO-KIND", 2),
        ('error: context "nowhere" does not exist', "SR-KUBECTL-CONFIG", 2),
        ("error: stat /nowhere: no such file or directory", "SR-KUBECTL-CONFIG", 2),
        ("", "SR-KUBECTL-FAILED", 2),
    ],
)
def test_each_complaint_becomes_an_error_of_the_family_whose_move_it_is(said, code, status):
    found = error_of(said, doing="kubectl get")
    assert (found.code, found.exit_status) == (code, status)
    assert found.sentence.startswith("kubectl get: ")


def test_the_managers_in_a_conflict_are_named():
    assert conflicting_managers(CONFLICT) == {"kubectl-edit"}


def test_who_stands_in_the_way_is_known_however_long_the_complaint_is():
    advice = "Please review the fields above--they currently have other managers.\n" * 20
    one = f'Apply failed with 1 conflict: conflict with "strongroom-scale" using apps/v1: .spec.replicas\n{advice}'
    two = f'Apply failed with 2 conflicts: conflicts with "somebody" using v1:\n- .spec.type\n- .spec.x\n{advice}'
    found = error_of(one + two, doing="kubectl apply")  # of several objects, without "error:"
    assert found.managers == {"strongroom-scale", "somebody"}
    assert found.sentence == (
        'kubectl apply: conflict with "strongroom-scale" using apps/v1: .spec.replicas;'
        ' conflicts with "somebody" using v1: - .spec.type - .spec.x'
    )


def test_the_field_that_the_server_does_not_take_is_named():
    assert invalid_fields(INVALID) == ("spec.template.spec.containers[0].image",)


def test_a_long_complaint_with_control_characters_is_one_bounded_line():
    found = one_line("\x1b[2J" + "a\n" * 10_000)
    assert len(found) <= kubectl_errors.MAX_SENTENCE
    assert found.isprintable()


@given(st.text())
def test_any_complaint_becomes_an_error(said):
    assert error_of(said, doing="kubectl").code.startswith("SR-KUBECTL-")
