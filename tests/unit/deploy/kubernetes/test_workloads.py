"""Replicas, broker and front: what starts, what is mounted, what is asked, and how they leave."""

import pytest

from strongroom.deploy.description import Autoscaling, Front, Resources, Size, Tee
from strongroom.deploy.gramine.server_words import server_words
from strongroom.deploy.kubernetes.pods import larger
from strongroom.deploy.kubernetes.replica import GRACE_S, LEAVE_S

SERVER = "strongroom-model-server"


def replica_of(found, one):
    return one(found, "Deployment", SERVER)["spec"]["template"]["spec"]


def test_a_simulated_replica_is_started_by_the_platform_that_vouches_for_it(built, one):
    pod = replica_of(built(), one)
    assert pod["containers"][0]["command"][-5:] == ["sim", "run", "--world", "/work/world", "/app/replica.manifest"]
    assert [each["name"] for each in pod["initContainers"]] == ["models", "simulated-platform"]
    (secret,) = [each["secret"] for each in pod["volumes"] if "secret" in each]
    assert secret["secretName"] == "strongroom-simulated-world"


def test_an_sgx_replica_asks_the_device_plugin_and_its_pod_says_no_word(built, one):
    pod = replica_of(built(tee=Tee.SGX, size=Size.SEED), one)
    assert pod["containers"][0]["command"] == ["gramine-sgx", "/app/model-server"]
    assert pod["containers"][0]["resources"]["limits"]["sgx.intel.com/epc"] == "64Mi"
    assert pod["containers"][0]["resources"]["requests"]["sgx.intel.com/enclave"] == "1"
    assert "secret" not in {key for each in pod["volumes"] for key in each}


def test_a_trust_domain_gets_its_words_from_the_pod_for_it_has_no_manifest(built, one):
    pod = replica_of(built(tee=Tee.TDX), one)
    words = pod["containers"][0]["command"]
    assert words[4:] == ["serve", *[each for each in words if each.startswith("--")]]
    assert "--model_name=resnet50" in words


def test_the_words_of_a_trust_domain_are_those_of_the_manifests(built, one):
    from strongroom.deploy.description import Description, Model

    described = Description(tee=Tee.TDX, models=(Model(name="resnet50", path="x"),))
    pod = replica_of(built(tee=Tee.TDX), one)
    assert tuple(pod["containers"][0]["command"][5:]) == server_words(described)


def test_probes_reflect_trust_and_a_refused_replica_is_not_restarted(built, one):
    (found,) = replica_of(built(), one)["containers"]
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert found["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert found["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_a_replica_leaves_the_endpoints_before_it_drains_and_has_time_for_both(built, one):
    pod = replica_of(built(), one)
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", str(LEAVE_S)]
    assert pod["terminationGracePeriodSeconds"] == GRACE_S > LEAVE_S + 30
    strategy = one(built(), "Deployment", SERVER)["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_an_autoscaler_alone_says_how_many_replicas_there_are(built, one):
    scaled = built(autoscaling=Autoscaling(least=2, most=9, requests_in_flight=4))
    assert "replicas" not in one(scaled, "Deployment", SERVER)["spec"]
    assert one(built(replicas=3), "Deployment", SERVER)["spec"]["replicas"] == 3
    spec = one(scaled, "HorizontalPodAutoscaler", SERVER)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
    external = spec["metrics"][0]["external"]
    assert external["metric"]["selector"]["matchLabels"] == {"deployment": SERVER}  # as the adapter labels it
    assert external["target"] == {"type": "AverageValue", "averageValue": "4"}


@pytest.mark.parametrize(("cpu", "limit"), [("100m", "2"), ("2", "2"), ("4", "4"), ("2500m", "2500m")])
def test_a_replica_may_always_use_what_it_asks_for(built, one, cpu, limit):
    asked = Resources(cpu=cpu, memory="1Gi", epc="64Mi", enclave_size="4G", max_threads=128)
    (found,) = replica_of(built(resources=asked), one)["containers"]
    assert (found["resources"]["requests"]["cpu"], found["resources"]["limits"]["cpu"]) == (cpu, limit)
    assert larger("1Gi", "2") == "2"  # no amount of CPU


def test_a_simulated_broker_waits_for_its_workspace_in_memory(built, one):
    spec = one(built(), "StatefulSet", "strongroom-broker")["spec"]
    pod = spec["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["workspace"]
    assert {"medium": "Memory", "sizeLimit": "64Mi"} in [each.get("emptyDir") for each in pod["volumes"]]
    assert "volumeClaimTemplates" not in spec
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_a_broker_in_a_real_tee_has_a_volume_and_nobody_hands_it_anything(built, one):
    spec = one(built(tee=Tee.SGX), "StatefulSet", "strongroom-broker")["spec"]
    assert "initContainers" not in spec["template"]["spec"]
    assert [each["metadata"]["name"] for each in spec["volumeClaimTemplates"]] == ["work"]


@pytest.mark.parametrize("broker", ["broker.example.com:4433", "https://broker.example.com:8080"])
def test_a_broker_outside_is_a_service_that_stands_for_its_name(built, one, broker):
    found = built(broker=broker)
    assert not [each for each in found if each["kind"] == "StatefulSet"]
    assert one(found, "Service", "strongroom-broker")["spec"] == {
        "type": "ExternalName",
        "externalName": "broker.example.com",
    }


def test_nginx_starts_anew_when_its_configuration_changes(built, one):
    def marked(**words):
        template = one(built(**words), "Deployment", "strongroom-front")["spec"]["template"]
        return template["metadata"]["annotations"]["strongroom/config"]

    assert marked() == marked() != marked(host="other.example.com")


def test_a_rehearsal_is_not_offered_to_the_world(built, one):
    assert one(built(), "Service", "strongroom-front")["spec"]["type"] == "ClusterIP"
    assert one(built(tee=Tee.SGX), "Service", "strongroom-front")["spec"]["type"] == "LoadBalancer"


def test_an_ingress_and_a_gateway_pass_tls_through(built, one):
    ingress = one(built(front=Front.INGRESS), "Ingress", "strongroom-front")
    assert ingress["metadata"]["annotations"] == {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}
    assert "tls" not in ingress["spec"]
    gateway = built(front=Front.GATEWAY)
    assert one(gateway, "Gateway", "strongroom-front")["spec"]["listeners"][0]["tls"] == {"mode": "Passthrough"}
    assert one(gateway, "TLSRoute", "strongroom-front")["spec"]["rules"] == [
        {"backendRefs": [{"name": SERVER, "port": 8500}]}
    ]
