"""The chart renders the same objects as the plain manifests, and refuses values that would loosen anything."""

import itertools
import json
import re
import shutil
import tarfile
from dataclasses import replace

import pytest
import yaml
from kubernetes_validate import validate

from strongroom import __version__
from strongroom.deploy.chart import chart_files, values
from strongroom.deploy.clouds import GENERIC, profile
from strongroom.deploy.description import SIZES, Autoscaling, Description, Engine, Front, Model, Role, Size, Tee
from strongroom.deploy.kubernetes import objects
from strongroom.deploy.lint import lint

PUBLIC = {"ca_cert.pem": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", "owner_public.pem": "x\n"}
SCALED = Autoscaling(least=2, most=9, requests_in_flight=16)
MODELS = (Model(name="resnet", path="models/resnet"), Model(name="other", path="models/other"))
OUTSIDE, BY_ADDRESS = "https://broker.example.com:8080", "192.0.2.7:4433"

# Every pair of values of any two of these stands in one of the cases.
CASES = [
    ("generic", Tee.SIMULATED, Front.NGINX, None, None, (1, 30), 0),
    ("generic", Tee.SGX, Front.INGRESS, OUTSIDE, SCALED, (1, 20), 1),
    ("generic", Tee.TDX, Front.GATEWAY, BY_ADDRESS, None, (1, 20), 2),
    ("generic", Tee.TDX, Front.NONE, None, SCALED, (1, 30), 1),
    ("azure", Tee.SIMULATED, Front.INGRESS, BY_ADDRESS, SCALED, (1, 22), 2),
    ("azure", Tee.SGX, Front.NGINX, OUTSIDE, None, (1, 30), 1),
    ("azure", Tee.TDX, Front.NONE, None, None, (1, 20), 0),
    ("aks", Tee.SGX, Front.GATEWAY, None, SCALED, (1, 30), 0),
    ("aks", Tee.SIMULATED, Front.NONE, OUTSIDE, None, (1, 20), 1),
    ("aks", Tee.TDX, Front.NGINX, BY_ADDRESS, SCALED, (1, 25), 1),
    ("alibaba", Tee.SGX, Front.NONE, BY_ADDRESS, None, (1, 30), 2),
    ("alibaba", Tee.SIMULATED, Front.GATEWAY, OUTSIDE, SCALED, (1, 24), 0),
    ("alibaba", Tee.TDX, Front.INGRESS, None, None, (1, 30), 1),
    ("tencent", Tee.SIMULATED, Front.NGINX, BY_ADDRESS, SCALED, (1, 20), 1),
    ("tencent", Tee.SGX, Front.INGRESS, None, None, (1, 21), 0),
    ("tencent", Tee.TDX, Front.GATEWAY, OUTSIDE, SCALED, (1, 37), 2),
    ("bytedance", Tee.SGX, Front.NGINX, None, SCALED, (1, 20), 2),
    ("bytedance", Tee.SIMULATED, Front.GATEWAY, BY_ADDRESS, None, (1, 23), 1),
    ("bytedance", Tee.TDX, Front.INGRESS, OUTSIDE, None, (1, 30), 0),
]  # fmt: skip


def described(*case):
    cloud, tee, front, broker, scaling, kubernetes, models = case
    return Description(
        name="serving", namespace="ml-prod", cloud=cloud, tee=tee, front=front, broker=broker, autoscaling=scaling,
        kubernetes=kubernetes, models=MODELS[:models], replicas=3, host="grpc.serving.test",
        size=Size.SEED, resources=SIZES[Size.SEED],
        images={Role.MODEL_SERVER: "registry.test/m@sha256:" + "ab" * 32},
    )  # fmt: skip


def by_identity(found):
    """Return objects by what identifies them; who manages them differs by nature."""
    named = {}
    for each in found:
        metadata = each["metadata"]
        key = each["apiVersion"], each["kind"], metadata.get("namespace"), metadata["name"]
        assert key not in named
        named[key] = json.loads(json.dumps(each).replace('managed-by": "strongroom"', 'managed-by": "Helm"'))
    return named


def spelled(value):
    return json.dumps(value, indent=1, sort_keys=True)


def same(rendered, description, cloud):
    version = ".".join(map(str, description.kubernetes))
    found = rendered(
        values(description, cloud, PUBLIC), "--set=namespace.create=true", name=description.name,
        namespace=description.namespace, kubernetes=version,
    )  # fmt: skip
    ours, theirs = by_identity(objects(description, cloud, PUBLIC)), by_identity(found)
    assert sorted(map(str, theirs)) == sorted(map(str, ours))
    for key, value in ours.items():
        assert spelled(theirs[key]) == spelled(value), key
    assert not re.search(r"@[A-Z]+@", json.dumps(found))  # every mark has been replaced
    assert {each.rule.id for each in lint(found)} <= {"K08"}  # threat DP-01: only tags are found, as warnings


@pytest.mark.parametrize("case", CASES, ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in CASES])
def test_dp_01_the_chart_renders_the_objects_of_the_plain_manifests(rendered, case):
    description = described(*case)
    same(rendered, description, profile(description.cloud))


