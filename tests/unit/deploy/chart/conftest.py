"""The chart as files, and helm to render it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from strongroom.deploy.chart import chart_files

HELM = Path(sys.executable).with_name("helm")


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    """Return the folder of the chart."""
    folder = tmp_path_factory.mktemp("chart") / "strongroom"
    for path, content in chart_files().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    """Return a function that runs helm in a home of its own."""
    home = tmp_path_factory.mktemp("helm")

    def run(*words, check=True):
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([HELM, *map(str, words)], capture_output=True, text=True, check=False, env=environment)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def rendered(helm, chart, tmp_path):
    """Return the objects that the chart renders from values."""

    def render(values, *words, name="strongroom", namespace="strongroom", kubernetes="1.30"):
        path = tmp_path / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        done = helm("template", name, chart, f"--namespace={namespace}", f"--values={path}", "--no-hooks",
                    f"--kube-version={kubernetes}", *words)  # fmt: skip
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return render
