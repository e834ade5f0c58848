"""Every rule on a sound deployment with one thing changed, and all of them on one as the guides have it."""

import base64
import itertools

import pytest

from strongroom.deploy.lint import RULES, lint


def found(objects, **words):
    return sorted({each.rule.id for each in lint(objects, **words)})


def test_a_sound_deployment_has_no_finding(sound):
    assert lint(sound, production=True) == ()


CONTAINER = [
    ("K01", {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}),
    ("K01", {"securityContext": {"allowPrivilegeEscalation": True}}),
    ("K03", {"ports": [{"name": "grpc", "containerPort": 8500, "hostPort": 8500}]}),
    ("K04", {"securityContext": {"runAsUser": 0}}),
    ("K04", {"securityContext": {"runAsNonRoot": False}}),
    ("K05", {"securityContext": {"readOnlyRootFilesystem": False}}),
    ("K06", {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}),
    ("K06", {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}),
    ("K07", {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    ("K08", {"image": "registry.test:5000/server"}),
    ("K08", {"image": "registry.test:5000/server:latest"}),
    ("K08", {"image": "registry.test:5000/server:1.2.3"}),
    ("K08", {"image": None}),
    ("K09", {"resources": {"requests": {"cpu": "1"}}}),
    ("K09", {"resources": {}}),
    ("K10", {"readinessProbe": None}),
    ("K10", {"livenessProbe": {}}),
    ("K11", {"readinessProbe": {"tcpSocket": {"port": 8500}}}),
    ("K11", {"readinessProbe": {"exec": {"command": ["sh", "-c", "exit 0"]}}}),
    ("K11", {"readinessProbe": {"exec": {"command": ["true"]}}}),
    ("K11", {"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8502}}}),
    ("K12", {"command": ["sh", "-c", "./start.sh & tail -f /dev/null"]}),
    ("K12", {"args": ["server || true"]}),
    ("K12", {"command": ["sleep", "infinity"]}),
    ("K12", {"command": ["bash", "-c", "server; while true; do sleep 5; done"]}),
    ("K13", {"command": ["taskset", "-c", "0-3", "gramine-sgx", "server"]}),
    ("K15", {"ports": [{"name": "other", "containerPort": 8500}]}),
    ("K17", {"env": [{"name": "REDIS_PASSWORD", "value": "hunter2"}]}),
    ("K17", {"env": [{"name": "X", "value": "Zm9vYmFyMTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1A5"}]}),
    ("K17", {"env": [{"name": "KEY", "value": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"}]}),
    ("K17", {"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "ssl-password", "key": "p"}}}]}),
    ("K17", {"envFrom": [{"secretRef": {"name": "all"}}]}),
    ("K17", {"args": ["--redis-password=hunter2"]}),
    ("K23", {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}}),
]  # fmt: skip


def of(*rules):
    """Return the cases of these rules."""
    cases = [(rule, changes) for rule, changes in CONTAINER if rule in rules]
    return pytest.mark.parametrize(("rule", "changes"), cases, ids=[f"{a}-{i}" for i, (a, _) in enumerate(cases)])


def changed(sound, container, changes):
    container["securityContext"].update(changes.get("securityContext", {}))
    container.update({name: value for name, value in changes.items() if name != "securityContext"})
    return found(sound)


@of("K01", "K03", "K04", "K05", "K06", "K07")
def test_dp_01_a_container_with_more_rights_is_found(sound, container, rule, changes):
    assert changed(sound, container, changes) == [rule]


@of("K10", "K11", "K12")
def test_dp_07_a_probe_that_is_not_real_is_found(sound, container, rule, changes):
    assert rule in changed(sound, container, changes)


@of("K13")
def test_dp_09_replicas_on_the_same_cores_are_found(sound, container, rule, changes):
    assert changed(sound, container, changes) == [rule]


@of("K08")
def test_sa_04_an_image_without_a_digest_is_found(sound, container, rule, changes):
    assert changed(sound, container, changes) == [rule]


@of("K17")
def test_dp_03_a_secret_in_the_environment_is_found(sound, container, rule, changes):
    assert changed(sound, container, changes) == [rule]


@of("K09", "K15", "K23")
def test_a_container_that_others_cannot_count_on_is_found(sound, container, rule, changes):
    assert rule in changed(sound, container, changes)


def test_tensorflow_serving_opens_its_port_once_it_has_its_models(sound, container):
    container.update(readinessProbe={"tcpSocket": {"port": 8500}}, command=["gramine-sgx", "tensorflow_model_server"])
    assert lint(sound) == ()


POD = [
    ("K02", {"volumes": [{"name": "dev", "hostPath": {"path": "/dev/sgx"}}]}),
    ("K02", {"volumes": [{"name": "models", "hostPath": {"path": "/var/run/aesmd/../../models"}}]}),
    ("K02", {"volumes": [{"name": "socket", "hostPath": {"path": "/var/run/aesmd/aesm.socket"}}]}),
    ("K03", {"hostNetwork": True}),
    ("K03", {"hostPID": True}),
    ("K03", {"hostIPC": True}),
    ("K04", {"securityContext": {}}),
    ("K07", {"securityContext": {"runAsNonRoot": True}}),
    ("K18", {"automountServiceAccountToken": True}),
    ("K18", {"automountServiceAccountToken": None}),
]


@pytest.mark.parametrize(("rule", "changes"), POD, ids=[f"{a}-{i}" for i, (a, _) in enumerate(POD)])
def test_dp_02_each_change_of_a_pod_is_found(sound, pod, rule, changes):
    pod.update(changes)
    assert rule in found(sound)


def test_dp_02_the_folder_of_aesmd_may_be_mounted(sound, pod):
    pod["volumes"] = [{"name": "aesmd", "hostPath": {"path": "/var/run/aesmd", "type": "Directory"}}]
    assert lint(sound, production=True) == ()


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"])
def test_every_kind_of_workload_is_looked_into(sound, container, kind):
    container["securityContext"]["privileged"] = True
    template = sound[0]["spec"]["template"]
    spec = {"Pod": template["spec"], "CronJob": {"jobTemplate": {"spec": {"template": template}}}}
    changed = {**sound[0], "kind": kind, "spec": spec.get(kind, {**sound[0]["spec"]})}
    changed["metadata"] = {**changed["metadata"], "labels": template["metadata"]["labels"]}
    assert "K01" in found([changed])
    assert "K01" in found([{"apiVersion": "v1", "kind": "List", "items": [changed]}])


def test_initial_containers_are_looked_into_but_not_probed(sound, pod, container):
    first = {name: value for name, value in container.items() if not name.endswith("Probe")}
    pod["initContainers"] = [first]
    assert found(sound) == []
    first["securityContext"] = {}
    assert found(sound) == ["K01", "K05", "K06"]


def test_sa_04_in_production_a_tag_is_an_error(sound, container):
    container["image"] = "registry.test/server:1.2.3"
    assert [each.is_error for each in lint(sound)] == [False]
    assert [each.is_error for each in lint(sound, production=True)] == [True]


def named(objects, kind):
    return next(each for each in objects if each["kind"] == kind)


def test_dp_08_a_service_that_selects_nobody_is_found(sound):
    named(sound, "Service")["spec"]["selector"] = {"app": "other"}
    assert found(sound) == ["K14"]


def test_dp_08_a_service_that_selects_two_workloads_is_found(sound):
    second = {**sound[0], "metadata": {"name": "broker", "namespace": "serving"}}
    second["spec"] = {**second["spec"], "template": {**second["spec"]["template"], "metadata": {"labels": {
        "app.kubernetes.io/name": "strongroom", "app.kubernetes.io/instance": "serving",
        "app.kubernetes.io/component": "broker"}}}}  # fmt: skip
    second["spec"]["selector"] = {"matchLabels": {"app.kubernetes.io/component": "broker"}}
    named(sound, "Service")["spec"]["selector"] = {"app.kubernetes.io/instance": "serving"}
    assert {(each.object, each.rule.id) for each in lint([*sound, second])} >= {
        ("Service/serving/serving-model-server", "K14")
    }


def test_dp_08_a_deployment_that_selects_others_pods_is_found(sound):
    second = {**sound[0], "metadata": {"name": "again", "namespace": "serving"}}
    assert [each.object for each in lint([*sound, second]) if each.rule.id == "K14"] == [
        "Deployment/serving/serving-model-server", "Deployment/serving/again"
    ]  # fmt: skip
    sound[0]["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    assert "K14" in found(sound)


def test_dp_08_selectors_do_not_reach_other_namespaces(sound):
    sound[0]["metadata"]["namespace"] = "elsewhere"
    assert {each.object for each in lint(sound) if each.rule.id == "K14"} == {"Service/serving/serving-model-server"}


SECRETS = [
    {"tls.key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"},
    {"ssl-password": "changeit"},
    {"x": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQABCDEFGHz0M="},
    {"wrap_key": "00112233445566778899aabbccddeeff"},
]


@pytest.mark.parametrize("content", SECRETS)
@pytest.mark.parametrize("field", ["data", "stringData"])
def test_dp_03_keys_and_passwords_in_a_secret_are_found(sound, content, field):
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in content.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "serving"},
              field: encoded if field == "data" else content}  # fmt: skip
    assert found([*sound, secret]) == ["K16"]


def test_dp_03_sixteen_raw_bytes_are_a_key(sound):
    raw = base64.b64encode(bytes(range(7, 250, 15))).decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "serving"},
              "data": {"it": raw}}  # fmt: skip
    assert found([*sound, secret]) == ["K16"]


def test_dp_03_what_is_public_may_be_in_a_config_map(sound):
    trust = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust", "namespace": "serving"}, "data": {
        "ca_cert.pem": "-----BEGIN CERTIFICATE-----\n"
        + base64.b64encode(bytes((i * 89 + 7) % 256 for i in range(600))).decode() + "\n-----END CERTIFICATE-----\n",
        "nginx.conf": "worker_processes auto;\nstream { server { listen 8500; proxy_pass 10.0.0.1:8500; } }\n",
        "image": "registry.test/x@sha256:" + "0f1e2d3c" * 8,
    }}  # fmt: skip
    assert found([*sound, trust]) == []
    trust["data"]["key.pem"] = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n"
    assert found([*sound, trust]) == ["K16"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("CA_PATH", "/trust/ca_cert.pem"), ("SECRET_PROVISION_SERVERS", "broker:4433"), ("SECRET_PROVISION_SET_KEY", "d"),
     ("LANG", "C.UTF-8"), ("TOKEN_FILE", "/var/run/token"), ("PASSWORD", ""), ("SET_PF_KEY", "1")],
)  # fmt: skip
def test_dp_03_names_of_places_are_no_secrets(sound, container, name, value):
    container["env"] = [{"name": name, "value": value}]
    assert found(sound) == []


RULES_OF_ROLES = [
    {"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["*"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
]


@pytest.mark.parametrize("rule", RULES_OF_ROLES)
def test_great_roles_are_found(sound, rule):
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule],
            "metadata": {"name": "r", "namespace": "serving"}}  # fmt: skip
    assert found([*sound, role]) == ["K19"]


def test_a_token_may_be_there_where_something_is_bound_to_it(sound, pod):
    pod.update(automountServiceAccountToken=True, serviceAccountName="adapter")
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
               "metadata": {"name": "b", "namespace": "serving"}, "roleRef": {"kind": "Role", "name": "r"},
               "subjects": [{"kind": "ServiceAccount", "name": "adapter"}]}  # fmt: skip
    assert found(sound) == ["K18"]
    assert found([*sound, binding]) == []
    binding["roleRef"] = {"kind": "ClusterRole", "name": "cluster-admin"}
    assert found([*sound, binding]) == ["K19"]


@pytest.mark.parametrize("field", ["ingress", "egress"])
def test_dp_10_a_policy_that_opens_everything_is_found(sound, field):
    named(sound, "NetworkPolicy")["spec"][field] = [{}]
    assert found(sound) == ["K21"]


@pytest.mark.parametrize("peer", [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"namespaceSelector": {}}])
def test_dp_10_everybody_has_several_names(sound, peer):
    named(sound, "NetworkPolicy")["spec"]["ingress"] = [{"from": [peer]}]
    assert found(sound) == ["K21"]


def test_dp_10_a_pod_without_a_policy_is_found(sound):
    policy = named(sound, "NetworkPolicy")
    policy["spec"]["policyTypes"] = ["Ingress"]
    (finding,) = lint(sound)
    assert (finding.rule.id, finding.why) == ("K20", "no policy limits its egress")
    policy["metadata"]["namespace"] = "other"
    (finding,) = lint(sound)
    assert finding.why == "no policy limits its ingress and egress"


@pytest.mark.parametrize("spec", [{"maxUnavailable": 0}, {"minAvailable": "100%"}, {"minAvailable": 2}])
def test_a_budget_that_blocks_every_drain_is_found(sound, spec):
    budget = named(sound, "PodDisruptionBudget")
    budget["spec"] = {"selector": budget["spec"]["selector"], **spec}
    assert found(sound) == ["K22"]


def test_an_autoscaler_needs_its_target(sound):
    named(sound, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] = "other"
    assert found(sound) == ["K23"]


PORTS = [
    ("K24", "ClusterIP", {"name": "http", "port": 8080}),
    ("K24", "ClusterIP", {"name": "web", "port": 80}),
    ("K24", "ClusterIP", {"name": "cache", "port": 6379}),
    ("K24", "ClusterIP", {"name": "grpc", "port": 8500, "appProtocol": "kubernetes.io/h2c"}),
    ("K25", "LoadBalancer", {"name": "admin", "port": 8443}),
    ("K27", "NodePort", {"name": "grpc", "port": 8500, "nodePort": 30500}),
]


@pytest.mark.parametrize(("rule", "kind", "port"), PORTS)
def test_dp_05_what_a_service_opens_is_judged(sound, container, rule, kind, port):
    container["ports"].append({"name": port["name"], "containerPort": port["port"]})
    service = named(sound, "Service")
    service["spec"].update(type=kind, ports=[port])
    assert found(sound) == [rule]


def test_an_ingress_must_pass_tls_through(sound):
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
               "metadata": {"name": "i", "namespace": "serving"}, "spec": {"rules": []}}  # fmt: skip
    assert found([*sound, ingress]) == ["K26"]
    ingress["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}
    assert found([*sound, ingress]) == []
    ingress["spec"]["tls"] = [{"hosts": ["a"], "secretName": "key"}]
    assert found([*sound, ingress]) == ["K26"]


@pytest.mark.parametrize("listener", [{"protocol": "HTTPS"}, {"protocol": "TLS", "tls": {"mode": "Terminate"}}])
def test_a_gateway_must_pass_tls_through(sound, listener):
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
               "metadata": {"name": "g", "namespace": "serving"}, "spec": {"listeners": [listener]}}  # fmt: skip
    assert found([*sound, gateway]) == ["K26"]
    gateway["spec"]["listeners"] = [{"protocol": "TLS", "tls": {"mode": "Passthrough"}}]
    assert found([*sound, gateway]) == []


