"""A store that an earlier release made: a column added since holds SQLite's default, and is copied like any other."""

from contextlib import closing

from strongroom.broker.store import copying
from strongroom.broker.store.opening import open_store


def test_the_copy_of_an_upgraded_store_is_the_same(tmp_path):
    with closing(open_store(tmp_path / "old.db")) as old, closing(open_store(tmp_path / "new.db")) as new:
        old.write(lambda tx: tx.execute(
            "INSERT INTO ledger_head (id, seq, digest, time_ms, frontier, root_size, root, seal)"
            " VALUES (1, 0, 'd', 1, x'00', 0, x'', x'01')"
        ))  # fmt: skip
        wanted = copying.lasting()
        original = old.read(lambda tx: new.write(lambda into: copying.read(tx, wanted, into=into)))
        assert new.read(lambda tx: copying.read(tx, wanted)) == original
        [[kind]] = new.read(lambda tx: tx.execute("SELECT typeof(vouched) FROM ledger_head"))
        assert kind == "blob"
