"""The queue's chart as files, and what helm renders of it."""

from functools import cache

import pytest

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.cluster_serving.chart import render
from strongroom.deploy.description import Description, Model, Role, Tee
from strongroom.deploy.writing import write

IMAGES = {
    role: f"registry.test/{role}@sha256:{number:064x}"
    for number, role in enumerate(
        (Role.STREAMING_WORKER, Role.QUEUE_FRONTEND, Role.REDIS, Role.FLINK, Role.MODELS), start=10**60
    )
}


@pytest.fixture(scope="session")
def described():
    """Makes a description with pinned images."""

    def make(tee=Tee.SIMULATED, **words):
        return Description(tee=tee, models=(Model(name="resnet", path="models/resnet"),), images=IMAGES, **words)

    return make


@pytest.fixture(scope="session")
def tree(tmp_path_factory, described):
    """Returns a folder with the rendered tree of a TEE."""

    def rendered(tee=Tee.SIMULATED, runner="process"):
        folder = tmp_path_factory.mktemp("queue")
        write(render(described(tee), GENERIC, runner=runner), folder)
        return folder

    return rendered


@pytest.fixture(scope="session")
def folder(tree):
    """The rendered tree of simulated TEEs."""
    return tree()


@pytest.fixture(scope="session")
def text(helm, folder):
    """Returns what the chart renders with these settings, as text; each form once."""

    @cache
    def render_with(*words, kubernetes="1.30", hooks=True):
        more = [] if hooks else ["--no-hooks"]
        return helm("template", "queue", folder / "chart", "--namespace=ns", f"--values={folder / 'values.yaml'}",
                    f"--kube-version={kubernetes}", *more, *words).stdout  # fmt: skip

    return render_with
