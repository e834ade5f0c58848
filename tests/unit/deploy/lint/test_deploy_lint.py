"""The verb: files in, sentences or JSON out, and a status that a pipeline can stop at."""

import io
import json
import sys

import pytest
import yaml

from strongroom.cli import main


@pytest.fixture
def manifest(tmp_path, sound):
    def write(name="all.yaml", objects=sound):
        path = tmp_path / name
        path.write_text(yaml.safe_dump_all(objects))
        return str(path)

    return write


def test_sound_manifests_pass(manifest, capsys):
    assert main(["deploy", "lint", "--production", manifest()]) == 0
    assert capsys.readouterr().out == "6 objects: 0 errors, 0 warnings\n"


def test_an_error_is_printed_and_stops_the_pipeline(manifest, container, capsys):
    container["securityContext"]["privileged"] = True
    assert main(["deploy", "lint", manifest()]) == 2
    out, err = capsys.readouterr()
    assert "Deployment/serving/serving-model-server: error K01 spec.template.spec.containers[0]" in out
    assert "SR-DEPLOY-LINT" in err


def test_nothing_in_a_manifest_moves_the_cursor(manifest, container, capsys):
    container["securityContext"]["privileged"] = True
    container["image"] = container["name"] = "a\x1b[2Jb"
    assert main(["deploy", "lint", manifest()]) == 2
    assert "\x1b" not in capsys.readouterr().out


def test_files_are_judged_together(manifest, sound):
    parts = [manifest(f"{index}.yaml", [each]) for index, each in enumerate(sound)]
    assert main(["deploy", "lint", *parts]) == 0
    assert main(["deploy", "lint", *parts[1:]]) == 2


def test_a_warning_counts_in_production_unless_it_is_accepted(manifest, container):
    container["image"] = "registry.test/server:1"
    path = manifest()
    assert main(["deploy", "lint", path]) == 0
    assert main(["deploy", "lint", "--production", path]) == 2
    assert main(["deploy", "lint", "--production", "--accept", "K08", path]) == 0


def test_json_for_machines_from_standard_input(container, sound, capsys, monkeypatch):
    container["securityContext"]["privileged"] = True
    text = yaml.safe_dump_all(sound).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main(["deploy", "lint", "--json", "-"]) == 2
    result = json.loads(capsys.readouterr().out)
    assert (result["objects"], result["errors"], result["findings"][0]["rule"]) == (6, 1, "K01")


def test_rules_are_listed(capsys):
    assert main(["deploy", "lint", "--rules"]) == 0
    assert capsys.readouterr().out.startswith("K00  error ")


def test_an_unknown_rule_or_nothing_to_lint_is_misuse():
    assert main(["deploy", "lint"]) == 1
    assert main(["deploy", "lint", "--accept", "K99", "x.yaml"]) == 1