def test_a_namespace_enforces_pod_security(sound):
    named(sound, "Namespace")["metadata"]["labels"] = {}
    assert found(sound) == ["K28"]


def test_an_object_is_there_once_and_has_a_name(sound):
    assert found([*sound, named(sound, "Namespace")]) == ["K00"]
    assert found([*sound, {"kind": "Service"}]) == ["K00"]


GUIDES = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "guide"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "guide-service", "namespace": "guide"},
     "spec": {"type": "NodePort", "selector": {"app": "guide-app"},
              "ports": [{"name": "grpc", "port": 8500, "targetPort": 8500, "nodePort": 30500}]}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "guide-headless", "namespace": "guide"},
     "spec": {"clusterIP": "None", "selector": {"app": "guide"}, "ports": [{"name": "grpc", "port": 8500}]}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ssl-password", "namespace": "guide"},
     "stringData": {"password": "123456"}},
    {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "guide", "namespace": "guide"},
     "spec": {"rules": [{"host": "grpc.test"}]}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "guide", "namespace": "guide"},
     "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "guide-app"}}, "template": {
         "metadata": {"labels": {"app": "guide-app"}},
         "spec": {
             "containers": [{
                 "name": "serving", "image": "localhost:5000/tensorflow_serving:latest",
                 "command": ["bash", "-c", "taskset -c 0-3 gramine-sgx server; tail -f /dev/null"],
                 "securityContext": {"privileged": True}, "ports": [{"containerPort": 8500}],
                 "env": [{"name": "SSL_PASSWORD", "value": "123456"}],
                 "resources": {"limits": {"cpu": "2"}}}],
             "volumes": [{"name": "sgx", "hostPath": {"path": "/dev/sgx"}},
                         {"name": "models", "hostPath": {"path": "/root/models"}},
                         {"name": "aesm", "hostPath": {"path": "/var/run/aesmd/aesm.socket"}}]}}}},
]  # fmt: skip


