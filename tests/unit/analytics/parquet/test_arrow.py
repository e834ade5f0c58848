"""Encrypted Parquet by pyarrow alone."""

import threading
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.parquet import arrow
from strongroom.analytics.parquet.arrow import decryption, read_dataset, read_file, write_dataset, write_file
from strongroom.analytics.parquet.pinned import Wanted
from strongroom.analytics.parquet.refusals import ParquetNotOpened
from strongroom.datasets.manifest import DataFilesChanged
from strongroom.datasets.names import BadCryptoMode, CryptoMode
from strongroom.datasets.wrapping import WrappedKeyRefused

MODES = [CryptoMode.AES_GCM_V1, CryptoMode.AES_GCM_CTR_V1]


@pytest.mark.parametrize("mode", MODES)
def test_a_file_comes_back_and_shows_nothing_meanwhile(tmp_path, keys, table, mode):
    path = tmp_path / "people.parquet"
    write_file(table, path, keys, "people", mode=mode)
    assert read_file(path, keys).equals(table)
    assert read_file(path, keys, ["salary"]).column_names == ["salary"]
    content = path.read_bytes()
    assert content.startswith(b"PARE")
    assert not any(word in content for word in (b"salary", b"Ada-Lovelace"))
    with pytest.raises(OSError, match="decryption"):
        pq.read_table(path)


@pytest.mark.parametrize("mode", MODES)
def test_an_10_a_column_without_its_key_is_an_error_and_no_nulls(tmp_path, keys, rings, table, mode):
    path = tmp_path / "people.parquet"
    write_file(table, path, keys, "people", mode=mode, columns={"pay": ["salary"]})
    some = RingKeys([rings["people"]])
    assert read_file(path, some, ["name"]).column("name").to_pylist() == ["Ada-Lovelace", "Bob-Beamon", "Cyd-Charisse"]
    for columns in (None, ["salary"]):
        with pytest.raises(KeyNotGranted, match="pay"):
            read_file(path, some, columns)
    assert read_file(path, keys).equals(table)
    assert b"Ada-Lovelace" not in path.read_bytes()  # what no key was named for is under the file's


def test_decimals_are_stored_as_spark_stores_them(tmp_path, keys):
    path = tmp_path / "pay.parquet"
    exact = {digits: pa.array([Decimal("-0.01"), None], pa.decimal128(digits, 2)) for digits in (9, 18, 38)}
    table = pa.table({f"d{digits}": values for digits, values in exact.items()})
    write_file(table, path, keys, "people")
    assert read_file(path, keys).equals(table)
    with pq.ParquetFile(path, decryption_properties=decryption(keys)) as opened:
        stored = [opened.schema.column(at).physical_type for at in range(3)]
    assert stored == ["INT32", "INT64", "FIXED_LEN_BYTE_ARRAY"]


def test_another_key_of_the_same_name_is_refused(tmp_path, keys, table):
    from strongroom.datasets.key_ring import KeyRing

    path = tmp_path / "people.parquet"
    write_file(table, path, keys, "people")
    with pytest.raises(WrappedKeyRefused, match=r"people\.1"):
        read_file(path, RingKeys([KeyRing.fresh("people")]))


def test_old_files_open_after_a_rotation(tmp_path, rings, keys, table):
    write_file(table, tmp_path / "old.parquet", keys, "people")
    rotated = RingKeys([rings["people"].rotated()])
    assert read_file(tmp_path / "old.parquet", rotated).equals(table)
    write_file(table, tmp_path / "new.parquet", rotated, "people")
    assert b"people.2" in (tmp_path / "new.parquet").read_bytes()


def test_modes_that_are_not_parquets_are_refused(tmp_path, keys, table):
    with pytest.raises(BadCryptoMode, match="sealed"):
        write_file(table, tmp_path / "x.parquet", keys, "people", mode=CryptoMode.SEALED)


