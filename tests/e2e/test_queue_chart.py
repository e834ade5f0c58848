"""From an empty folder to a chart that may be installed, with the commands a person types; nothing readable leaves."""

import base64
import json

import pytest
import yaml


@pytest.fixture(scope="module")
def folder(tmp_path_factory, typed):
    """A workspace with keys, the two Secrets and the chart."""
    place = tmp_path_factory.mktemp("owner")
    typed(place, "init")
    with (place / "strongroom-workspace/strongroom.toml").open("a") as file:
        file.write('\n[deploy]\nnamespace = "serving"\n[[deploy.model]]\nname = "resnet"\n')
    typed(place, "keys", "generate", "--domain", "serving.svc.cluster.local")
    typed(place, "keys", "password")
    typed(place, "queue", "chart", "--out", "queue")
    return place


def test_what_is_rendered_passes_the_lint_of_the_command_line(folder, helm, typed):
    chart = folder / "queue" / "chart"
    rendered = helm("template", "queue", chart, "--values", chart / "values-small.yaml",
                    "--values", folder / "queue" / "values.yaml", "--namespace", "serving")  # fmt: skip
    (folder / "rendered.yaml").write_text(rendered.stdout)
    found = typed(folder, "deploy", "lint", "rendered.yaml", "--json", "--accept", "K08")  # tags, not digests
    said = json.loads(found.stdout)
    assert not [each for each in said["findings"] if each["level"] == "error"]


def test_the_same_workspace_renders_the_same_bytes(folder, typed):
    before = {path: path.read_bytes() for path in (folder / "queue").rglob("*") if path.is_file()}
    typed(folder, "queue", "chart", "--out", "queue")
    assert before == {path: path.read_bytes() for path in (folder / "queue").rglob("*") if path.is_file()}
    said = json.loads(typed(folder, "queue", "chart", "--out", "other", "--json").stdout)
    assert "chart/templates/taskmanager-statefulset.yaml" in said["files"]
    typed(folder, "queue", "chart", "--out", "another", "--runner", "flink", status=3)


def test_kd_24_no_secret_is_in_anything_that_goes_to_the_cluster(folder):
    secrets = [path.read_bytes() for path in (folder / "keys").rglob("*.key") if ".." not in path.parts[-2]]
    secrets += [path.read_bytes() for path in (folder / "keys").rglob("redis.password")]
    assert len(secrets) > 10
    leaving = [path.read_bytes() for path in (folder / "queue").rglob("*") if path.is_file()]
    for name in ("keys/keys.yaml", "password/password.yaml"):
        for document in yaml.safe_load_all((folder / name).read_text()):
            leaving += [base64.b64decode(each) for each in document["data"].values()]
    everything = b"\n".join(leaving)
    for secret in secrets:
        assert secret not in everything


def test_a_folder_with_other_files_is_left_alone(folder, typed):
    (folder / "mine").mkdir()
    (folder / "mine/values.yaml").write_text("mine")
    assert typed(folder, "queue", "chart", "--out", "mine", status=3).stdout == ""
    assert (folder / "mine/values.yaml").read_text() == "mine"
