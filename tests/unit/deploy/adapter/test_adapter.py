"""Who may ask the adapter, what it answers, and how the API server comes to know it."""

import http.client
import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.deploy import adapter
from strongroom.deploy.adapter import Adapter, Certificates, labels_of, quantity
from strongroom.deploy.adapter_cluster import AdapterTaken, ApiServerUnusable, Cluster, FrontProxy, NotInACluster
from strongroom.deploy.adapter_sources import IN_FLIGHT, MetricUnknown
from strongroom.pki import Authority
from strongroom.secret import Secret

NOW = datetime.now(UTC)
VALUES = f"{adapter.PREFIX}/namespaces/serving/{IN_FLIGHT}"


class Counted:
    """A source that counts how often it is read."""

    metric = IN_FLIGHT

    def __init__(self, value=12.0):
        self.value, self.reads = value, 0

    def read(self):
        self.reads += 1
        if self.value is None:
            raise MetricUnknown("1 of 4 replicas answered")
        return self.value


@pytest.fixture
def running(loop, front_proxy, written):
    """Return a function that starts an adapter, and one that asks it with a certificate or without one."""
    made = {}

    def start(source, names=("front-proxy-client",)):
        proxy = FrontProxy(front_proxy.certificate_pem, frozenset(names))
        certificates = Certificates(["localhost"])
        made["adapter"] = Adapter(
            deployment="serving-model-server", namespace="serving", sources={source.metric: source}, front_proxy=proxy
        )
        made["port"] = loop.serve(made["adapter"].application(), certificates.context(proxy))
        made["ca"] = certificates.ca_pem
        return made["adapter"]

    def ask(path, *, name="front-proxy-client", issuer=front_proxy):
        context = ssl.create_default_context(cadata=made["ca"].decode())
        if name is not None:
            leaf = issuer.issue_client(name, now=NOW)
            context.load_cert_chain(written(Secret(leaf.certificate_pem)), written(leaf.key_pem))
        connection = http.client.HTTPSConnection("localhost", made["port"], context=context, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return answer.status, body

    return start, ask


def test_the_api_server_finds_the_metric_and_its_value(running):
    start, ask = running
    start(Counted())
    status, body = ask(adapter.PREFIX)
    assert (status, json.loads(body)["resources"][0]["name"]) == (200, IN_FLIGHT)
    status, body = ask(f"{VALUES}?labelSelector=deployment%3Dserving-model-server")
    (item,) = json.loads(body)["items"]
    assert (status, item["value"], item["metricName"]) == (200, "12", IN_FLIGHT)
    assert item["metricLabels"] == {"deployment": "serving-model-server"}
    assert datetime.fromisoformat(item["timestamp"]).tzinfo is not None


@pytest.mark.parametrize("path", [adapter.PREFIX, VALUES])
def test_dp_10_nobody_but_the_api_server_is_answered(running, path):
    start, ask = running
    source = Counted()
    start(source)
    for words in ({"name": None}, {"name": "somebody-else"}):
        status, body = ask(path, **words)
        assert (status, json.loads(body)["reason"]) == (401, "Unauthorized")
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask(path, issuer=Authority.create("another CA", now=NOW))
    assert source.reads == 0


def test_any_name_of_the_ca_will_do_where_the_api_server_names_none(running):
    start, ask = running
    start(Counted(), names=())
    assert ask(VALUES, name="whoever")[0] == 200
    assert ask(VALUES, name=None)[0] == 401


def test_other_labels_and_namespaces_have_no_values(running):
    start, ask = running
    start(Counted())
    for path in (f"{VALUES}?labelSelector=deployment%3Dother", VALUES.replace("/serving/", "/other/")):
        status, body = ask(path)
        assert (status, json.loads(body)["items"]) == (200, [])
    assert ask(VALUES.replace(IN_FLIGHT, "other"))[0] == 404
    assert ask(f"{VALUES}?labelSelector=deployment+in+(a,b)")[0] == 400


def test_without_a_value_the_autoscaler_is_told_so(running):
    start, ask = running
    start(Counted(None))
    status, body = ask(VALUES)
    assert (status, json.loads(body)["message"]) == (503, "1 of 4 replicas answered")


def test_a_value_is_read_once_for_several_who_ask(running):
    start, ask = running
    source = Counted()
    start(source)
    assert [ask(VALUES)[0] for _ in range(3)] == [200, 200, 200]
    assert source.reads == 1


def test_a_kubelet_asks_without_a_certificate(running):
    start, ask = running
    made = start(Counted())
    assert ask("/healthz", name=None) == (200, b"ok\n")
    status, body = ask("/readyz", name=None)
    assert (status, body.startswith(b"waiting for the API server")) == (503, True)
    made.waiting_for = None
    assert ask("/readyz", name=None) == (200, b"ready\n")


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (12.0, "12"), (12.5, "12500m"), (1 / 3, "333m")])
def test_quantities(value, text):
    assert quantity(value) == text


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a==b, c=d", {"a": "b", "c": "d"}),
        ("a!=b", None),
        ("a", None),
        ("a in (b)", None),
    ],
)
def test_label_selectors(text, labels):
    assert labels_of(text) == labels


