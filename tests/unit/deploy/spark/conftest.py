"""A Spark job's chart as files, and what helm renders of it."""

from functools import cache

import pytest
import yaml

from strongroom.deploy.clouds import profile
from strongroom.deploy.description import Description, Role, SparkJob, Tee
from strongroom.deploy.spark import render
from strongroom.deploy.writing import write

IMAGE = f"registry.test/spark@sha256:{10**60:064x}"
JOB = SparkJob(name="count", keys=("people", "pay"), program="jobs/count.py", arguments=("/data/people", "out"))
JAR = SparkJob(name="count", program="jobs/count.jar", main_class="test.Count")


@pytest.fixture(scope="session")
def described():
    """Makes a description of a job with a pinned image."""

    def make(tee=Tee.SIMULATED, **words):
        usual = {"spark": JAR if tee is Tee.SGX else JOB, "images": {Role.SPARK: IMAGE}}
        return Description(tee=tee, **{**usual, **words})

    return make


@pytest.fixture(scope="session")
def folder(tmp_path_factory, described):
    """Returns the rendered tree of a TEE, in a folder; each once."""

    @cache
    def rendered(tee=Tee.SIMULATED, cloud="generic", pvc="people", **words):
        place = tmp_path_factory.mktemp("spark")
        write(render(described(tee, **words), profile(cloud), pvc=pvc), place)
        return place

    return rendered


@pytest.fixture(scope="session")
def text(helm, folder):
    """Returns what the chart of a TEE renders with these settings, as text; each form once."""

    @cache
    def render_with(*words, tee=Tee.SIMULATED, hooks=False, **more):
        words += () if hooks else ("--no-hooks",)
        place = folder(tee, **more)
        return helm("template", "count", place / "chart", "--namespace=strongroom", f"--values={place / 'values.yaml'}",
                    "--kube-version=1.30", *words).stdout  # fmt: skip

    return render_with


@pytest.fixture(scope="session")
def plain(folder, loaded):
    """Returns the plain manifests of a TEE as objects."""

    def load(tee=Tee.SIMULATED, **more):
        places = sorted((folder(tee, **more) / "manifests").iterdir())
        return [each for place in places for each in loaded(place.read_text())]

    return load


@pytest.fixture(scope="session")
def template():
    """Returns the executors' pod out of a job's objects."""

    def find(found):
        (settings,) = [each for each in found if each["kind"] == "ConfigMap"]
        return yaml.safe_load(settings["data"]["executor.yaml"])

    return find