def test_the_cases_cover_every_pair():
    # Kubernetes' versions are grouped by what they change: 1.21, 1.23, 1.25.
    rows = [(*case[:5], sum(case[5] >= each for each in ((1, 21), (1, 23), (1, 25))), case[6]) for case in CASES]
    for a, b in itertools.combinations(range(4), 2):
        wanted = set(itertools.product({row[a] for row in rows}, {row[b] for row in rows}))
        missing = wanted - {(row[a], row[b]) for row in rows}
        assert len(missing) <= len(wanted) // 4, missing


def test_tensorflow_serving_and_small_fronts(rendered):
    tensorflow = replace(described(*CASES[5]), engine=Engine.TENSORFLOW_SERVING)
    same(rendered, tensorflow, profile("azure"))
    same(rendered, replace(tensorflow, front=Front.NONE, models=MODELS), profile("azure"))
    same(rendered, replace(described(*CASES[0]), size=Size.SMALL, resources=SIZES[Size.SMALL]), GENERIC)


def test_a_socket_of_the_node_is_mounted_where_a_profile_needs_it(rendered):
    description = described(*CASES[1])
    cloud = replace(
        GENERIC, aesmd_socket="/var/run/aesmd", node_selector={"sgx": "true"},
        tolerations=({"key": "sgx", "operator": "Exists", "effect": "NoSchedule"},),
    )  # fmt: skip
    same(rendered, description, cloud)
    same(rendered, replace(description, broker=None), cloud)


def test_names_that_yaml_takes_for_something_else(rendered):
    same(rendered, replace(described(*CASES[0]), name="null", namespace="123"), GENERIC)
    same(rendered, replace(described(*CASES[1]), name="yes", namespace="0x10"), GENERIC)


def test_the_charts_own_values_are_those_of_an_empty_description():
    assert yaml.safe_load(chart_files()["values.yaml"]) == values(Description(), GENERIC)


@pytest.mark.parametrize("case", [CASES[3], CASES[4]], ids=lambda each: str(each[1]))
@pytest.mark.parametrize("version", ["1.25", "1.30", "1.37"])
def test_objects_are_valid_for_old_and_new_clusters(rendered, case, version):
    description = described(*case)
    wanted = values(description, profile(description.cloud), PUBLIC)
    for each in rendered(wanted, "--set=namespace.create=true", kubernetes=version):
        if not each["apiVersion"].startswith(("gateway.", "apiregistration.")):  # schemas of neither are at hand
            validate(each, version, strict=True)


def test_the_chart_has_the_version_of_the_product():
    chart = yaml.safe_load(chart_files()["Chart.yaml"])
    assert chart["version"] == chart["appVersion"] == __version__


def test_helm_lints_it_strictly(helm, chart, tmp_path):
    helm("lint", "--strict", chart)
    helm("lint", "--strict", chart, f"--values={chart / 'values-small.yaml'}")
    path = tmp_path / "values.yaml"
    for case in CASES[:4]:
        path.write_text(yaml.safe_dump(values(described(*case), GENERIC, PUBLIC)))
        helm("lint", "--strict", chart, f"--values={path}")


