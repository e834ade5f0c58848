"""The chart of a Spark job: the same as its plain manifests, none of the defects C1 to C6, all values checked."""

import json
import subprocess
import sys

import pytest
import yaml
from kubernetes_validate import validate

from strongroom.deploy.clouds import GENERIC, profile
from strongroom.deploy.description import Description, Role, SparkJob, Tee
from strongroom.deploy.lint import lint
from strongroom.deploy.spark import render, values
from strongroom.deploy.spark.chart import SparkTee
from strongroom.deploy.spark.words import NoSparkJob
from strongroom.sparkjobs import cluster_file

FORMS = {
    "simulated": {},
    "tdx": {"tee": Tee.TDX},
    "sgx": {"tee": Tee.SGX},
    "broker elsewhere": {"broker": "https://broker.example.com:8080"},
    "broker by its address": {"broker": "192.0.2.7:4433", "tee": Tee.TDX},
    "no data": {"pvc": ""},
}
CLOUDS = {"azure, sgx": ("azure", Tee.SGX), "azure, tdx": ("azure", Tee.TDX), "alibaba, sgx": ("alibaba", Tee.SGX)}


def named(found):
    """Returns objects by kind and name; templates as objects, and Helm as who manages them."""
    names = {}
    for each in found:
        loaded = json.loads(
            json.dumps(each).replace("strongroom\\n", "Helm\\n").replace('": "strongroom"', '": "Helm"')
        )
        if loaded["kind"] == "ConfigMap":
            loaded["data"]["executor.yaml"] = yaml.safe_load(loaded["data"]["executor.yaml"])
        names[loaded["kind"], loaded["metadata"]["name"]] = loaded
    return names


def pods_of(found, template):
    pods = [each["spec"]["template"] for each in found if each["kind"] == "Job"]
    return [*pods, *([template(found)] if any(each["kind"] == "ConfigMap" for each in found) else [])]


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@pytest.mark.parametrize("form", FORMS)
def test_the_chart_renders_the_plain_manifests(objects, plain, form):
    assert named(objects(**FORMS[form])) == named(plain(**FORMS[form]))


@pytest.mark.parametrize("form", CLOUDS)
def test_the_chart_renders_the_plain_manifests_of_a_cloud(objects, plain, form):
    cloud, tee = CLOUDS[form]
    assert named(objects(tee=tee, cloud=cloud)) == named(plain(tee=tee, cloud=cloud))


@pytest.mark.parametrize("form", FORMS)
def test_no_rule_of_the_lint_objects(objects, template, form):
    found = objects(**FORMS[form])
    executors = [template(found)] if any(each["kind"] == "ConfigMap" for each in found) else []
    findings = lint([*found, *({**each, "metadata": {**each["metadata"], "name": "x", "namespace": "strongroom"}}
                               for each in executors)])  # fmt: skip
    # Spark says how much an executor may take (K09): the template cannot.
    assert [f"{each.rule.id} {each.object}" for each in findings] == (["K09 Pod/strongroom/x"] if executors else [])


@pytest.mark.parametrize("kubernetes", ["1.25", "1.30", "1.37"])
@pytest.mark.parametrize("form", FORMS)
def test_kubernetes_own_schemas_take_every_object(objects, template, form, kubernetes):
    found = objects(**FORMS[form])
    for each in found:
        validate(each, kubernetes, strict=True)
    if any(each["kind"] == "ConfigMap" for each in found):
        validate(template(found), kubernetes, strict=True)


@pytest.mark.parametrize("tee", Tee)
def test_linters_of_charts_and_yaml_are_pleased(helm, folder, text, tmp_path, tee):
    place = folder(tee)
    helm("lint", "--strict", place / "chart", f"--values={place / 'values.yaml'}")
    (tmp_path / "out.yaml").write_text(text(tee=tee, hooks=True))
    for path in (place / "manifests").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rules = "{extends: default, rules: {line-length: disable, comments-indentation: disable}}"
    words = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_two_renderings_are_the_same_byte_for_byte(described):
    assert render(described(), GENERIC) == render(described(), GENERIC)


# What is in it


def test_the_driver_takes_what_the_clusters_side_says(objects):
    (settings,) = [each for each in objects() if each["kind"] == "ConfigMap"]
    found = cluster_file.read(settings["data"]["cluster.conf"].encode())
    assert found["spark.driver.host"] == "count-driver.strongroom.svc"
    assert found["spark.kubernetes.container.image"].startswith("registry.test/spark@sha256:")
    assert found["spark.executor.instances"] == "2"


def test_the_driver_has_the_api_servers_token_and_executors_have_none(objects, template):
    found = objects()
    (job,) = [each for each in found if each["kind"] == "Job"]
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert template(found)["spec"]["automountServiceAccountToken"] is False
    accounts = [each for each in found if each["kind"] == "ServiceAccount"]
    assert {each["metadata"]["name"] for each in accounts} == {"count-driver", "count-executor"}
    assert not any(each["automountServiceAccountToken"] for each in accounts)