def test_dp_14_the_guides_deployment_has_all_its_faults():
    assert found(GUIDES) == [
        "K01", "K02", "K04", "K05", "K06", "K07", "K08", "K09", "K10", "K12", "K13", "K14", "K16", "K17", "K18",
        "K20", "K26", "K27", "K28",
    ]  # fmt: skip


def test_every_rule_is_named_once_and_found_by_a_test():
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert [rule.id for rule in RULES] == sorted(rule.id for rule in RULES)


def test_findings_say_what_to_do():
    for finding in lint(GUIDES):
        assert finding.fix.endswith((".", "]", "}"))
        assert finding.why
        assert finding.object.startswith(finding.object.split("/")[0])
        assert set(finding.to_json_object()) == {"rule", "level", "object", "place", "why", "fix"}


WRONG = [None, 0, "text", [], ["x"], {}, {"": None}, [[[]]], {"matchLabels": []}, True]
KEYS = ["spec", "metadata", "data", "rules", "subjects", "roleRef"]
KINDS = ["Deployment", "Service", "Secret", "ConfigMap", "NetworkPolicy", "Role", "RoleBinding", "Gateway", "Ingress",
         "PodDisruptionBudget", "HorizontalPodAutoscaler", "CronJob", "List"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_objects_of_any_shape_are_judged_and_nothing_is_raised(kind):
    for key, value in itertools.product(KEYS, WRONG):
        lint([{"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}, key: value}])
    lint([{"kind": kind, "items": WRONG}, {"kind": ["x"], "metadata": {"name": {}}}])


@pytest.mark.parametrize("odd", [[], {}, None, "0%", 0])
def test_a_budget_that_says_anything_is_judged(sound, odd):
    for each in sound:
        if each["kind"] == "PodDisruptionBudget":
            each["spec"] |= {"maxUnavailable": odd}
    assert isinstance(lint(sound), tuple)
