"""Running kubectl: programs that exist, no stand-ins; tests/e2e/test_deploy_cluster_api.py has an API server."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.deploy.cluster.kubectl import Kubectl, read_object, run
from strongroom.deploy.cluster.kubectl_errors import (
    AnswerMalformed,
    ClusterUnreachable,
    KubectlConfig,
    KubectlFailed,
    KubectlMissing,
)

KUBECTL = Kubectl(namespace="here", program=str(Path(sys.executable).parent / "kubectl"))


def test_a_program_that_is_not_there_is_named_with_how_to_get_it():
    with pytest.raises(KubectlMissing, match="no program 'kubectl-of-nobody'") as caught:
        replace(KUBECTL, program="kubectl-of-nobody").run("version")
    assert caught.value.code == "SR-KUBECTL-MISSING"


def test_a_kubeconfig_that_is_not_there_is_the_callers_to_correct():
    with pytest.raises(KubectlConfig) as caught:
        replace(KUBECTL, kubeconfig=Path("/nowhere/config")).run("get", "pods")
    assert caught.value.code == "SR-KUBECTL-CONFIG"


def test_a_program_that_hangs_is_ended():
    with pytest.raises(ClusterUnreachable, match="did not end within"):
        run([sys.executable, "-c", "import time; time.sleep(600)"], doing="waiting", timeout_s=0.2)


def test_what_a_program_complains_of_is_in_the_error():
    with pytest.raises(KubectlFailed, match="trying: it hurts") as caught:
        run([sys.executable, "-c", "import sys; sys.exit('it hurts')"], doing="trying", timeout_s=30)
    assert caught.value.code == "SR-KUBECTL-FAILED"


def test_standard_input_goes_in_and_nothing_else():
    program = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"]
    assert run(program, doing="x", given=b"abc", timeout_s=30) == b"cba"
    assert run(program, doing="x", given=None, timeout_s=30) == b""


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 1000, b'{"a": NaN}'])
def test_an_answer_that_is_no_strict_json_object_is_refused(answer):
    with pytest.raises(AnswerMalformed) as caught:
        read_object(answer, what="the answer")
    assert caught.value.code == "SR-KUBECTL-ANSWER"


def test_options_name_cluster_and_namespace_and_nothing_secret():
    found = replace(KUBECTL, context="mine", kubeconfig=Path("/k")).options()
    assert found == ["--context=mine", "--kubeconfig=/k", "--namespace=here"]


def test_what_is_given_to_a_program_lies_in_memory_and_on_no_disk():
    said = run(["readlink", "/proc/self/fd/0"], doing="readlink", given=b"a key", timeout_s=30)
    assert said.startswith(b"/memfd:")
