"""The chart as files, and what helm renders of it."""

import pytest
import yaml

from strongroom.deploy.chart import chart_files
from strongroom.deploy.tree import under
from strongroom.deploy.writing import write


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    """Return the folder of the chart."""
    folder = tmp_path_factory.mktemp("chart")
    write(under("strongroom", chart_files()), folder)
    return folder / "strongroom"


@pytest.fixture
def rendered(helm, loaded, chart, tmp_path):
    """Return the objects that the chart renders from values."""

    def render(values, *words, name="strongroom", namespace="strongroom", kubernetes="1.30"):
        path = tmp_path / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        done = helm("template", name, chart, f"--namespace={namespace}", f"--values={path}", "--no-hooks",
                    f"--kube-version={kubernetes}", *words)  # fmt: skip
        return loaded(done.stdout)

    return render
