"""Redis in its pod: what its configuration says, who its users are, and what is refused."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from strongroom.cli import main
from strongroom.clusterserving.names import Job
from strongroom.streaming.parts.redis import (
    RedisPart,
    RedisSettings,
    configuration,
    memory_bytes,
    prepare,
    serve,
    users,
)

DIGEST = "ab" * 32


@pytest.fixture
def settings(tmp_path):
    for name in ("keys", "run", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "keys/redis.logins").write_text(json.dumps({"worker": DIGEST, "client": DIGEST, "unknown": DIGEST}))
    return RedisSettings(job=Job(), keys=tmp_path / "keys", run=tmp_path / "run", data=tmp_path / "data")


def test_d13_d14_it_listens_with_tls_alone_and_wants_certificates(settings):
    lines = dict(line.split(" ", 1) for line in configuration(settings).splitlines())
    assert lines["port"] == "0"
    assert lines["tls-auth-clients"] == "yes"
    assert lines["maxmemory-policy"] == "noeviction"
    assert lines["appendfsync"] == "always"
    assert lines["tls-protocols"] == '"TLSv1.2 TLSv1.3"'


def test_every_login_becomes_a_user_of_its_role_and_the_administrator_is_this_pods_own(settings):
    text = prepare(settings).decode()
    names = {line.split()[1] for line in text.splitlines() if line.startswith("user ")}
    assert names >= {"default", "cs-worker", "cs-client", "cs-admin"}
    assert "unknown" not in text
    assert (settings.run / "admin.password").stat().st_mode & 0o777 == 0o600
    before = (settings.run / "admin.password").read_bytes()
    prepare(settings)  # a container that was started anew
    assert (settings.run / "admin.password").read_bytes() != before


@pytest.mark.parametrize("text", [b"", b"[1]", b"3", b"[" * 100_000, b'{"worker": "x"}', b"\xff"])
def test_logins_that_are_none_are_refused(text):
    from strongroom.errors import StrongroomError

    with pytest.raises(StrongroomError):
        users(text, Job(), DIGEST)
    with pytest.raises(RedisPart) as refused:
        users(b"3", Job(), DIGEST)
    assert refused.value.code == "SR-REDIS-PART"


def test_a_path_that_would_end_a_line_is_refused(tmp_path):
    with pytest.raises(RedisPart):
        RedisSettings(job=Job(), keys=Path("/a\nport 6379"), run=tmp_path, data=tmp_path)
    with pytest.raises(RedisPart):
        RedisSettings(job=Job(), keys=tmp_path, run=tmp_path, data=tmp_path, ca=Path("/a b"))


def test_the_measured_ca_may_stand_in_for_the_mounted_one(settings):
    assert f"tls-ca-cert-file {settings.keys}/ca.crt" in configuration(settings)
    measured = dataclasses.replace(settings, ca=Path("/app/ca_cert.pem"))
    assert "tls-ca-cert-file /app/ca_cert.pem" in configuration(measured)


def test_sizes_are_redis_own(tmp_path):
    assert [memory_bytes(text) for text in ("1", "2kb", "3MB", "4gb")] == [1, 2048, 3 << 20, 4 << 30]
    for text in ("", "0", "1tb", "-1", "9" * 20, "4 gb"):
        with pytest.raises(RedisPart):
            memory_bytes(text)


def test_redis_takes_the_configuration(settings):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    text = prepare(settings)  # without certificates it has to say so, and about nothing else
    done = subprocess.run(["redis-server", "-"], input=text, capture_output=True, check=False, timeout=20)
    assert done.returncode == 1
    assert b"Failed to configure TLS" in done.stdout + done.stderr


def test_a_program_that_is_not_there_is_one_sentence(settings, capsys):
    from strongroom.streaming.link.server import NoRedisServer

    with pytest.raises(NoRedisServer):
        serve(settings, program="redis-server-of-nowhere")
    words = ["queue", "redis", "--keys", "relative", "--run", str(settings.run), "--data", str(settings.data)]
    assert main(words) == 2
    assert "SR-REDIS-PART" in capsys.readouterr().err
