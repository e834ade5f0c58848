"""strongroom deploy render as an owner runs it: a workspace, a published model, one command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

STRONGROOM = Path(sys.executable).with_name("strongroom")
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f1"


def run(*words, cwd, status=0):
    done = subprocess.run([STRONGROOM, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def owner(tmp_path):
    run("init", "strongroom-workspace", cwd=tmp_path)
    settings = tmp_path / "strongroom-workspace/strongroom.toml"
    table = '\n[deploy]\nreplicas = 2\nkubernetes = "1.25"\n\n[[deploy.model]]\nname = "resnet50"\n'
    settings.write_text(settings.read_text() + table)
    return tmp_path


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_command_writes_everything_and_says_what_comes_next(owner):
    done = run("deploy", "render", cwd=owner)
    assert "strongroom deploy build" in done.stdout
    assert "strongroom deploy apply" in done.stdout
    assert "K08" in done.stderr
    found = files(owner / "deploy")
    (deployment,) = [
        each for each in yaml.safe_load_all(found["kubernetes/05-model-server.yaml"]) if each["kind"] == "Deployment"
    ]
    assert deployment["spec"]["replicas"] == 2
    assert (owner / "strongroom-workspace/ca/ca_cert.pem").read_text() in found["kubernetes/03-trust.yaml"].decode(
    ).replace("    ", "")  # fmt: skip


def test_another_folder_and_another_time_give_the_same_bytes(owner):
    run("deploy", "render", "--out", "one", cwd=owner)
    run("deploy", "render", "--out", owner / "deep/two", cwd=owner)
    assert files(owner / "one") == files(owner / "deep/two")


def test_a_machine_may_read_what_was_written_and_removed(owner):
    first = json.loads(run("deploy", "render", "--json", cwd=owner).stdout)
    assert set(first["written"]) == files(owner / "deploy").keys() - {".strongroom-rendered"}
    settings = owner / "strongroom-workspace/strongroom.toml"
    settings.write_text(settings.read_text().replace("replicas = 2", 'front = "none"'))
    second = json.loads(run("deploy", "render", "--json", cwd=owner).stdout)
    assert any(path.endswith("-front.yaml") for path in second["removed"])
    assert files(owner / "deploy").keys() - {".strongroom-rendered"} == set(second["written"])


def test_an_older_cluster_gets_the_versions_that_it_knows(owner):
    run("deploy", "render", "--kubernetes", "1.20", cwd=owner)
    assert b"policy/v1beta1" in (owner / "deploy/kubernetes/07-scaling.yaml").read_bytes()
    run("deploy", "render", "--kubernetes", "1.19", cwd=owner, status=1)


def test_dp_03_a_key_in_the_settings_is_refused_and_nothing_is_written(owner):
    settings = owner / "strongroom-workspace/strongroom.toml"
    settings.write_text(settings.read_text().replace("replicas = 2", f'version = "{KEY}"'))
    done = run("deploy", "render", cwd=owner, status=3)
    assert "SR-RENDER-SECRET" in done.stderr
    assert KEY not in done.stderr
    assert not (owner / "deploy").exists()


def test_a_folder_of_somebody_else_is_left_alone(owner):
    (owner / "deploy").mkdir()
    (owner / "deploy/notes.txt").write_text("mine")
    assert "SR-RENDER-FOLDER" in run("deploy", "render", cwd=owner, status=3).stderr
    assert files(owner / "deploy") == {"notes.txt": b"mine"}
