"""Sealed files on disk: round trips, what a failure leaves behind (nothing), and what an output may be."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import sealing
from strongroom.sealing import disk
from strongroom.secret import Secret

GROUP = 96 * 4096


@pytest.fixture
def names(tmp_path):
    return lambda: sorted(path.name for path in tmp_path.iterdir())


@pytest.fixture(params=["nameless", "temporary name"])
def kind_of_output(request, monkeypatch):
    """Run with O_TMPFILE, and as on a file system that has none."""
    if request.param == "temporary name":
        monkeypatch.setattr(disk, "open_nameless", lambda _folder, _mode: None)
    return request.param


@pytest.mark.parametrize("size", [0, 1, 3072, 3073, 396289, 2_000_000])
@pytest.mark.parametrize("version", [1, 2])
def test_a_file_comes_back_as_it_was(tmp_path, key, plain, *, kind_of_output, names, size, version):
    source = tmp_path / "plain"
    source.write_bytes(plain("file", size))
    sealed = sealing.encrypt_file(source, tmp_path / "sealed", key, stored_path="./m//x", version=version)
    assert (sealed.stored_path, sealed.size, sealed.version) == ("m/x", size, version)
    assert sealed.pin == sealing.pin_file(tmp_path / "sealed")
    assert sealing.verify_file(tmp_path / "sealed", key, stored_path="m/x") == sealed
    assert sealing.decrypt_file(tmp_path / "sealed", tmp_path / "back", key, stored_path="m/x") == sealed
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert names() == ["back", "plain", "sealed"]


def test_plaintext_is_for_its_owner_alone(tmp_path, key):
    (tmp_path / "plain").write_bytes(b"x")
    sealing.encrypt_file(tmp_path / "plain", tmp_path / "sealed", key, stored_path="x")
    sealing.decrypt_file(tmp_path / "sealed", tmp_path / "back", key, stored_path="x")
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o600


def test_an_existing_file_is_replaced_only_by_a_whole_one(tmp_path, key, seal, kind_of_output, names):
    sealed, target = tmp_path / "sealed", tmp_path / "target"
    target.write_bytes(b"what was there before, longer than what comes" * 1000)
    sealed.write_bytes(seal(b"x" * 5000)[:-4096])
    with pytest.raises(sealing.Truncated):
        sealing.decrypt_file(sealed, target, key, stored_path="a/b")
    assert target.read_bytes().startswith(b"what was there before")
    sealed.write_bytes(seal(b"x" * 5000))
    sealing.decrypt_file(sealed, target, key, stored_path="a/b")
    assert target.read_bytes() == b"x" * 5000
    assert names() == ["sealed", "target"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_last_node_leaves_no_plaintext(tmp_path, key, seal, plain, *, kind_of_output, names, workers):
    broken = bytearray(seal(plain("late", 3072 + 3 * GROUP)))
    broken[-1] ^= 1
    (tmp_path / "sealed").write_bytes(broken)
    with pytest.raises(sealing.DataTampered, match=f"data node {len(broken) // 4096 - 1} "):
        sealing.decrypt_file(tmp_path / "sealed", tmp_path / "out", key, stored_path="a/b", workers=workers)
    with pytest.raises(sealing.DataTampered):
        sealing.verify_file(tmp_path / "sealed", key, stored_path="a/b", workers=workers)
    assert names() == ["sealed"]


def test_a_full_disk_leaves_nothing(tmp_path, kind_of_output, names):
    """The file-size limit of a process stands in for a full disk: writing fails halfway."""
    (tmp_path / "plain").write_bytes(bytes(1_000_000))
    program = (
        "import resource, sys; from pathlib import Path; from strongroom import sealing\n"
        "from strongroom.sealing import disk; from strongroom.secret import Secret\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "if sys.argv[1] == 'temporary name': disk.open_nameless = lambda _folder, _mode: None\n"
        "try: sealing.encrypt_file(Path('plain'), Path('out'), Secret(bytes(range(16))), stored_path='x')\n"
        "except OSError as problem: print(problem.strerror)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, kind_of_output], cwd=tmp_path, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout == "File too large\n"
    assert names() == ["plain"]


@pytest.mark.parametrize("in_the_way", ["link", "dangling", "folder", "fifo", "self", "same inode"])
def test_an_output_is_a_new_or_an_ordinary_file(tmp_path, key, in_the_way):
    source, target = tmp_path / "plain", tmp_path / "target"
    source.write_bytes(b"precious")
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim")
    if in_the_way in {"link", "dangling"}:
        target.symlink_to(victim if in_the_way == "link" else tmp_path / "nowhere")
    elif in_the_way == "folder":
        target.mkdir()
    elif in_the_way == "fifo":
        os.mkfifo(target)
    elif in_the_way == "self":
        target = source
    else:
        target.hardlink_to(source)
    with pytest.raises(sealing.BadOutput) as caught:
        sealing.encrypt_file(source, target, key, stored_path="x")
    assert caught.value.code == "SR-OUTPUT"
    assert source.read_bytes() == b"precious"
    assert victim.read_bytes() == b"victim"
    assert not (tmp_path / "nowhere").exists()


def test_the_folder_of_the_output_must_exist(tmp_path, key):
    (tmp_path / "plain").write_bytes(b"x")
    with pytest.raises(sealing.BadOutput, match="does not exist"):
        sealing.encrypt_file(tmp_path / "plain", tmp_path / "no" / "out", key, stored_path="x")


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_an_input_is_an_ordinary_file(tmp_path, key, kind):
    source = tmp_path / "source"
    source.mkdir() if kind == "folder" else os.mkfifo(source)
    with pytest.raises(sealing.NotAFile) as caught:
        sealing.encrypt_file(source, tmp_path / "out", key, stored_path="x")
    assert caught.value.code == "SR-NOT-A-FILE"


@pytest.mark.parametrize("change", ["grow", "shrink", "write"])
def test_an_input_that_changes_meanwhile_is_not_sealed(tmp_path, key, names, change):
    source = tmp_path / "plain"
    source.write_bytes(bytes(40 * GROUP))

    def meddle(_done, _total):
        size = {"grow": 41 * GROUP, "shrink": 34 * GROUP, "write": 40 * GROUP}[change]
        os.truncate(source, size)
        os.utime(source, ns=(1, 1))

    with pytest.raises(sealing.ChangedMeanwhile):
        sealing.encrypt_file(source, tmp_path / "out", key, stored_path="x", progress=meddle)
    assert names() == ["plain"]


def test_progress_ends_at_the_size(tmp_path, key):
    (tmp_path / "plain").write_bytes(bytes(40 * GROUP))
    seen = []
    sealing.encrypt_file(tmp_path / "plain", tmp_path / "out", key, stored_path="x",
                         progress=lambda *each: seen.append(each))  # fmt: skip
    assert seen == [(32 * GROUP, 40 * GROUP), (40 * GROUP, 40 * GROUP)]


def test_opening_checks_the_path_as_given_unless_told(tmp_path, key, seal, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(seal(b"content"))
    for given in ("a/b", "./a//b"):
        with sealing.open(given, key) as reader:
            assert reader.read() == b"content"
    with pytest.raises(sealing.WrongPath):
        sealing.open(tmp_path / "a" / "b", key)
    with sealing.open(tmp_path / "a" / "b", key, stored_path=None) as reader:
        assert reader.read() == b"content"
    with pytest.raises(sealing.WrongPin):
        sealing.open("a/b", key, pin=bytes(32))


def test_a_refused_file_is_closed(tmp_path, seal, other_key):
    (tmp_path / "sealed").write_bytes(seal(b"x"))
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(sealing.WrongKeyOrTampered):
        sealing.open(tmp_path / "sealed", other_key)
    assert set(Path("/proc/self/fd").iterdir()) <= before


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("version", [1, 2])
def test_rekeying_changes_node_0_alone(
    tmp_path, key, other_key, seal, plain, *, kind_of_output, names, in_place, version
):
    data = plain("rekey", 500_000)
    source = tmp_path / "sealed"
    before = seal(data, version=version)
    source.write_bytes(before + b"\0" * 4096)
    source.chmod(0o640)
    target = source if in_place else tmp_path / "copy"
    summary = sealing.rewrite_file(source, target, key, new_key=other_key)
    after = target.read_bytes()
    assert after[4096:] == before[4096:]
    assert summary.pin == sealing.pin_of(after[:4096]) != sealing.pin_of(before[:4096])
    assert summary.version == version
    assert sealing.unseal_bytes(after, other_key, stored_path="a/b") == data
    with pytest.raises(sealing.WrongKeyOrTampered):
        sealing.unseal_bytes(after, key, stored_path="a/b")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert names() == (["sealed"] if in_place else ["copy", "sealed"])


def test_renaming_binds_to_the_new_path(tmp_path, key, seal):
    source = tmp_path / "sealed"
    source.write_bytes(seal(b"x" * 5000))
    assert sealing.rewrite_file(source, source, key, stored_path="./c/../d").stored_path == "d"
    assert sealing.unseal_bytes(source.read_bytes(), key, stored_path="d") == b"x" * 5000


def test_a_file_that_is_exchanged_before_it_is_renamed_keeps_its_path(tmp_path, key, seal, names):
    source = tmp_path / "sealed"
    source.write_bytes(seal(b"x" * 5000))
    before = source.read_bytes()
    with pytest.raises(sealing.WrongPath):
        sealing.rewrite_file(source, source, key, stored_path="d", old_path="the path that was asked for")
    assert source.read_bytes() == before
    assert names() == ["sealed"]
    assert sealing.rewrite_file(source, source, key, stored_path="d", old_path="a/b").stored_path == "d"


def test_an_interrupt_while_the_name_is_given_leaves_nothing(tmp_path, key, names, monkeypatch):
    (tmp_path / "plain").write_bytes(b"abc")
    (tmp_path / "out").write_bytes(b"old")

    def interrupted(*linked, link=os.link, **where):
        link(*linked, **where)
        raise KeyboardInterrupt

    monkeypatch.setattr(disk.os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sealing.encrypt_file(tmp_path / "plain", tmp_path / "out", key, stored_path="p")
    assert names() == ["out", "plain"]
    assert (tmp_path / "out").read_bytes() == b"old"


def test_a_file_with_an_unfinished_write_is_not_rewritten(tmp_path, key, other_key, seal):
    sealed = bytearray(seal(b"x" * 5000, version=2))
    sealed[58] |= 1
    (tmp_path / "sealed").write_bytes(sealed)
    with pytest.raises(sealing.UnfinishedWrite):
        sealing.rewrite_file(tmp_path / "sealed", tmp_path / "out", key, new_key=other_key)
    assert (tmp_path / "sealed").read_bytes() == sealed


def test_kd_02_a_file_can_be_brought_out_from_under_a_public_key(tmp_path, key, names):
    """Sealed by hand-fed metadata, as CCZoo's own tools would have; opened only by name, and never written again."""
    public = Secret(bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"))
    metadata = sealing.node0.Metadata(path=b"p", size=3, root=bytes(32), head=b"abc")
    sealed = tmp_path / "sealed"
    sealed.write_bytes(sealing.node0.seal_metadata(metadata, public, nonce=bytes(32), version=1))
    (tmp_path / "plain").write_bytes(b"abc")
    for attempt in (
        lambda: sealing.encrypt_file(tmp_path / "plain", tmp_path / "out", public, stored_path="p"),
        lambda: sealing.decrypt_file(sealed, tmp_path / "out", public, stored_path="p"),
        lambda: sealing.verify_file(sealed, public, stored_path="p"),
        lambda: sealing.open(sealed, public, stored_path="p"),
        lambda: sealing.rewrite_file(sealed, sealed, public, new_key=key),
        lambda: sealing.rewrite_file(sealed, sealed, key, new_key=public),
        lambda: sealing.rewrite_file(sealed, sealed, public, stored_path="q", weak_key=True),
    ):
        with pytest.raises(sealing.WeakKey) as caught:
            attempt()
        assert caught.value.code == "SR-WEAK-KEY"
        assert names() == ["plain", "sealed"]
    sealing.rewrite_file(sealed, tmp_path / "rekeyed", public, new_key=key, weak_key=True)
    assert sealing.unseal_bytes((tmp_path / "rekeyed").read_bytes(), key, stored_path="p") == b"abc"
    sealing.decrypt_file(sealed, tmp_path / "out", public, stored_path="p", weak_key=True)
    assert (tmp_path / "out").read_bytes() == b"abc"


def test_a_key_file_is_16_raw_bytes(tmp_path):
    path = tmp_path / "key"
    assert sealing.new_wrap_key(path) == sealing.read_wrap_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        sealing.new_wrap_key(path)
    for content in (b"", b"short", b"0123456789abcdef\n", b"30" * 16, b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(sealing.WrapKeyLength) as caught:
            sealing.read_wrap_key(path)
        assert caught.value.code == "SR-WRAP-KEY"


def test_two_new_keys_differ(tmp_path):
    assert sealing.new_wrap_key(tmp_path / "a") != sealing.new_wrap_key(tmp_path / "b")


def test_memory_stays_flat(tmp_path):
    """Sixteen times the size must not take more memory: the file is sparse, the nodes are not."""
    program = (
        "import os, sys; from pathlib import Path; from strongroom import sealing\n"
        "from strongroom.secret import Secret\n"
        "Path('in').touch(); os.truncate('in', int(sys.argv[1])); key = Secret(bytes(range(16)))\n"
        "sealing.encrypt_file(Path('in'), Path('sealed'), key, stored_path='x', workers=1)\n"
        "sealing.decrypt_file(Path('sealed'), Path('out'), key, stored_path='x', workers=1)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    peaks_kib = []
    for size in (8 * 1024 * 1024, 128 * 1024 * 1024):
        command = [sys.executable, "-c", program, str(size)]
        peaks_kib.append(int(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout))
    assert peaks_kib[1] - peaks_kib[0] < 2048
