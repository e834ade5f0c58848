"""What the cluster's side may say of a job: which images and how many, and nothing that changes what the job does."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.sparkjobs import cluster_file
from strongroom.sparkjobs.cluster_file import ClusterFileRefused

GOOD = f"""\
spark.kubernetes.namespace jobs
spark.kubernetes.container.image registry:5000/strongroom-spark@sha256:{"0a" * 32}
spark.kubernetes.executor.podTemplateFile /settings/executor.yaml
spark.kubernetes.executor.podNamePrefix job
spark.kubernetes.executor.limit.cores 1500m
spark.kubernetes.executor.label.app.kubernetes.io/instance job
spark.kubernetes.node.selector.sgx present
spark.driver.host job-driver.jobs.svc
spark.executor.instances 2
spark.executor.memoryOverhead 512m
"""


def test_images_names_and_numbers_are_the_clusters():
    settings = cluster_file.read(GOOD.encode())
    assert settings["spark.executor.instances"] == "2"
    assert settings["spark.kubernetes.executor.label.app.kubernetes.io/instance"] == "job"
    assert len(settings) == 10


@pytest.mark.parametrize(
    "line",
    [
        "spark.driver.extraClassPath /evil.jar", "spark.executor.extraJavaOptions -javaagent:/evil.jar",
        "spark.plugins evil.Plugin", "spark.jars /evil.jar", "spark.pyspark.python /evil", "spark.authenticate false",
        "spark.kubernetes.driver.volumes.hostPath.x.mount.path /", "spark.executorEnv.LD_PRELOAD /evil.so",
        "spark.kubernetes.authenticate.oauthToken x", "spark.hadoop.strongroom.agent /evil", "spark.sql.x y",
        "spark.driver.host evil host", "spark.executor.instances -1", "spark.kubernetes.container.image a b",
        "spark.kubernetes.executor.podTemplateFile http://evil/x", "spark.kubernetes.executor.label. x",
        "spark.kubernetes.executor.label.a/b/c x", "spark.kubernetes.node.selector.x {{evil}}",
    ],
)  # fmt: skip
def test_an_07_nothing_else_is(line):
    with pytest.raises(ClusterFileRefused) as refused:
        cluster_file.read(f"{GOOD}{line}\n".encode())
    assert refused.value.code == "SR-SPARK-CLUSTER-FILE"


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_an_error_of_ours(data):
    with contextlib.suppress(StrongroomError):
        cluster_file.read(data)