def test_small_values_ask_for_less(rendered, chart):
    small = rendered(values(Description(), GENERIC), f"--values={chart / 'values-small.yaml'}")
    (server,) = (each for each in small if each["kind"] == "Deployment" and "model-server" in each["metadata"]["name"])
    assert server["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "50m"


def test_packing_it_twice_packs_the_same_files(helm, chart, tmp_path):
    found = []
    for folder in ("first", "second"):
        helm("package", chart, f"--destination={tmp_path / folder}")
        with tarfile.open(tmp_path / folder / "strongroom-0.1.0.tgz") as archive:
            found.append({each.name: archive.extractfile(each).read() for each in archive})
    assert found[0] == found[1]  # helm itself writes the time of packing into the archive
    names = {name.removeprefix("strongroom/") for name in found[0]}
    assert names == set(chart_files()) - {".helmignore"} | ({".helmignore"} & names)


LOOSENED = [
    "securityContext.privileged=true", "privileged=true", "networkPolicy.enabled=false", "hostNetwork=true",
    "resources.limits.memory=1Gi", "images.sidecar=busybox", "podSecurity=baseline", "tls.enabled=false",
    "autoscaling.insecureSkipTLSVerify=true", "placement.hostPath=/", "aesmdFolder=/etc", "tee=none",
    "front=http", "broker=http://broker:8080", "global.insecure=true", "images.front=", "namespace.enforce=privileged",
]  # fmt: skip


@pytest.mark.parametrize("setting", LOOSENED)
def test_dp_13_unknown_or_loosening_values_are_refused(helm, chart, setting):
    done = helm("template", "x", chart, f"--set={setting}", check=False)
    assert done.returncode != 0
    assert "schema" in done.stderr or "don't meet" in done.stderr


def test_dp_03_a_private_key_is_no_public_file(helm, chart, tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({"trust": {"key.pem": "-----BEGIN PRIVATE KEY-----\nx\n"}}))
    assert "don't meet" in helm("template", "x", chart, f"--values={path}", check=False).stderr


def test_values_that_contradict_each_other_are_refused(helm, chart):
    for words in (["--set=engine=tensorflow-serving"], ["--set=aesmdFolder=/var/run/aesmd"]):
        assert helm("template", "x", chart, *words, check=False).returncode != 0
    helm("template", "x", chart, "--set=engine=tensorflow-serving,tee=sgx")


@pytest.mark.parametrize("name", ["1st", "a" * 41])
def test_a_release_whose_services_could_not_be_called_so_is_refused(helm, chart, name):
    done = helm("template", name, chart, check=False)
    assert "at most 40 characters, a letter first" in done.stderr


def test_an_old_cluster_is_refused(helm, chart):
    done = helm("template", "x", chart, "--kube-version=1.19", check=False)
    assert "incompatible" in done.stderr


@pytest.mark.parametrize("front", [Front.NGINX, Front.NONE])
def test_helm_test_asks_for_a_certificate_and_is_allowed_nothing(helm, chart, front):
    done = helm(
        "template", "x", chart, f"--set=front={front.value}", "--namespace=ns", "--show-only=templates/tests/front.yaml"
    )
    pod = yaml.safe_load(done.stdout)
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["command"][-3] == ("x-front" if front is Front.NGINX else "x-model-server")
    assert {each.rule.id for each in lint([pod])} == {"K08", "K20"}  # it belongs to no deployment, so to no policy
    validate(pod, "1.30", strict=True)


@pytest.mark.parametrize(
    ("case", "said"),
    [(CASES[0], "kubectl -n ml-prod create secret generic serving-simulated-world"), (CASES[1], OUTSIDE),
     (CASES[3], "has to be attested itself"), (CASES[4], "one adapter for external metrics")],
)  # fmt: skip
def test_notes_say_what_to_do_next(helm, chart, tmp_path, case, said):
    copy = tmp_path / "strongroom"
    shutil.copytree(chart, copy)  # helm template leaves notes out, so they are rendered as a template here
    (copy / "notes.txt").write_text((copy / "templates" / "NOTES.txt").read_text())
    (copy / "templates" / "notes.yaml").write_text('notes: {{ tpl (.Files.Get "notes.txt") . | toJson }}')
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values(described(*case), GENERIC)))
    words = ("--namespace=ml-prod", f"--values={path}", "--show-only=templates/notes.yaml")
    notes = yaml.safe_load(helm("template", "serving", copy, *words).stdout)["notes"]
    assert said in notes
    assert ("IT PROTECTS NOTHING" in notes) == (case[1] is Tee.SIMULATED)
