"""What counts as memory, and what as a disk that others can read."""

from pathlib import Path

import pytest

from strongroom.analytics.session.storage import (
    DiskInTheClear,
    Mount,
    check_local_dir,
    is_in_memory,
    mount_of,
    parse_mounts,
)

TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /dev/shm rw,nosuid shared:12 - tmpfs tmpfs rw
31 22 0:31 / /mnt/with\\040space rw - tmpfs tmpfs rw
32 30 254:0 /x /dev/shm/disk rw - ext4 /dev/vda rw
not a line of mountinfo
"""


def test_lines_of_mountinfo_are_read_and_others_left_out():
    mounts = parse_mounts(TABLE)
    assert mounts[1] == Mount("/dev/shm", "tmpfs", "0:26")
    assert mounts[2].point == "/mnt/with space"
    assert len(mounts) == 4


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/tmp/x", "ext4"), ("/dev/shm/a/b", "tmpfs"), ("/dev/shmother", "ext4"), ("/dev/shm/disk/x", "ext4")],
)
def test_the_nearest_mount_counts_not_those_around_it(path, kind):
    found = mount_of(Path(path), parse_mounts(TABLE))
    assert found is not None
    assert found.kind == kind


def test_of_two_mounts_at_one_place_the_later_covers_the_earlier():
    mounts = (Mount("/a", "tmpfs", "0:1"), Mount("/a", "ext4", "8:1"))
    found = mount_of(Path("/a/b"), mounts)
    assert found == mounts[1]


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="there is no /dev/shm here")
def test_shared_memory_is_memory():
    assert is_in_memory(Path("/dev/shm"))
    assert check_local_dir(Path("/dev/shm")) == Path("/dev/shm")


def test_an_09_a_local_directory_on_a_disk_in_clear_is_refused_with_the_reason(on_disk, tmp_path):
    with pytest.raises(DiskInTheClear, match="neither in memory nor encrypted") as refused:
        check_local_dir(on_disk)
    assert refused.value.code == "SR-SPARK-LOCAL-DIR"
    with pytest.raises(DiskInTheClear, match="no folder"):
        check_local_dir(tmp_path / "absent")
