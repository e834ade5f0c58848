"""What enters an image of ours: pinned, the same on every machine, and for the broker on a list."""

import sys
from importlib import metadata

import pytest

from strongroom.deploy.description import Role
from strongroom.deploy.images import program
from strongroom.deploy.images.pins import canonical, closure
from strongroom.deploy.images.program import SITE, NativeCodeUnknown, ProgramNotPortable
from strongroom.deploy.images.roles import CONTENTS, NATIVE_IN_BROKER

INSTALLED = {
    "strongroom": (
        "0.1.0",
        ["numpy>=2", "Grpc_IO>=1", "psycopg[binary]>=3; extra == 'postgres'", "gone>1; os_name=='nt'"],
    ),
    "numpy": ("2.4.6", []),
    "grpc-io": ("1.85", ["typing.extensions~=4.12"]),
    "typing-extensions": ("4.16", ["strongroom"]),
    "psycopg": ("3.3", ["psycopg-binary==3.3; extra == 'binary'", "psycopg-c==3.3; extra == 'c'"]),
    "psycopg-binary": ("3.3", []),
    "psycopg-c": ("3.3", []),
}


def facts(name):
    return INSTALLED.get(canonical(name))


def test_without_a_lock_what_is_installed_is_pinned_with_all_that_it_asks_for():
    found = closure("strongroom", extras=(), without=(), facts=facts)
    assert found == ["grpc-io==1.85", "numpy==2.4.6", "typing-extensions==4.16"]


def test_extras_are_followed_and_what_a_role_leaves_out_is_not():
    found = closure("strongroom", extras=("postgres",), without=("Grpc.IO",), facts=facts)
    assert found == ["numpy==2.4.6", "psycopg==3.3", "psycopg-binary==3.3"]


def test_what_is_installed_here_is_pinned_for_every_role():
    for role in (Role.CLIENT, Role.BROKER, Role.MODEL_SERVER):
        found = program._installed(role)
        assert f"cryptography=={metadata.version('cryptography')}" in found
        names = {each.partition("==")[0] for each in found}
        assert not names & {canonical(each) for each in CONTENTS[role].without}


def test_sa_06_compiled_code_that_nobody_admitted_is_kept_out_of_the_broker_with_sr_image_native(tmp_path):
    (tmp_path / "cryptography" / "hazmat").mkdir(parents=True)
    (tmp_path / "cryptography" / "hazmat" / "_rust.abi3.so").touch()
    (tmp_path / "_cffi_backend.cpython-311-x86_64-linux-gnu.so").touch()
    program._check_native(tmp_path)
    (tmp_path / "surprise.libs").mkdir()
    (tmp_path / "surprise.libs" / "libx.so.1").touch()
    with pytest.raises(NativeCodeUnknown) as caught:
        program._check_native(tmp_path)
    assert caught.value.code == "SR-IMAGE-NATIVE"
    assert "surprise" in caught.value.sentence


def test_sa_06_the_brokers_list_holds_nothing_that_its_image_leaves_out():
    assert not NATIVE_IN_BROKER & {name.replace("-", "_") for name in CONTENTS[Role.BROKER].without}


def test_what_tells_of_this_machine_is_taken_away(tmp_path):
    record = tmp_path / SITE / "x-1.dist-info" / "RECORD"
    (tmp_path / SITE / "bin").mkdir(parents=True)
    (tmp_path / SITE / "bin" / "tool").write_text("#!/home/somebody/python")
    record.parent.mkdir()
    (record.parent / "direct_url.json").write_text("{}")
    (tmp_path / SITE / "x.py").write_text("x = 1")
    record.write_text("x.py,sha256=a,5\nbin/tool,sha256=b,1\nx-1.dist-info/direct_url.json,,\nx-1.dist-info/RECORD,,\n")
    program._neutral(tmp_path)
    assert record.read_text() == "x-1.dist-info/RECORD,,\nx.py,sha256=a,5\n"
    assert not (tmp_path / SITE / "bin").exists()
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_file()} == {"0o644"}


def test_a_compiled_program_for_another_python_is_refused_with_sr_image_program(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "PYTHON_VERSION", "3.99")
    compiled = metadata.PackagePath("strongroom/serving/_codec.so")
    monkeypatch.setattr(program.metadata, "distribution", lambda _: type("Installed", (), {"files": [compiled]})())
    with pytest.raises(ProgramNotPortable) as caught:
        program._copy_installed(tmp_path)
    assert caught.value.code == "SR-IMAGE-PROGRAM"
    assert str(sys.version_info[1]) in caught.value.sentence


def test_the_uv_that_make_fetched_serves_where_none_is_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "checkout", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert program._where_uv_is() == "uv"
    fetched = tmp_path / ".tools" / "bin" / "uv"
    fetched.parent.mkdir(parents=True)
    fetched.write_text("#!/bin/sh\n")
    fetched.chmod(0o755)
    assert program._where_uv_is() == str(fetched)
    on_path = tmp_path / "empty" / "uv"
    on_path.parent.mkdir()
    on_path.write_text("#!/bin/sh\n")
    on_path.chmod(0o755)
    assert program._where_uv_is() == "uv"
