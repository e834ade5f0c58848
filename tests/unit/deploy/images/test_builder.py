"""Builders: what each is told, with programs in their place that write down their words."""

import os
import shutil
import stat

import pytest

from strongroom.deploy.images import programs
from strongroom.deploy.images.builder import BuilderMissing, BuilderName, CommandBuilder, choose, is_loopback
from strongroom.deploy.images.programs import ProgramFailed, ProgramMissing

DIGEST = f"sha256:{'ab' * 32}"
RECORDER = f"""#!/bin/sh
printf '%s\\n' "$*" >> "$RECORD"
previous=
for word in "$@"; do
  case $previous in --digestfile) printf '{DIGEST}' > "$word";; --output) : > "$word";; esac
  case $word in docker-archive:*) place=${{word#docker-archive:}}; : > "${{place%%:*}}";; esac
  previous=$word
done
echo "pushed: digest: {DIGEST} size: 1"
"""


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """A PATH that holds what a test puts there, and a shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def recorded(bin_folder, tmp_path):
    """Return a function that puts a builder there and gives it back with what it was told."""
    record = tmp_path / "record"
    shell = shutil.which("sh", path="/bin:/usr/bin")

    def install(name):
        place = bin_folder / name
        place.write_text(RECORDER.replace("/bin/sh", shell))
        place.chmod(place.stat().st_mode | stat.S_IXUSR)
        builder = choose(None, {**os.environ, "RECORD": str(record)})
        assert builder.name == name
        return builder, lambda: record.read_text().splitlines()

    return install


@pytest.mark.parametrize("name", ["buildah", "podman"])
def test_builds_are_without_privileges_and_with_one_fixed_time(recorded, tmp_path, name):
    builder, told = recorded(name)
    builder.build(tmp_path, "localhost:5000/x:1")
    [words] = told()
    assert "--isolation chroot" in words
    assert "--timestamp 1767225600" in words
    assert "--pull=never" in words


def test_docker_gets_the_time_and_the_list_of_what_may_enter_its_own_way(recorded, tmp_path):
    (tmp_path / ".containerignore").write_text("*\n")
    builder, told = recorded("docker")
    builder.build(tmp_path, "localhost:5000/x:1", base="debian@sha256:00")
    assert (tmp_path / ".dockerignore").read_text() == "*\n"
    [words] = told()
    assert words.startswith("build --build-arg BASE=debian@sha256:00 --tag localhost:5000/x:1")


@pytest.mark.parametrize("name", list(BuilderName))
def test_an_image_is_pushed_and_known_by_its_digest(recorded, name):
    builder, told = recorded(name)
    assert builder.push("localhost:5000/x:1", plain_http=True) == DIGEST
    assert ("--tls-verify=false" in told()[0]) is (name is not BuilderName.DOCKER)
    builder.push("registry.example/x:1", plain_http=False)
    assert "--tls-verify" not in told()[1]


@pytest.mark.parametrize("name", list(BuilderName))
def test_an_image_is_saved_in_one_step(recorded, tmp_path, name):
    builder, _ = recorded(name)
    builder.save("localhost:5000/x:1", tmp_path / "out" / "image.tar")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["image.tar"]


def test_a_program_of_an_image_runs_without_network_where_the_builder_has_such_a_thing(recorded):
    builder, told = recorded("docker")
    builder.run("x:1", ["strongroom", "--help"])
    assert told() == ["run --rm --network none --entrypoint strongroom x:1 --help"]


def test_plain_http_is_for_registries_on_this_machine_alone():
    assert is_loopback("localhost:5000/x:1")
    assert is_loopback("127.0.0.1:5000/x:1")
    assert not is_loopback("registry.example:5000/x:1")
    assert not is_loopback("localhost.example:5000/x:1")
    assert not is_loopback("docker.io/library/x:1")


@pytest.mark.usefixtures("bin_folder")
@pytest.mark.parametrize("wanted", [None, BuilderName.PODMAN])
def test_no_builder_is_sr_builder(wanted):
    with pytest.raises(BuilderMissing) as caught:
        choose(wanted, {})
    assert caught.value.code == "SR-BUILDER"


@pytest.mark.usefixtures("bin_folder")
def test_a_program_that_is_not_there_is_sr_image_tool_and_says_how_to_get_it():
    with pytest.raises(ProgramMissing) as caught:
        CommandBuilder(name=BuilderName.PODMAN, environ={}).has("x")
    assert caught.value.code == "SR-IMAGE-TOOL"
    assert "apt-get install podman" in caught.value.fix


def test_a_program_that_fails_is_sr_image_build_with_its_last_lines():
    words = ["-c", "for n in $(seq 40); do echo line $n >&2; done; printf '\\033[31m' >&2; exit 3"]
    with pytest.raises(ProgramFailed) as caught:
        programs.run("sh", words, os.environ, install="a shell", timeout_s=30)
    assert caught.value.code == "SR-IMAGE-BUILD"
    assert "status 3" in caught.value.sentence
    assert "line 40" in caught.value.sentence
    assert "line 20\n" not in caught.value.sentence
    assert "\033" not in caught.value.sentence


def test_a_program_that_does_not_end_is_not_waited_for():
    with pytest.raises(ProgramFailed, match="did not end"):
        programs.run("sleep", ["60"], os.environ, install="coreutils", timeout_s=0.05)
