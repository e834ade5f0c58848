"""The queue's chart: the guide's shape, none of its defects (C1 to C8), every value checked, the same bytes again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import validate

from strongroom.deploy.clouds import GENERIC, profile
from strongroom.deploy.cluster_serving.chart import QueueTee, render, values
from strongroom.deploy.description import Role, Tee
from strongroom.deploy.lint import lint

PLACES = Path(__file__).parents[4] / "src/strongroom/deploy/cluster_serving/chart"
FORMS = {
    "as it comes": (),
    "small": (f"--values={PLACES / 'values-small.yaml'}",),
    "seed": (f"--values={PLACES / 'values-seed.yaml'}",),
    "flink, nonsgx": ("--set=runner=flink,sgx.mode=nonsgx",),
    "flink, deployment, nonsgx": ("--set=runner=flink,taskmanager.kind=Deployment,sgx.mode=nonsgx",),
    "sgx, many": (
        "--set=sgx.mode=sgx,master.replicas=3,frontend.replicas=3,attestation.broker=broker.example.com:8080",
    ),
}
WORKLOADS = {"Deployment", "StatefulSet", "Job"}


def pods_of(found):
    return [(each, each["spec"]["template"]) for each in found if each["kind"] in WORKLOADS]


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@pytest.mark.parametrize("form", FORMS)
def test_no_rule_of_the_lint_objects(objects, form):
    findings = lint(objects(*FORMS[form]))
    assert [f"{each.rule.id} {each.object} {each.why}" for each in findings] == []


@pytest.mark.parametrize("kubernetes", ["1.25", "1.30", "1.37"])
@pytest.mark.parametrize("form", FORMS)
def test_kubernetes_own_schemas_take_every_object(objects, form, kubernetes):
    for each in objects(*FORMS[form]):
        validate(each, kubernetes, strict=True)


@pytest.mark.parametrize("form", FORMS)
def test_linters_of_charts_and_yaml_are_pleased(helm, folder, text, tmp_path, form):
    helm("lint", "--strict", folder / "chart", *FORMS[form])
    (tmp_path / "out.yaml").write_text(text(*FORMS[form]))
    yamllint = Path(sys.executable).with_name("yamllint")
    rules = "{extends: default, rules: {line-length: {max: 200}}}"
    done = subprocess.run([yamllint, "--strict", "-d", rules, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_two_renderings_are_the_same_byte_for_byte(described, text):
    assert render(described(), GENERIC) == render(described(), GENERIC)
    assert text() == text("--set=runner=process")


# The shape of the guide


def test_templates_and_names_are_the_guides(folder, objects):
    names = {path.name for path in (folder / "chart/templates").iterdir()}
    assert names >= {"flink-configuration-configmap.yaml", "jobmanager-deployment.yaml", "jobmanager-service.yaml",
                     "taskmanager-statefulset.yaml", "taskmanager-deployment.yaml", "master-deployment.yaml",
                     "redis-service.yaml"}  # fmt: skip
    found = {(each["kind"], each["metadata"]["name"]) for each in objects(*FORMS["seed"])}
    assert found >= {
        ("ConfigMap", "flink-config"), ("Deployment", "flink-jobmanager"), ("Service", "flink-jobmanager"),
        ("Service", "flink-taskmanager-headless-svc"), ("StatefulSet", "flink-taskmanager"),
        ("Deployment", "master-deployment"), ("Service", "redis-service"),
    }  # fmt: skip


def test_the_configmap_says_what_the_guides_said(objects):
    found = next(each for each in objects(*FORMS["seed"]) if each["metadata"]["name"] == "flink-config")
    assert found["data"] == {
        "flink.jobmanager.ip": "flink-jobmanager", "taskmanager.memory.managed.size": "4gb",
        "taskmanager.memory.task.heap.size": "5gb", "xmx.size": "5g", "taskmanager.rpc.port": "6125", "sgx.mode": "sgx",
    }  # fmt: skip


def test_the_seeds_sizes_are_asked_for(objects):
    found = {each["metadata"]["name"]: pod for each, pod in pods_of(objects(*FORMS["seed"]))}
    wanted = {
        "flink-jobmanager": ("2", "16Gi"),
        "flink-taskmanager": ("16", "32Gi"),
        "master-deployment": ("12", "32Gi"),
    }
    for name, (cpu, memory) in wanted.items():
        limits = found[name]["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {"cpu": cpu, "memory": memory, "sgx.intel.com/epc": memory, "sgx.intel.com/enclave": "1",
                          "sgx.intel.com/provision": "1"}  # fmt: skip
        assert found[name]["spec"]["tolerations"] == [
            {"key": "sgx.intel.com/epc", "operator": "Exists", "effect": "NoSchedule"}
        ]
    taskmanager = found["flink-taskmanager"]["spec"]["containers"][0]["env"]
    environ = {each["name"]: each.get("value") for each in taskmanager}
    assert (environ["CORE_NUM"], environ["SGX_MEM_SIZE"]) == ("16", "32G")
    assert {"POD_NAME", "FLINK_JOB_MANAGER_IP"} <= set(environ)


def test_a_mode_decides_what_a_container_starts(objects):
    started = {}
    for mode in ("sgx", "nonsgx", "simulated"):
        for each, pod in pods_of(objects(f"--set=sgx.mode={mode}", hooks=False)):
            started[mode, each["metadata"]["name"]] = pod["spec"]["containers"][0]["command"]
    assert started["sgx", "master-deployment"] == ["gramine-sgx", "/app/queue-worker"]
    assert started["simulated", "master-deployment"][-4:] == [
        "run",
        "--world",
        "/work/world",
        "/app/queue-worker.manifest",
    ]
    clear = started["nonsgx", "master-deployment"]
    assert clear[-4:] == ["queue", "serve", "-c", "/settings/config.yaml"]
    assert "--clear" in clear


def test_on_flink_the_master_hands_over_as_many_workers_as_there_are_slots(objects):
    found = objects("--set=runner=flink,sgx.mode=nonsgx,taskmanager.replicas=3,taskmanager.coreNum=2")
    pods = {each["metadata"]["name"]: (each, pod["spec"]) for each, pod in pods_of(found)}
    master, spec = pods["master-deployment"]
    container = spec["containers"][0]
    assert container["command"][-4:] == [
        "--parallelism=$(PARALLELISM)", "--health-bind=0.0.0.0", "--health-port=8502", "--flink=/opt/strongroom",
    ]  # fmt: skip
    assert {"name": "PARALLELISM", "value": "6"} in container["env"]
    assert (master["spec"]["replicas"], master["spec"]["strategy"]) == (1, {"type": "Recreate"})
    secrets = {name: {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
               for name, (_, pod) in pods.items()}  # fmt: skip
    assert secrets["master-deployment"] == {"ssl-keys-flink-client"}
    assert secrets["flink-taskmanager"] == {"ssl-keys-taskmanager", "ssl-keys-worker", "ssl-password"}
    worker = pods["flink-taskmanager"][1]
    assert [each["name"] for each in worker["initContainers"]] == ["models"]
    assert {"name": "models", "mountPath": "/models", "readOnly": True} in worker["containers"][0]["volumeMounts"]


def test_without_a_tee_the_worker_names_no_broker(objects):
    (settings,) = [each for each in objects("--set=sgx.mode=nonsgx") if each["metadata"]["name"] == "queue-settings"]
    assert "broker" not in settings["data"]["config.yaml"]


# Defects of the original


@pytest.mark.parametrize("form", FORMS)
def test_c1_every_selector_means_exactly_one_workload(objects, form):
    found = objects(*FORMS[form], hooks=False)
    labels = {each["metadata"]["name"]: pod["metadata"]["labels"] for each, pod in pods_of(found)}
    selectors = [each["spec"]["selector"] for each in found if each["kind"] == "Service"]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in found if each["kind"] in WORKLOADS]
    for selector in selectors:
        matched = [name for name, own in labels.items() if selector.items() <= own.items()]
        assert len(matched) == 1, (selector, matched)


@pytest.mark.parametrize("form", FORMS)
def test_c2_c6_nothing_is_privileged_writable_or_of_the_node(objects, form):
    for _, pod in pods_of(objects(*FORMS[form])):
        assert not [volume for volume in pod["spec"].get("volumes", []) if "hostPath" in volume]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in context


@pytest.mark.parametrize("form", FORMS)
def test_c3_every_container_that_stays_is_probed_and_ends_when_its_program_does(objects, form):
    for each, pod in pods_of(objects(*FORMS[form], hooks=False)):
        for container in pod["spec"]["containers"]:
            assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container), each["metadata"]["name"]
            assert "tail" not in container["command"]


def test_c4_every_size_and_port_comes_from_the_values(objects):
    found = objects(
        "--set=sgx.mode=nonsgx,redis.port=7000,frontend.httpsPort=443,redis.maxmemory=99mb,redis.storage=3Gi"
    )
    ports = {each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in found if each["kind"] == "Service"}
    assert (ports["redis-service"], ports["frontend-service"]) == (7000, 443)
    settings = next(each for each in found if each["metadata"]["name"] == "queue-settings")
    assert settings["data"]["maxmemory"] == "99mb\n"
    assert "rediss://redis-service:7000/0" in settings["data"]["config.yaml"]
    redis = next(each for each in found if each["kind"] == "StatefulSet")
    assert redis["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "3Gi"


@pytest.mark.parametrize("form", FORMS)
def test_c5_each_part_has_a_secret_of_its_own_read_only_and_for_its_user_alone(objects, form):
    mine = {}
    for each, pod in pods_of(objects(*FORMS[form], hooks=False)):
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o400
                if volume["secret"]["secretName"].startswith("ssl-keys"):
                    mine.setdefault(volume["secret"]["secretName"], []).append(each["metadata"]["name"])
        for container in containers(pod):
            for mounted in container.get("volumeMounts", []):
                if mounted["name"].startswith(("keys-", "password", "simulated-world")):
                    assert mounted["readOnly"]
    assert all(len(owners) == 1 for owners in mine.values())
    assert "ssl-keys" not in mine


def test_c8_a_preflight_job_looks_at_the_node_before_anything_is_installed(objects):
    (job,) = [each for each in objects(*FORMS["seed"]) if each["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "platform"
    assert not [each for each in objects() if each["kind"] == "Job"]


def test_no_object_of_the_chart_holds_a_secret(objects):
    for form in FORMS.values():
        assert not [each for each in objects(*form) if each["kind"] == "Secret"]


# Values


def test_the_path_of_the_enclave_key_is_refused_with_the_reason(helm, folder):
    done = helm("template", "queue", folder / "chart", "--set=enclaveKeysPath=/keys/enclave-key.pem", check=False)
    assert done.returncode != 0
    assert "the key that signs enclaves never enters a cluster" in done.stderr
    helm("template", "queue", folder / "chart", "--set=startAllButFlinkPath=/path/start-all-but-flink.sh")


@pytest.mark.parametrize(
    "words",
    ["privileged=true", "sgx.mode=none", "redis.maxmemory=lots", "image=UPPER", "networkPolicy.egress=true",
     "master.cpu=0", "taskmanager.kind=DaemonSet", "runner=spark", "secrets.keys=../x", "frontend.plain=true",
     "redis.port=7000", "runner=flink"],
)  # fmt: skip
def test_what_is_not_named_or_not_possible_is_refused(helm, folder, words):
    assert helm("template", "queue", folder / "chart", f"--set={words}", check=False).returncode != 0


@pytest.mark.parametrize("name", ["values.yaml", "values-small.yaml", "values-seed.yaml"])
def test_values_files_stay_within_the_schema(helm, folder, name):
    helm("template", "queue", folder / "chart", f"--values={folder / 'chart' / name}")
    assert json.loads((folder / "chart/values.schema.json").read_text())["additionalProperties"] is False


def test_the_values_of_a_workspace_pin_images_and_name_broker_and_tee(described):
    found = values(described(Tee.SGX, broker="https://broker.example.com:8080"), profile("azure"))
    assert found["image"] == described().image(Role.STREAMING_WORKER)
    assert "@sha256:" in found["images"]["redis"]
    assert found["attestation"]["broker"] == "https://broker.example.com:8080"
    assert found["sgx"] == {"mode": "sgx"}
    assert values(described(), GENERIC)["sgx"] == {"mode": "simulated"}
    with pytest.raises(QueueTee) as refused:
        values(described(Tee.TDX), GENERIC)
    with pytest.raises(QueueTee, match="below a JVM"):
        values(described(), GENERIC, runner="flink")
    assert values(described(), GENERIC, runner="flink", mode="nonsgx")["sgx"] == {"mode": "nonsgx"}
    assert refused.value.code == "SR-QUEUE-CHART-TEE"


def test_a_description_of_values_is_yaml_that_says_so(folder):
    assert yaml.safe_load((folder / "values.yaml").read_text())["runner"] == "process"
