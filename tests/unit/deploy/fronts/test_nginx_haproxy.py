"""Configurations of nginx and HAProxy: what they say, and that the programs themselves take them."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.deploy.description import Description
from strongroom.deploy.fronts import (
    FrontFiles,
    Listed,
    Listening,
    Replica,
    cluster_upstream,
    haproxy_h2,
    haproxy_passthrough,
    nginx_grpc,
    nginx_passthrough,
)
from strongroom.deploy.fronts.behaviour import BEHAVIOURS
from strongroom.pki import Authority

TWO = Listed((Replica("10.0.0.1"), Replica("10.0.0.2", 9500, 9501)))
FORMS = {
    "nginx-passthrough": nginx_passthrough,
    "nginx-grpc": nginx_grpc,
    "haproxy-passthrough": haproxy_passthrough,
    "haproxy-h2": haproxy_h2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of a front that ends TLS."""
    found, now = tmp_path_factory.mktemp("front"), datetime.now(UTC)
    authority = Authority.create("Owner", now=now)
    (found / "ca_cert.pem").write_bytes(authority.certificate_pem)
    for name, leaf in (
        ("server", authority.issue_server(["front.example"], now=now)),
        ("client", authority.issue_client("front", now=now)),
    ):
        with leaf.key_pem.reveal() as raw:
            (found / f"{name}.pem").write_bytes(leaf.certificate_pem + raw)
    return found


def words(text):
    """Return the configuration without comments and indentation, a line each."""
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_says_what_it_was_measured_to_do_and_is_the_same_each_time(kind):
    text = FORMS[kind](Description(), TWO)
    assert BEHAVIOURS[kind].comment() in text
    assert text == FORMS[kind](Description(), TWO)
    assert text.endswith("\n")


@pytest.mark.parametrize(("kind", "ends_tls"), [(kind, not kind.endswith("passthrough")) for kind in FORMS])
def test_only_a_front_that_ends_tls_reads_a_key_and_it_says_so_first(kind, ends_tls):
    text = FORMS[kind](Description(), TWO)
    assert text.startswith("# WARNING: this front ends TLS") is ends_tls
    assert ("server.pem" in text) is ends_tls


def test_passthrough_knows_the_deployments_name_and_those_that_are_given_and_closes_all_others():
    description = Description(host="models.example")
    lines = words(nginx_passthrough(description, TWO, Listening(names=("old.example",))))
    assert lines.count("models.example replicas_grpc;") == 1
    assert lines.count("old.example replicas_rest;") == 1
    assert lines.count("default closed;") == 2
    assert "server 127.0.0.1:1 down;" in lines
    lines = words(haproxy_passthrough(description, TWO, Listening(names=("old.example",))))
    rule = "tcp-request content accept if { req.ssl_hello_type 1 } { req.ssl_sni -i models.example old.example }"
    assert lines.count(rule) == 2
    assert lines.count("tcp-request content reject if WAIT_END") == 2


def test_without_rest_only_one_port_is_open():
    for text in (
        nginx_passthrough(Description(), TWO, Listening(rest=None)),
        haproxy_passthrough(Description(), TWO, Listening(rest=None)),
    ):
        assert "8501" not in text


def test_in_a_cluster_nginx_asks_dns_again_for_the_pods_that_are_ready():
    description = Description(name="shop", namespace="prod")
    text = nginx_passthrough(description, cluster_upstream(description))
    assert "shop-model-server-headless.prod.svc.cluster.local:8500;" in text
    assert "resolver kube-dns.kube-system.svc.cluster.local valid=2s" in text
    other = cluster_upstream(description, resolver="10.96.0.10", domain="example")
    assert "resolver 10.96.0.10 valid=2s" in nginx_passthrough(description, other)
    assert "prod.svc.example:8501" in nginx_passthrough(description, other)
    assert "server-template replica 64 shop-model-server-headless" in haproxy_passthrough(description, other)


def test_an_idle_connection_is_the_servers_to_end():
    from strongroom.serving.fronts.connection_age import Lifetime

    for text in (nginx_passthrough(Description(), TWO), haproxy_passthrough(Description(), TWO)):
        assert "2400s" in text
    assert Lifetime().max_idle_s < 2400


@pytest.mark.parametrize(
    ("kind", "resolved"),
    [(kind, resolved) for kind in FORMS for resolved in (False, True) if (kind, resolved) != ("nginx-grpc", True)],
)
def test_the_programs_take_them(kind, resolved, folder, tmp_path):
    program = kind.split("-", maxsplit=1)[0]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    upstream = cluster_upstream(Description(), resolver="127.0.0.1") if resolved else TWO
    at = Listening(grpc="127.0.0.1:8500", rest="127.0.0.1:8501", folder=str(tmp_path),
                   access_log=str(tmp_path / "log"), files=FrontFiles(str(folder)))  # fmt: skip
    file = tmp_path / "conf"
    file.write_text(FORMS[kind](Description(), upstream, at))
    check = ["nginx", "-t", "-e", "stderr", "-c"] if program == "nginx" else ["haproxy", "-c", "-f"]
    done = subprocess.run([*check, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn" not in done.stderr.lower()


@pytest.mark.parametrize("kind", FORMS)
def test_the_page_says_what_the_files_say(kind):
    page = (Path(__file__).parents[4] / "docs" / "fronts.md").read_text(encoding="utf-8")
    behaviour = BEHAVIOURS[kind]
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {behaviour.title} |"))
    told = [each.strip() for each in row.strip("|").split("|")]
    assert told[2:] == [
        behaviour.sees, behaviour.one_channel, behaviour.channels, behaviour.in_flight, behaviour.afterwards,
        behaviour.none_left,
    ]  # fmt: skip
