"""Where Flink is, where a cluster is, what a folder holds: found, or refused with a sentence."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from strongroom.pki import keys
from strongroom.pki.disk import AlreadyThere
from strongroom.pki.keystores.pkcs12 import read_pkcs12
from strongroom.secret import Secret
from strongroom.serving.operations import detached
from strongroom.serving.operations.detached import Started
from strongroom.streaming.flink import cluster, installing
from strongroom.streaming.flink.cluster import ClusterDied, ClusterRuns, ForeignFolder, Size
from strongroom.streaming.flink.folder import ClusterFolder, NoCluster, Running
from strongroom.streaming.flink.home import FlinkHome, FlinkMissing, JavaMissing, find_java
from strongroom.streaming.flink.installing import InstallFailed, NoPython311, python_311, requirements
from strongroom.streaming.flink.jobs.wordcount import words_of
from strongroom.streaming.flink.queueing import JobStuck
from strongroom.streaming.flink.rest import BadFlinkAddress, NoFlinkCertificate, Place
from strongroom.streaming.flink.stores import make_identities
from strongroom.streaming.flink.submitting import JobFailed, NoSuchProgram, Program, submit

REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture
def fake(tmp_path):
    """Return an environment whose Flink is a few lines of shell: `client` is what its client does."""
    distribution = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "pyflink"
    (distribution / "bin").mkdir(parents=True)
    (distribution / "conf").mkdir()
    for name in ("log4j-console.properties", "log4j-cli.properties", "log4j-session.properties"):
        (distribution / "conf" / name).write_text("")

    def make(client="exit 0", daemon="exit 1"):
        for name, text in (("flink", client), ("jobmanager.sh", daemon), ("taskmanager.sh", daemon)):
            (distribution / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (distribution / "bin" / name).chmod(0o755)
        return FlinkHome(environment=tmp_path / "venv", distribution=distribution, java_home=tmp_path)

    return make


@pytest.fixture
def place(tmp_path):
    found = make_identities(["localhost"], now=datetime.now(UTC))
    tls = tmp_path / "tls"
    tls.mkdir()
    (tls / "ca.pem").write_bytes(found.rest_ca_pem)
    (tls / "cert.pem").write_bytes(found.client.certificate_pem)
    with found.client.key_pem.reveal() as raw:
        (tls / "key.pem").write_bytes(raw)
    (tls / "key.pem").chmod(0o600)
    return Place("localhost", 1, tls)


def test_an_environment_without_flink_is_named(tmp_path, monkeypatch):
    with pytest.raises(FlinkMissing) as missing:
        FlinkHome.find(tmp_path)
    assert missing.value.code == "SR-FLINK-MISSING"
    monkeypatch.setenv("STRONGROOM_FLINK", str(tmp_path / "named"))
    with pytest.raises(FlinkMissing, match="named"):
        FlinkHome.find()


def test_a_machine_without_java_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JavaMissing) as missing:
        find_java()
    assert missing.value.code == "SR-FLINK-JAVA"


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "a/b:1", "a b:1"])
def test_what_is_no_address_is_refused(text, tmp_path):
    with pytest.raises(BadFlinkAddress) as refused:
        Place.of(text, tmp_path)
    assert refused.value.code == "SR-FLINK-ADDRESS"


def test_addresses_are_read(tmp_path):
    assert Place.of("flink.example:8081", tmp_path).host == "flink.example"
    assert Place.of("[::1]:8081", tmp_path).host == "::1"


def test_a_folder_without_certificates_is_named(tmp_path):
    with pytest.raises(NoFlinkCertificate) as refused:
        Place("localhost", 1, tmp_path).context()
    assert refused.value.code == "SR-FLINK-TLS"


def test_dp_05_the_inside_and_the_rest_api_have_authorities_that_never_meet():
    found = make_identities(["localhost", "127.0.0.1"], now=datetime.now(UTC))
    trusted = {
        name: read_pkcs12(each.trust, Secret(each.password.encode()))
        for name, each in (("inside", found.internal), ("server", found.rest_server), ("client", found.rest_client))
    }
    assert [len(each) for each in trusted.values()] == [1, 1, 1]  # the CA's certificate alone, no key
    assert trusted["server"][0].certificate == trusted["client"][0].certificate != trusted["inside"][0].certificate
    assert len({found.internal.password, found.rest_server.password, found.rest_client.password}) == 3
    usage = keys.load_certificates(found.client.certificate_pem)[0].extensions.get_extension_for_class(
        x509.ExtendedKeyUsage
    )
    assert list(usage.value) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_folder_with_something_else_is_left_alone(tmp_path, fake):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(ForeignFolder) as refused:
        cluster.up(tmp_path / "mine", fake(), Size())
    assert refused.value.code == "SR-FLINK-FOLDER"
    assert (tmp_path / "mine" / "letter").read_text() == "dear"


def test_a_cluster_whose_process_ends_says_so(tmp_path, fake):
    with pytest.raises(ClusterDied) as died:
        cluster.up(tmp_path / "cluster", fake(), Size())
    assert died.value.code == "SR-FLINK-DIED"
    with pytest.raises(ClusterDied):  # what was left is taken over
        cluster.up(tmp_path / "cluster", fake(), Size())
    assert cluster.down(tmp_path / "cluster") == 0


def test_a_cluster_that_runs_is_not_started_again_and_is_ended_by_its_own_processes(tmp_path):
    folder = ClusterFolder(tmp_path / "cluster")
    folder.path.mkdir()
    sleeper = detached.start("jobmanager", ["sleep", "600"], {"PATH": os.environ["PATH"]}, tmp_path / "said")
    stranger = Started("taskmanager", os.getpid(), 1)  # this number is another process's by now
    record = Running(rest_port=1, environment="/v", processes=(sleeper, stranger))
    folder.record.write_bytes(record.to_json())
    assert Running.of_json(record.to_json()) == record
    with pytest.raises(ClusterRuns) as runs:
        cluster.up(folder.path, FlinkHome(environment=tmp_path, distribution=tmp_path, java_home=tmp_path), Size())
    assert runs.value.code == "SR-FLINK-RUNS"
    assert cluster.down(folder.path) == 1
    assert not detached.alive(sleeper)
    assert not folder.path.exists()


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"processes": [1]}', b"[" * 5000])
def test_a_record_that_is_none_is_no_cluster(text):
    with pytest.raises(NoCluster) as nothing:
        Running.of_json(text)
    assert nothing.value.code == "SR-FLINK-NO-CLUSTER"


def test_what_cannot_run_on_flink_is_refused(tmp_path):
    (tmp_path / "program.txt").write_text("")
    for name in ("nothing.py", str(tmp_path / "program.txt"), "unknown"):
        with pytest.raises(NoSuchProgram) as refused:
            Program.named(name)
        assert refused.value.code == "SR-FLINK-PROGRAM"
    assert Program.named("wordcount").name == "wordcount.py"


def test_a_program_s_lines_and_jobs_are_told_apart(fake, place, tmp_path):
    (tmp_path / "p.py").write_text("")
    home = fake("echo Job has been submitted with JobID 0123456789abcdef0123456789abcdef; echo a line; echo $7 $8")
    lines, jobs = [], []
    found = submit(
        place, home, Program(file=tmp_path / "p.py", arguments=("one",)), output=lines.append, submitted=jobs.append
    )
    assert found == jobs == ["0123456789abcdef0123456789abcdef"]
    assert lines == ["a line\n", f"{tmp_path}/p.py one\n"]


def test_a_job_that_fails_says_flink_s_reason(fake, place, tmp_path):
    (tmp_path / "p.jar").write_text("")
    home = fake("echo 'Caused by: java.lang.Exception: too few slots' >&2; exit 1")
    with pytest.raises(JobFailed, match="too few slots") as failed:
        submit(place, home, Program(file=tmp_path / "p.jar"))
    assert failed.value.code == "SR-FLINK-JOB-FAILED"


def test_d20_a_client_sees_no_variable_of_ours_and_its_configuration_is_private_and_gone(
    fake, place, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOME_SECRET", "canary")
    (tmp_path / "p.py").write_text("")
    lines = []
    home = fake('env; stat -c "mode %a" $FLINK_CONF_DIR $FLINK_CONF_DIR/config.yaml $FLINK_CONF_DIR/rest.p12')
    submit(place, home, Program(file=tmp_path / "p.py"), output=lines.append)
    text = "".join(lines)
    assert "canary" not in text
    assert [line for line in lines if line.startswith("mode")] == ["mode 700\n", "mode 600\n", "mode 600\n"]
    configuration = next(line for line in lines if line.startswith("FLINK_CONF_DIR=")).strip().partition("=")[2]
    assert not Path(configuration).exists()


def test_the_words_of_a_line():
    assert list(words_of("To be, or NOT to-be!")) == [(word, 1) for word in ("to", "be", "or", "not", "to", "be")]


def test_an_environment_is_made_with_python_3_11_alone(tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3.13\n")
    other.chmod(0o755)
    with pytest.raises(NoPython311) as refused:
        python_311(str(other))
    assert refused.value.code == "SR-FLINK-PYTHON"


def test_an_installation_that_fails_leaves_nothing_and_one_that_is_there_is_kept(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\n[ $1 = -c ] && echo 3.11 && exit 0\nmkdir -p $3; exit 7\n")
    program.chmod(0o755)
    with pytest.raises(InstallFailed) as failed:
        installing.install(tmp_path / "new", python=str(program))
    assert failed.value.code == "SR-FLINK-INSTALL"
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("")
    with pytest.raises(AlreadyThere):
        installing.install(tmp_path / "old", python=str(program))


def test_the_packaged_locks_are_those_of_flink_s_own():
    import tomllib

    locked = tomllib.loads((REPOSITORY / "flink" / "uv.lock").read_text())
    versions = {each["name"]: each["version"] for each in locked["package"]}
    for name in ("requirements.txt", "builders.txt"):
        lines = requirements(name).decode().splitlines()
        pins = [line.split(" ")[0].split("==") for line in lines if line and not line.startswith((" ", "#"))]
        assert pins
        for package, version in pins:
            assert versions[package.partition("[")[0]] == version.rstrip("\\")
        assert sum("--hash=sha256:" in line for line in lines) >= len(pins)


def test_the_sentence_of_what_takes_too_long():
    assert JobStuck("x").code == "SR-FLINK-STUCK"