def test_the_front_proxy_is_read_and_the_ca_published_once(cluster, api_server):
    proxy = cluster.front_proxy()
    assert proxy.names == {"front-proxy-client"}
    assert cluster.publish(b"ca", service="serving-metrics-adapter", namespace="serving")
    assert (api_server.spec["caBundle"], api_server.spec["insecureSkipTLSVerify"]) == ("Y2E=", False)
    assert not cluster.publish(b"ca", service="serving-metrics-adapter", namespace="serving")


def test_the_apiservice_of_another_adapter_is_left_alone(cluster, api_server):
    api_server.spec["service"] = {"name": "keda", "namespace": "keda"}
    with pytest.raises(AdapterTaken) as caught:
        cluster.publish(b"ca", service="serving-metrics-adapter", namespace="serving")
    assert caught.value.code == "SR-ADAPTER-TAKEN"
    assert "caBundle" not in api_server.spec


def test_the_token_is_read_anew_each_time(cluster, api_server, account):
    cluster.front_proxy()
    (account / "token").write_text("second")
    api_server.token = "second"
    cluster.front_proxy()
    assert api_server.seen[-1] == ("GET", "Bearer second")


@pytest.mark.parametrize(
    "data",
    [{}, {"requestheader-client-ca-file": "none"}, {"requestheader-client-ca-file": "\xe4"},
     {"requestheader-allowed-names": "{}"}, {"requestheader-allowed-names": "["}],
)  # fmt: skip
def test_an_api_server_without_a_front_proxy_is_unusable(cluster, api_server, data):
    api_server.data = {**api_server.data, **data} if data else {}
    with pytest.raises(ApiServerUnusable) as caught:
        cluster.front_proxy()
    assert caught.value.code == "SR-ADAPTER-API"


def test_an_api_server_that_refuses_or_is_another_is_unusable(cluster, api_server, front_proxy):
    api_server.status = 403
    with pytest.raises(ApiServerUnusable):
        cluster.front_proxy()
    other = Cluster(url=cluster.url, ca_pem=front_proxy.certificate_pem, token_file=cluster.token_file)
    before = len(api_server.seen)
    with pytest.raises(ApiServerUnusable):
        other.front_proxy()
    assert len(api_server.seen) == before  # the token went nowhere


def test_outside_of_a_cluster_the_adapter_says_so(account, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NotInACluster) as caught:
        Cluster.of_this_pod(account)
    assert caught.value.code == "SR-ADAPTER-NO-CLUSTER"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert Cluster.of_this_pod(account).url == "https://[fd00::1]:443"
    with pytest.raises(NotInACluster):
        Cluster.of_this_pod(account / "nothing")


def test_a_certificate_is_renewed_under_the_same_ca(front_proxy):
    certificates = Certificates(["localhost"])
    context = certificates.context(FrontProxy(front_proxy.certificate_pem, frozenset()))
    ca_pem = certificates.ca_pem
    assert not certificates.renew(context, NOW)
    assert certificates.renew(context, NOW + timedelta(days=46))
    assert certificates.ca_pem == ca_pem


def test_a_new_front_proxy_ca_ends_the_adapter(cluster, api_server, front_proxy):
    made = Adapter(
        deployment="d",
        namespace="serving",
        sources={},
        front_proxy=FrontProxy(front_proxy.certificate_pem, frozenset()),
    )
    place = adapter.Place(deployment="d", service="serving-metrics-adapter", namespace="serving")
    with pytest.raises(adapter.FrontProxyChanged) as caught:
        adapter._check(made, place, cluster, Certificates(["x"]))
    assert caught.value.code == "SR-ADAPTER-FRONT-PROXY"
