"""What a pod opens of a mounted Secret: sealed files at their own place, certificates as they are, nothing else."""

import pytest

from strongroom import sealing
from strongroom.pki.keystores import opening
from strongroom.pki.keystores.opening import ClearKeys, NoMountedKeys, SwappedAuthority, open_mounted, open_part
from strongroom.pki.keystores.sealing_keys import keys_path, seal
from strongroom.secret import Secret

KEY = Secret(bytes(range(16)))


@pytest.fixture
def mounted(tmp_path):
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(b"public")
    (folder / "ca.pin").write_bytes(seal(Secret(b"public"), KEY, keys_path("worker", "ca.pin")))
    (folder / "tls.pem").write_bytes(seal(Secret(b"private"), KEY, keys_path("worker", "tls.pem")))
    return folder


def test_it_is_opened_into_files_of_ones_own_and_again_when_it_changes(mounted, tmp_path):
    open_part(mounted, tmp_path / "to", "worker", KEY)
    before = opening.state(mounted)
    assert (tmp_path / "to/tls.pem").read_bytes() == b"private"
    assert (tmp_path / "to/ca.crt").read_bytes() == b"public"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "to").glob("*.*") if path.is_file()} == {0o600}
    (mounted / "tls.pem").write_bytes(seal(Secret(b"renewed"), KEY, keys_path("worker", "tls.pem")))
    assert opening.state(mounted) != before
    open_part(mounted, tmp_path / "to", "worker", KEY)
    assert (tmp_path / "to/tls.pem").read_bytes() == b"renewed"
    assert len(list((tmp_path / "to").glob("..*"))) == 2  # the link and what it leads to


def test_dp_04_an_authority_that_the_operator_put_there_is_refused(mounted, tmp_path):
    (mounted / "ca.crt").write_bytes(b"swapped")
    with pytest.raises(SwappedAuthority) as refused:
        open_part(mounted, tmp_path / "to", "worker", KEY)
    assert refused.value.code == "SR-KEYS-CA"
    (mounted / "ca.crt").unlink()
    with pytest.raises(SwappedAuthority):
        open_part(mounted, tmp_path / "to", "worker", KEY)
    (mounted / "ca.pin").unlink()
    with pytest.raises(NoMountedKeys):
        open_part(mounted, tmp_path / "to", "worker", KEY)
    assert not (tmp_path / "to").exists()


def test_what_gramine_shows_opened_is_copied_without_a_look_at_what_it_cannot_show(mounted, tmp_path):
    (mounted / "tls.pem").write_bytes(b"private")  # as the program in the enclave sees it
    (mounted / "ca.crt").unlink()
    (mounted / "ca.crt").symlink_to("nowhere")
    (mounted / "ca.pin").write_bytes(b"measured")
    open_mounted(mounted, tmp_path / "to", b"measured")
    assert (tmp_path / "to/tls.pem").read_bytes() == b"private"
    assert (tmp_path / "to/ca.crt").read_bytes() == b"measured"
    before = opening.state(mounted, sealed_only=True)
    (mounted / "tls.pem").write_bytes(b"renewed, longer")
    assert opening.state(mounted, sealed_only=True) != before


def test_a_mount_that_opens_nothing_is_refused(mounted, tmp_path):
    with pytest.raises(NoMountedKeys, match="still sealed"):
        open_mounted(mounted, tmp_path / "to", b"measured")
    (mounted / "tls.pem").unlink()
    (mounted / "ca.pin").unlink()
    with pytest.raises(NoMountedKeys):
        open_mounted(mounted, tmp_path / "to", b"measured")


def test_another_parts_file_does_not_open_in_its_place(mounted, tmp_path):
    with pytest.raises(sealing.WrongPath):
        open_part(mounted, tmp_path / "to", "redis", KEY)
    assert not (tmp_path / "to").exists()


def test_a_private_file_in_clear_is_refused_where_there_is_a_tee(mounted, tmp_path):
    (mounted / "tls.key").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    with pytest.raises(ClearKeys) as refused:
        open_part(mounted, tmp_path / "to", "worker", KEY)
    assert refused.value.code == "SR-KEYS-CLEAR"


def test_a_sealed_file_is_refused_where_nothing_may_open_it(mounted, tmp_path):
    with pytest.raises(NoMountedKeys):
        open_part(mounted, tmp_path / "to", "worker", None)


def test_a_folder_that_is_not_there_is_empty_or_holds_too_much_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    for number in range(65):
        (tmp_path / "full" / f"{number}.crt").touch()
    for name in ("absent", "empty", "full"):
        with pytest.raises(NoMountedKeys) as refused:
            open_part(tmp_path / name, tmp_path / "to", "worker", KEY)
        assert refused.value.code == "SR-KEYS-MOUNT"