def test_the_driver_may_make_executors_and_nothing_else(objects):
    (role,) = [each for each in objects() if each["kind"] in {"Role", "ClusterRole"}]
    assert role["kind"] == "Role"
    resources = {name for rule in role["rules"] for name in rule["resources"]}
    assert resources == {"pods"}
    assert all(rule["apiGroups"] == [""] for rule in role["rules"])
    (binding,) = [each for each in objects() if each["kind"] == "RoleBinding"]
    assert [each["name"] for each in binding["subjects"]] == ["count-driver"]


@pytest.mark.parametrize("form", FORMS)
def test_no_pod_has_a_secret_of_sparks_by_variable_or_by_volume(objects, template, form):
    found = objects(**FORMS[form])
    assert not [each for each in found if each["kind"] == "Secret"]
    for pod in pods_of(found, template):
        assert not [each for container in containers(pod) for each in container.get("env", [])]
        assert not [each for container in containers(pod) for each in container.get("envFrom", [])]
        mounted = {each["secret"]["secretName"] for each in pod["spec"]["volumes"] if "secret" in each}
        assert mounted <= {"strongroom-simulated-world"}  # which keeps nothing secret
    assert "AUTH_SECRET" not in json.dumps(found).upper().replace("AUTHENTICATE_SECRET", "AUTH_SECRET")


@pytest.mark.parametrize("form", FORMS)
def test_c2_c6_nothing_is_privileged_writable_or_of_the_node(objects, template, form):
    for pod in pods_of(objects(**FORMS[form]), template):
        assert not [volume for volume in pod["spec"]["volumes"] if "hostPath" in volume]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("form", ["simulated", "tdx", "no data"])
