"""Whatever a Spark chart's schema lets through, the driver takes; whatever else is in its file, it does not."""

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.spark.words import cluster_file
from strongroom.sparkjobs.cluster_file import ClusterFileRefused, read

SCHEMA = json.loads((files("strongroom.deploy.spark") / "chart/values.schema.json").read_text())
FORMS = SCHEMA["definitions"]
EXECUTOR = SCHEMA["properties"]["executor"]["properties"]


def text(form):
    """Returns texts of one of the schema's forms."""
    return st.from_regex(FORMS[form]["pattern"].removesuffix("$"), fullmatch=True)


def number(name):
    """Returns numbers that the schema allows."""
    return st.integers(EXECUTOR[name]["minimum"], EXECUTOR[name]["maximum"])


SIZES = st.fixed_dictionaries(
    {"instances": number("instances"), "cores": number("cores"), "cpu": text("cpu"), "cpuLimit": text("cpu"),
     "memoryOverhead": text("sparkSize")}
)  # fmt: skip
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


@given(sizes=SIZES, name=NAMES, namespace=NAMES, image=text("image"))
def test_the_driver_takes_every_file_that_the_chart_can_say(sizes, name, namespace, image):
    found = read(cluster_file(sizes, name=name, namespace=namespace, image=image).encode())
    assert found["spark.kubernetes.container.image"] == image
    assert found["spark.executor.instances"] == str(sizes["instances"])
    assert found["spark.kubernetes.executor.limit.cores"] == sizes["cpuLimit"]
    assert found["spark.driver.host"] == f"{name}-driver.{namespace}.svc"


@given(name=st.from_regex(r"spark\.[a-zA-Z.]{1,40}", fullmatch=True), value=st.sampled_from(["true", "1", "/x", "a"]))
def test_a_setting_more_is_one_of_the_short_list_or_refused(name, value):
    usual = {"instances": 1, "cores": 1, "cpu": "1", "cpuLimit": "1", "memoryOverhead": "1g"}
    text = cluster_file(usual, name="a", namespace="b", image="c")
    try:
        found = read(f"{text}{name} {value}\n".encode())
    except ClusterFileRefused as problem:
        assert problem.code == "SR-SPARK-CLUSTER-FILE"
    else:
        assert name in read(text.encode()) or set(found) - set(read(text.encode())) == {name}
        assert name.startswith(("spark.kubernetes.", "spark.executor.", "spark.driver.host"))


@pytest.mark.parametrize(
    "line",
    ["spark.driver.extraClassPath /data/evil.jar", "spark.driver.extraJavaOptions -javaagent:/data/x.jar",
     "spark.kubernetes.file.upload.path s3://x", "spark.jars /data/x.jar", "spark.authenticate false",
     "spark.kubernetes.executor.secrets.x /x", "spark.kubernetes.executor.secretKeyRef.X y:z",
     "spark.kubernetes.driver.pod.excludedFeatureSteps a.B", "spark.executorEnv.A b"],
    ids=lambda line: line.split()[0],
)  # fmt: skip
def test_the_clusters_side_chooses_no_code_and_no_place_of_secrets(line):
    with pytest.raises(ClusterFileRefused):
        read(f"{line}\n".encode())