def test_a_changed_byte_and_a_cut_are_refused(tmp_path, keys, table):
    path = tmp_path / "people.parquet"
    write_file(table, path, keys, "people")
    whole = path.read_bytes()
    for at in (4, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises((ParquetNotOpened, WrappedKeyRefused)):
            read_file(path, keys)
    path.write_bytes(whole[:-9])
    with pytest.raises(ParquetNotOpened, match=r"people\.parquet") as caught:
        read_file(path, keys)
    assert caught.value.code == "SR-PARQUET-TAMPERED"


def test_a_file_in_clear_is_not_taken_for_an_encrypted_one(tmp_path, keys, table):
    pq.write_table(table, tmp_path / "forged.parquet")
    with pytest.raises(ParquetNotOpened, match="encrypted footer"):
        read_file(tmp_path / "forged.parquet", keys)


def test_a_data_set_grows_and_is_replaced(tmp_path, keys, table):
    folder = tmp_path / "people"
    assert write_dataset(table, folder, keys, "people").generation == 1
    assert write_dataset(table, folder, keys, "people", append=True).generation == 2
    assert read_dataset(folder, keys).num_rows == 6
    assert write_dataset(table, folder, keys, "people").generation == 3
    assert read_dataset(folder, keys, ["name"], Wanted("people", "people", 3)).column_names == ["name"]
    assert len(list(folder.iterdir())) == 2


def test_columns_that_came_later_are_null_before(tmp_path, keys, table):
    folder = tmp_path / "people"
    write_dataset(table, folder, keys, "people")
    write_dataset(table.append_column("age", pa.array([7, 8, 9])), folder, keys, "people", append=True)
    assert sorted(read_dataset(folder, keys).column("age").to_pylist(), key=str) == [7, 8, 9, None, None, None]


def test_nothing_is_left_of_a_write_without_a_key(tmp_path, keys, table):
    with pytest.raises(KeyNotGranted):
        write_dataset(table, tmp_path / "people", keys, "others")
    assert list((tmp_path / "people").iterdir()) == []


def test_a_data_set_with_a_file_in_clear_in_it_is_refused(tmp_path, keys, table):
    write_dataset(table, tmp_path / "people", keys, "people")
    pq.write_table(table, tmp_path / "people" / "arrow-0.parquet")
    with pytest.raises(DataFilesChanged, match=r"arrow-0\.parquet was added"):
        read_dataset(tmp_path / "people", keys)


class Meddling(RingKeys):
    """Keys whose holder does something to the folder once so many were asked for."""

    def __init__(self, rings, times, do):
        super().__init__(rings)
        self.times, self.do = times, do

    def unwrap(self, key_id, wrapped):
        """Do it, then answer."""
        self.times -= 1
        if self.times == 0:
            self.do()
        return super().unwrap(key_id, wrapped)


def test_kd_25_a_file_that_is_exchanged_after_the_check_is_refused_although_it_opens(tmp_path, rings, keys, table):
    one, two = tmp_path / "one", tmp_path / "two"
    for _ in range(2):
        write_dataset(table, one, keys, "people", append=True)
    write_dataset(pa.table({"name": ["Eve"] * 3, "salary": [9, 9, 9]}), two, keys, "people")
    last, [other] = max(one.glob("*.parquet")), two.glob("*.parquet")
    meddling = Meddling(
        rings.values(), 2, lambda: last.write_bytes(other.read_bytes())
    )  # the manifest's key comes first
    with pytest.raises(DataFilesChanged, match=last.name):
        read_dataset(one, meddling)
    assert meddling.times <= 0


def test_kd_25_bytes_that_are_changed_while_a_file_is_read_are_refused(tmp_path, rings, keys):
    """AES_GCM_CTR_V1 itself would not see it: its pages have no tags."""
    folder = tmp_path / "people"
    write_dataset(pa.table({"n": range(200_000)}), folder, keys, "people", mode=CryptoMode.AES_GCM_CTR_V1)
    [path] = folder.glob("*.parquet")
    whole = path.read_bytes()
    changed = whole[:100_000] + bytes(each ^ 1 for each in whole[100_000:100_008]) + whole[100_008:]
    meddling = Meddling(rings.values(), 2, lambda: path.write_bytes(changed))
    with pytest.raises(DataFilesChanged, match=path.name):
        read_dataset(folder, meddling)


def test_no_thread_of_arrows_reads_or_keeps_bytes_of_ours(tmp_path, keys, monkeypatch):
    """One that is last to drop them while the interpreter ends takes the process down: one run in a hundred did."""
    seen = set()
    plain = arrow.open_pinned_file

    def opened(*words):
        file = plain(*words)
        reads = file.readinto
        monkeypatch.setattr(type(file), "readinto", lambda self, into: seen.add(threading.get_ident()) or reads(into))
        return file

    table = pa.table({name: list(range(50_000)) for name in "abcdefgh"})
    write_dataset(table, tmp_path / "set", keys, "people")
    monkeypatch.setattr(arrow, "open_pinned_file", opened)
    assert read_dataset(tmp_path / "set", keys).num_rows == len(table)
    assert seen == {threading.get_ident()}
