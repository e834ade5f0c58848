"""A driver in a pod: what it tells Spark of itself and of its executors, with the cluster's own words held apart."""

import os
from pathlib import Path

import pytest

from strongroom.analytics.agent.agent import serving
from strongroom.analytics.agent.tokens import TOKENS_VARIABLE
from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.storage import SHARED_MEMORY
from strongroom.analytics.submit import pods, preparing, submitting
from strongroom.analytics.submit.preparing import Wanted, prepare
from strongroom.datasets.key_ring import KeyRing
from strongroom.secret import Secret
from strongroom.sparkjobs import defaults_file
from strongroom.sparkjobs.cluster_file import ClusterFileRefused
from strongroom.sparkjobs.flags import parse

MASTER = "k8s://https://kubernetes.default.svc"


@pytest.fixture
def folder(monkeypatch):
    pytest.importorskip("pyspark")
    monkeypatch.setattr(preparing, "build", lambda sources: sources / "gateway.jar")
    made = SessionFolder.create(insecure=True)
    yield made
    made.remove()


@pytest.fixture
def prepared(folder, tmp_path):
    secret = tmp_path / "spark"
    secret.write_text("5d" * 32)
    secret.chmod(0o600)

    def make(**wanted):
        prepare(folder, Wanted(master=MASTER, secret_file=str(secret), application="5e55", **wanted), {})
        return defaults_file.parse((folder.path / "conf/spark-defaults.conf").read_bytes())

    return make


def test_a_driver_in_a_pod_says_which_pod_it_is_so_that_its_executors_go_with_it(prepared, tmp_path, monkeypatch):
    (tmp_path / "token").touch()
    monkeypatch.setattr(pods, "ACCOUNT", tmp_path)
    monkeypatch.setattr(preparing.socket, "gethostname", lambda: "job-driver-x7k2p")
    settings = prepared()
    assert settings["spark.kubernetes.driver.pod.name"] == "job-driver-x7k2p"
    assert settings["spark.authenticate.application"] == "5e55"
    assert settings["spark.authenticate.secret.executor.file"] == "/run/strongroom/spark/secret"


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="there is no folder in memory")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_driver_has_its_agents_form_of_sparks_secret_as_its_executors_have(folder, tmp_path, is_there):
    keys = RingKeys([KeyRing.fresh("people")])
    with serving(keys, job_secret=Secret(bytes(range(32))), application="5e55") as held:
        own = held.variables[TOKENS_VARIABLE]
        if not is_there:
            Path(own).unlink()
        wanted = Wanted(master=MASTER, secret_file=str(held.secret_file), application="5e55")
        others = {TOKENS_VARIABLE: str(tmp_path / "of-others")}
        environ = prepare(folder, wanted, {**os.environ, **others}).environ
        assert environ.get(TOKENS_VARIABLE) == (own if is_there else None)


def test_a_driver_elsewhere_has_no_pod(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "ACCOUNT", tmp_path)
    assert "spark.kubernetes.driver.pod.name" not in prepared()


def submission(tmp_path, text):
    (tmp_path / "cluster.conf").write_text(text)
    words = ["--master", MASTER, "--deploy-mode", "client", "--driver-memory", "1g", "--executor-memory", "1g",
             "--cluster-file", str(tmp_path / "cluster.conf"), "--conf", "spark.executor.instances=2",
             "app.py"]  # fmt: skip
    return parse(words)


def test_measured_words_win_over_the_clusters(tmp_path):
    job = submission(tmp_path, "spark.executor.instances 9\nspark.kubernetes.namespace jobs\n")
    wanted = submitting._wanted(job, {}, "5e55")
    assert wanted.settings["spark.executor.instances"] == "2"
    assert wanted.settings["spark.kubernetes.namespace"] == "jobs"
    assert wanted.application == "5e55"


def test_an_07_the_clusters_file_cannot_bring_code(tmp_path):
    with pytest.raises(ClusterFileRefused, match=r"spark\.jars"):
        submitting._wanted(submission(tmp_path, "spark.jars /evil.jar\n"), {}, "")
