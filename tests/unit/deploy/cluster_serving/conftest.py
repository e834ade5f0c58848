"""The queue's chart as files, and helm to render it."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.cluster_serving.chart import render
from strongroom.deploy.description import Description, Model, Role, Tee

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HELM = Path(sys.executable).with_name("helm")
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

    def write(tee=Tee.SIMULATED, runner="process"):
        folder = tmp_path_factory.mktemp("queue")
        for path, content in render(described(tee), GENERIC, runner=runner).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder

    return write


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    """Runs helm in a home of its own."""
    home = tmp_path_factory.mktemp("helm")

    def run(*words, check=True):
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([HELM, *map(str, words)], capture_output=True, text=True, check=False, env=environment)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


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


@pytest.fixture(scope="session")
def objects(text):
    """Returns the same as objects."""

    def load(*words, **more):
        return [each for each in yaml.load_all(text(*words, **more), LOADER) if each]

    return load
