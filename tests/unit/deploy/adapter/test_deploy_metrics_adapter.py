"""The verb as its pod starts it: a whole process between an API server and replicas."""

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from strongroom.cli import main
from strongroom.deploy.adapter_sources import IN_FLIGHT
from strongroom.secret import Secret


@pytest.fixture
def words(account):
    """Return the verb's words, but for the port of the replicas."""
    names = ["--deployment=serving-model-server", "--service=serving-metrics-adapter", "--namespace=serving"]
    return ["deploy", "metrics-adapter", *names, f"--account={account}", "--address=127.0.0.1", "--port=0"]


def test_the_adapter_makes_itself_known_and_answers(*, cluster, api_server, replicas, front_proxy, words, written):
    port, _ = replicas(5)
    place = urlsplit(cluster.url)
    environment = {**os.environ, "KUBERNETES_SERVICE_HOST": place.hostname, "KUBERNETES_SERVICE_PORT": str(place.port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom", *words, f"--replicas=127.0.0.1:{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        listening = int(re.search(r":(\d+)$", process.stdout.readline())[1])
        assert api_server.changed.wait(30)
        context = ssl.create_default_context(cadata=b64_text(api_server.spec["caBundle"]))
        leaf = front_proxy.issue_client("front-proxy-client", now=datetime.now(UTC))
        context.load_cert_chain(written(Secret(leaf.certificate_pem)), written(leaf.key_pem))
        context.check_hostname = False  # the Service's name leads nowhere here; the next line looks at it
        connection = http.client.HTTPSConnection("127.0.0.1", listening, context=context, timeout=30)
        connection.connect()
        named = [value for _, value in connection.sock.getpeercert()["subjectAltName"]]
        connection.request("GET", f"/apis/external.metrics.k8s.io/v1beta1/namespaces/serving/{IN_FLIGHT}")
        found = json.loads(connection.getresponse().read())
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert named[0] == "serving-metrics-adapter.serving.svc"
    assert found["items"][0]["value"] == "5"
    assert process.returncode == 0, errors


def b64_text(text):
    import base64

    return base64.b64decode(text).decode("ascii")


def test_outside_of_a_pod_it_does_not_start(words, monkeypatch, capsys):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main([*words, "--replicas=localhost:8502"]) == 4
    assert "SR-ADAPTER-NO-CLUSTER" in capsys.readouterr().err


@pytest.mark.parametrize("replicas_at", ["localhost", "localhost:0", ":8502", "localhost:x"])
def test_replicas_have_a_host_and_a_port(words, replicas_at):
    assert main([*words, f"--replicas={replicas_at}"]) == 1
