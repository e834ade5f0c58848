"""Disks that are full, folders that vanish, writers that are killed: what serves goes on, what must be kept is kept."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from strongroom.collateral import CollateralRollback, LiveSource
from strongroom.collateral.cache import Cache
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.opening import GraceUnrecorded, audit_file
from strongroom.collateral.seen import Seen, SeenDamaged, SeenUnwritten

MONTH = Freshness(max_age=timedelta(days=40))
GRACE = Freshness(max_age=timedelta(days=40), grace=timedelta(days=3))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def live(folder, world_anchor, clock):
    """Return a maker of sources over one cache folder, as a restarted process would open it."""

    def make(*sources, rules=MONTH) -> LiveSource:
        store = Cache(folder)
        return LiveSource(sources, anchors=[world_anchor], rules=rules, store=store, seen=Seen(folder),
                          audit=audit_file(folder), clock=clock)  # fmt: skip

    return make


def test_a_cache_that_takes_no_entry_stops_nobody(live, publish, world_quote, folder, caplog):
    source = live(FileSource(publish()))
    shutil.rmtree(folder / "entries")
    found = source.collateral_for(world_quote)
    assert source.collateral_for(world_quote) is found, "this process holds it in memory"
    assert "is not kept" in caplog.text


def test_a_cache_that_is_full_keeps_what_it_has_and_renews_it(live, publish, world_quote, folder, clock):
    source = live(FileSource(publish()))
    source._store = Cache(folder, max_entries=3)
    found = source.collateral_for(world_quote)
    assert source.collateral_for(world_quote) is found
    kept = {path.name for path in (folder / "entries").iterdir()}
    assert len(kept) == 3
    clock.turn(days=31)
    publish(at=clock(), number=18)
    source.collateral_for(world_quote)
    assert {path.name for path in (folder / "entries").iterdir()} == kept


def test_a_cache_without_locks_serves_on(live, publish, world_quote, folder, caplog):
    source = live(FileSource(publish()))
    shutil.rmtree(folder / "locks")
    source.collateral_for(world_quote)
    assert "other processes are not waited for" in caplog.text
    assert len(list((folder / "entries").iterdir())) == 4


def test_tcb_08_what_was_seen_must_be_recorded_before_it_is_used(live, publish, world_quote, folder):
    (folder / "seen.lock").mkdir(parents=True)
    folder.chmod(0o700)
    with pytest.raises(SeenUnwritten) as refused:
        live(FileSource(publish())).collateral_for(world_quote)
    assert refused.value.code == "SR-COLLATERAL-SEEN-WRITE"
    assert list((folder / "entries").iterdir()) == []


def test_a_renewal_that_cannot_be_recorded_leaves_in_place_what_serves(live, publish, world_quote, folder, clock):
    mirror = FileSource(publish())
    source = live(mirror)
    found = source.collateral_for(world_quote)
    (folder / "seen.lock").unlink()
    (folder / "seen.lock").mkdir()
    clock.turn(days=16)
    publish(at=clock(), number=18)
    source.refresh()
    assert source.collateral_for(world_quote) is found


@pytest.mark.parametrize("what", ["folder", "too long"])
def test_tcb_08_a_record_that_cannot_be_read_stops_everything(live, publish, world_quote, folder, what):
    source = live(FileSource(publish()))
    source.collateral_for(world_quote)
    record = folder / "seen.json"
    if what == "folder":
        record.unlink()
        record.mkdir()
    else:
        record.write_bytes(b" " * (1024 * 1024 + 1))
    with pytest.raises(SeenDamaged):
        source.collateral_for(world_quote)


def test_tcb_08_a_record_removed_under_a_running_process_is_remembered_by_it(live, publish, world_quote, folder, clock):
    source = live(FileSource(publish("new", number=19)))
    source.collateral_for(world_quote)
    (folder / "seen.json").unlink()
    clock.turn(days=31)
    publish("new", number=17, at=clock())
    with pytest.raises(CollateralRollback):
        source.collateral_for(world_quote)


@pytest.fixture
def full_disk():
    """Return a function after which no file may be longer than the bytes given: writing more fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def late(live, publish, world_quote, clock) -> LiveSource:
    """Return a source whose cache ended a day ago, whose owner allows a grace, and which has used it once."""
    live(FileSource(publish())).collateral_for(world_quote)
    clock.turn(days=31)
    source = live(rules=GRACE)
    source.collateral_for(world_quote)
    return source


def test_tcb_11_half_a_record_is_no_record_and_spoils_no_other(late, world_quote, folder, full_disk):
    source, record = late, folder / "audit.jsonl"
    size = record.stat().st_size
    full_disk(size + 20)
    with pytest.raises(GraceUnrecorded) as refused:
        source.collateral_for(world_quote)
    assert refused.value.code == "SR-COLLATERAL-AUDIT"
    assert record.stat().st_size == size
    full_disk(resource.RLIM_INFINITY)
    source.collateral_for(world_quote)
    assert [json.loads(line)["event"] for line in record.read_text().splitlines()] == ["collateral-grace"] * 2


KILLED = """
import os, signal, sys
from pathlib import Path
from strongroom.collateral.cache import Cache
from strongroom.pki import disk
disk.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
cache = Cache(Path(sys.argv[1]))
key, entry = next(cache.entries())
cache.save(key, entry)
"""


def test_a_writer_killed_in_the_middle_leaves_the_old_entry_and_no_draft(live, publish, world_quote, folder, clock):
    source = live(FileSource(publish()))
    found = source.collateral_for(world_quote)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((folder / "entries").glob(".*.partial"))) == 1
    assert live().collateral_for(world_quote) == found
    clock.turn(days=16)
    publish(at=clock(), number=18)
    (folder / "seen.json").with_name(".seen.json.0123.partial").write_text("{")
    again = live(FileSource(publish(at=clock(), number=18)))
    again.collateral_for(world_quote)
    again.refresh()
    clock.turn(days=400)
    live(FileSource(publish(at=clock(), number=18))).collateral_for(world_quote)  # the root's list too
    assert list(folder.rglob("*.partial")) == []


def test_a_link_in_the_place_of_an_entry_is_replaced_and_never_written_through(live, publish, world_quote, folder,
                                                                               tmp_path):  # fmt: skip
    mirror = FileSource(publish())
    found = live(mirror).collateral_for(world_quote)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for path in (folder / "entries").iterdir():
        path.unlink()
        path.symlink_to(victim)
    assert live(mirror).collateral_for(world_quote) == found
    assert victim.read_text() == "precious"
    assert not any(path.is_symlink() for path in (folder / "entries").iterdir())