def test_a1_what_is_spilled_lies_in_memory_with_a_limit(objects, template, form):
    for pod in pods_of(objects(**FORMS[form]), template):
        for volume in pod["spec"]["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["medium"] == "Memory"
                assert volume["emptyDir"]["sizeLimit"]
        places = {each["mountPath"] for container in pod["spec"]["containers"] for each in container["volumeMounts"]}
        assert "/dev/shm" in places


def test_c1_the_service_means_the_driver_alone(objects, template):
    found = objects()
    (service,) = [each for each in found if each["kind"] == "Service"]
    selector = service["spec"]["selector"].items()
    assert [selector <= pod["metadata"]["labels"].items() for pod in pods_of(found, template)] == [True, False]
    assert service["spec"]["clusterIP"] == "None"


def test_c4_every_size_comes_from_the_values(objects, template):
    found = objects("--set=executor.instances=7,executor.cores=3,executor.localDirs=3Gi,driver.memory=9Gi,pvc=other")
    (settings,) = [each for each in found if each["kind"] == "ConfigMap"]
    assert "spark.executor.instances 7\n" in settings["data"]["cluster.conf"]
    assert "spark.executor.cores 3\n" in settings["data"]["cluster.conf"]
    driver, executor = pods_of(found, template)
    assert driver["spec"]["containers"][0]["resources"]["limits"]["memory"] == "9Gi"
    assert executor["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] == "3Gi"
    assert executor["spec"]["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "other"}


def test_executors_may_have_an_image_of_their_own(objects, template):
    found = objects("--set=executor.image=registry.test/other:1")
    (settings,) = [each for each in found if each["kind"] == "ConfigMap"]
    assert cluster_file.read(settings["data"]["cluster.conf"].encode())["spark.kubernetes.container.image"] == (
        "registry.test/other:1"
    )
    driver, executor = pods_of(found, template)
    assert {each["image"] for each in containers(executor)} == {"registry.test/other:1"}
    assert all(each["image"].startswith("registry.test/spark@sha256:") for each in containers(driver))


def test_a_release_of_another_name_has_its_own_objects(helm, folder):
    place = folder()
    said = helm("template", "other", place / "chart", f"--values={place / 'values.yaml'}", "--namespace=ns").stdout
    names = {each["metadata"]["name"] for each in yaml.safe_load_all(said) if each}
    assert all(name.startswith("other-") for name in names)
    assert "spark.driver.host other-driver.ns.svc" in said


# TEEs


def test_in_an_enclave_the_whole_job_runs_and_makes_no_pods(objects):
    found = objects(tee=Tee.SGX)
    assert {each["kind"] for each in found} == {"ServiceAccount", "Job", "NetworkPolicy"}
    (job,) = [each for each in found if each["kind"] == "Job"]
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"][:2] == ["sh", "-c"]
    assert "gramine-sgx /app/spark-driver" in container["command"][2]
    assert container["command"][-4:] == ["--master", "local[1]", "--name", "count"]
    assert container["resources"]["limits"] == {
        "cpu": "2", "memory": "2Gi", "sgx.intel.com/epc": "64Mi", "sgx.intel.com/enclave": "1",
        "sgx.intel.com/provision": "1",
    }  # fmt: skip
    assert spec["automountServiceAccountToken"] is False


def test_c8_a_preflight_job_looks_at_the_node_before_anything_is_installed(objects):
    found = objects(tee=Tee.SGX, hooks=True)
    (job,) = [each for each in found if each["metadata"]["name"] == "count-preflight"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "platform"
    assert [f"{each.rule.id} {each.object}" for each in lint(found)] == []
    for version in ("1.25", "1.37"):
        validate(job, version, strict=True)
    assert len([each for each in objects(hooks=True) if each["kind"] == "Job"]) == 1


def test_a_trust_domain_has_its_runtime_class_and_its_words_in_the_pod(objects, template):
    found = objects(tee=Tee.TDX, cloud="azure")
    driver, executor = pods_of(found, template)
    for pod in (driver, executor):
        assert pod["spec"].get("runtimeClassName") == profile("azure").tdx_runtime_class
        assert "initContainers" not in pod["spec"]
    words = driver["spec"]["containers"][0]["command"]
    assert words[-4:] == ["--cluster-file=/settings/cluster.conf", "/app/job/count.py", "/data/people", "out"]
    launch = executor["spec"]["containers"][0]["command"]
    assert "strongroom.analytics.agent.executor" in launch[launch.index("--") :]


def test_the_simulated_platform_launches_what_is_measured_in_the_image(objects, template):
    driver, executor = pods_of(objects(), template)
    assert driver["spec"]["containers"][0]["command"][-1] == "/app/spark-driver.manifest"
    assert executor["spec"]["containers"][0]["command"][-1] == "/app/spark-executor.manifest"


def test_the_seeds_sizes_are_asked_for(objects, folder):
    place = folder(Tee.SGX)
    found = objects(f"--values={place / 'chart/values-seed.yaml'}", tee=Tee.SGX)
    (job,) = [each for each in found if each["kind"] == "Job"]
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["memory"], limits["sgx.intel.com/epc"]) == ("32Gi", "32Gi")


# Values


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("enclaveKeysPath=/keys/enclave-key.pem", "never enters a cluster"),
        ("dataPath=/data", "no folder of a node enters a pod"),
        ("kubeconfigPath=/root/.kube/config", "service account"),
        ("jar=local:///x.jar", "the program is measured"),
        ("class=a.B", "the program is measured"),
        ("k8sMaster=k8s://https://10.0.0.1:6443", "the cluster that it runs in"),
        ("networkPolicy.enabled=false", "policies are part of the job"),
    ],
    ids=lambda value: value.partition("=")[0] if "=" in value else None,
)
def test_names_of_the_guide_are_refused_with_the_reason(helm, folder, setting, reason):
    done = helm("template", "count", folder() / "chart", f"--set={setting}", check=False)
    assert done.returncode != 0
    assert reason in done.stderr


def test_names_of_the_guide_are_taken_where_they_change_nothing(helm, folder):
    same = "--set=k8sMaster=k8s://https://kubernetes.default.svc,jar=,dataPath=,pvc=nfsvolumeclaim"
    assert "nfsvolumeclaim" in helm("template", "count", folder() / "chart", same).stdout


@pytest.mark.parametrize(
    "words",
    ["privileged=true", "tee=none", "image=UPPER", "executor.cores=0", "executor.instances=0", "driver.env=x",
     "executor.memoryOverhead=lots", "placement.hostPath=/", "attestation.broker=http://broker:8080", "pvc=../x",
     "global.insecure=true", "executor.javaOptions=-javaagent"],
)  # fmt: skip
def test_what_is_not_named_or_not_possible_is_refused(helm, folder, words):
    assert helm("template", "count", folder() / "chart", f"--set={words}", check=False).returncode != 0


@pytest.mark.parametrize("name", ["values.yaml", "values-small.yaml", "values-seed.yaml"])
def test_values_files_stay_within_the_schema(helm, folder, name):
    helm("template", "count", folder() / "chart", f"--values={folder() / 'chart' / name}")


def test_what_no_tee_can_run_is_said(described):
    with pytest.raises(SparkTee) as refused:
        values(described(Tee.SGX, spark=SparkJob(program="a.py")), GENERIC)
    assert refused.value.code == "SR-SPARK-CHART-TEE"
    job = SparkJob(program="a.jar", main_class="A", report="/data/report")
    with pytest.raises(SparkTee, match="writes no report"):
        values(described(Tee.SGX, spark=job), GENERIC)
    with pytest.raises(NoSparkJob) as missing:
        render(Description(images={Role.SPARK: "x"}), GENERIC)
    assert missing.value.code == "SR-SPARK-CHART-JOB"
