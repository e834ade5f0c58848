"""The reader of sealed files in Spark's JVM, asked what Python's is asked: the same bytes, or the same refusal."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from dataclasses import replace

import pytest

from strongroom import sealing
from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.sealing.read import open_sealed
from strongroom.datasets.manifest import FileEntry
from strongroom.errors import StrongroomError
from strongroom.sealing.layout import GROUP_PLAIN_BYTES, HEAD_BYTES, NODE_BYTES, data_node, table_node
from strongroom.sealing.node0 import pin_of
from strongroom.secret import Secret

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

NAME = "rows.1.0123456789abcdef"
PATH = "day 1/part-0: a%20b.parquet"
TWO_TABLES = HEAD_BYTES + GROUP_PLAIN_BYTES + NODE_BYTES
TWO_LEVELS = HEAD_BYTES + 33 * GROUP_PLAIN_BYTES + 1
SIZES = (0, 1, 3071, 3072, 3073, 7168, 7169, TWO_TABLES - NODE_BYTES, TWO_TABLES - NODE_BYTES + 1, TWO_LEVELS)
CODE = re.compile(r"(SR-[A-Z0-9-]+): ")


def noise(size, seed=1):
    """Return bytes that nobody chose."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def key():
    """Return a data key."""
    return Secret(os.urandom(16))


class Jvm:
    """Reads files of one folder through the JVM's file system, as an executor does."""

    def __init__(self, session, folder):
        self.spark, self.folder, self.socket = session.spark, folder, session.agent
        self.keys = AgentKeys(session.agent)
        self.hadoop = self.spark._jvm.org.apache.hadoop

    def system(self, entries, key, *, sizes=None, **changed):
        """Return the file system of a data set."""
        key_id = self.keys.current("people")
        lines = [f"{each.size} {(sizes or {}).get(each.path, 0)} {each.pin.hex()} {each.path}" for each in entries]
        options = {
            "fs.sealed.impl": "strongroom.sealed.SealedFileSystem", "fs.sealed.impl.disable.cache": "true",
            "strongroom.sealed.name": NAME, "strongroom.sealed.address": f"file:{self.folder}",
            "strongroom.sealed.files": "\n".join(lines), "strongroom.sealed.keyid": str(key_id),
            "strongroom.sealed.wrapped": self.keys.wrap(key_id, key), "strongroom.agent.local": self.socket,
        } | {name.replace("_", "."): value for name, value in changed.items()}  # fmt: skip
        configuration = self.hadoop.conf.Configuration(self.spark._jsc.hadoopConfiguration())
        for name, value in options.items():
            configuration.set(name, value)
        return self.path("").getFileSystem(configuration)

    def path(self, below):
        """Return the address of a file."""
        return self.hadoop.fs.Path("sealed", NAME, f"/{below}")

    def read(self, entry, key, size):
        """Return a file's bytes, or the code of what is wrong with it."""
        from py4j.protocol import Py4JJavaError

        try:
            stream = self.system([entry], key, sizes={entry.path: size}).open(self.path(entry.path))
            try:
                return bytes(stream.readAllBytes())
            finally:
                stream.close()
        except Py4JJavaError as problem:
            return code_of(problem)

    def room_after_reading(self, stream, room):
        """Read into an array that stays in Java, and return what it holds after that, as `room` has it as well."""
        java, new_array = self.spark._jvm.java.lang, self.spark._sc._gateway.new_array
        kinds, words = new_array(java.Class, 3), new_array(java.Object, 3)
        kinds[0], kinds[1], kinds[2] = java.Class.forName("[B"), java.Integer.TYPE, java.Integer.TYPE
        words[0], words[1], words[2] = bytes(room), 0, len(room)
        try:
            java.Class.forName("java.io.InputStream").getMethod("read", kinds).invoke(stream, words)
        finally:
            self.room = bytes(words[0])
        return self.room


def code_of(problem):
    """Return the code that a refusal of Java's begins with."""
    said = str(problem.java_exception.getMessage())
    found = CODE.match(said)
    assert found, said
    return found[1]


def by_python(folder, entry, key):
    """Return a file's bytes, or the code of what is wrong with it; and how many bytes it says there are."""
    size = 0
    try:
        with open_sealed(LocalFolder(folder), entry, key) as stream:
            size = stream.size
            return stream.read(), size
    except StrongroomError as problem:
        return problem.code, size


@pytest.fixture
def jvm(trusted_session, tmp_path):
    """Lend the JVM's reader of a folder of this test."""
    found = Jvm(trusted_session, tmp_path)
    yield found
    found.keys.close()


@pytest.fixture
def put(tmp_path):
    """Return what writes bytes as a file and gives its entry."""

    def put_(data, path=PATH, pin=None):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return FileEntry(path, len(data), pin or pin_of(data[:NODE_BYTES], length=len(data)))

    return put_


def sealed(data, key, path=PATH, version=1):
    """Return a sealed file."""
    return sealing.seal_bytes(data, key, stored_path=path, entropy=os.urandom, version=version)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", [1, 2])
def test_files_of_every_size_come_back(jvm, put, key, size, version):
    data = noise(size)
    assert jvm.read(put(sealed(data, key, version=version)), key, size) == data


def test_any_part_can_be_read_in_any_order(jvm, put, key):
    data, draw = noise(TWO_TABLES + 777), random.Random(2)
    stream = jvm.system([put(sealed(data, key))], key, sizes={PATH: len(data)}).open(jvm.path(PATH))
    for _ in range(150):
        offset = draw.choice([draw.randrange(len(data)), HEAD_BYTES + NODE_BYTES * draw.randrange(97)])
        count = draw.choice([1, 9, NODE_BYTES, 3 * NODE_BYTES, draw.randrange(len(data))])
        stream.seek(offset)
        assert bytes(stream.readNBytes(count)) == data[offset : offset + count]
        assert stream.getPos() == min(len(data), offset + count)
    stream.seek(len(data))
    assert stream.read() == -1
    with pytest.raises(Exception, match="there is no byte"):
        stream.seek(len(data) + 1)
    stream.close()
    with pytest.raises(Exception, match="is closed"):
        stream.read()


def test_files_of_gramines_own_tools_are_read_or_refused_as_python_does(jvm, put, tmp_path, shared_vectors):
    outcomes = []
    for vector in json.loads((shared_vectors / "gramine" / "index.json").read_text())["vectors"]:
        if "compact_nodes" in vector:
            continue
        data, key = (shared_vectors / "gramine" / vector["file"]).read_bytes(), bytes.fromhex(vector["wrap_key_hex"])
        try:
            entry = put(data, vector["path"])
        except StrongroomError:  # the header has no pin
            entry = put(data, vector["path"], bytes(32))
        expected, _ = by_python(tmp_path, entry, Secret(key))
        assert jvm.read(entry, Secret(key), vector["size"]) == expected, vector["file"]
        outcomes.append(expected if isinstance(expected, str) else hashlib.sha256(expected).hexdigest())
    assert len(outcomes) == 41
    assert {each for each in outcomes if each.startswith("SR-")} == {
        "SR-DATA-FILES", "SR-SEALED-METADATA", "SR-SEALED-ROOT", "SR-SEALED-DATA", "SR-SEALED-PATH", "SR-SEALED-TABLE",
    }  # fmt: skip
    assert sum(not each.startswith("SR-") for each in outcomes) >= 21


# Where a byte is changed, and what it is called: under the pin of the file as it was, node 0 is another one.
REGIONS = {
    "magic": 0, "major": 8, "minor": 9, "nonce": 10, "tag": 42, "metadata": 60, "head": 3000, "padding": NODE_BYTES - 1,
    "root": NODE_BYTES, "first data": data_node(0) * NODE_BYTES + 7, "last of a run": data_node(31) * NODE_BYTES,
    "last of a table": (data_node(95) + 1) * NODE_BYTES - 1, "table": table_node(1) * NODE_BYTES + 4000,
    "last data": data_node(96) * NODE_BYTES + 1,
}  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_a1_a_changed_byte_anywhere_is_refused_as_python_refuses_it(jvm, put, key, tmp_path, version):
    data = noise(TWO_TABLES)
    whole = sealed(data, key, version=version)
    good = put(whole)
    seen = {}
    for region, at in {**REGIONS, "flags": 58}.items():
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        entry = put(changed, pin=good.pin)
        seen[region], _ = by_python(tmp_path, entry, key)
        assert jvm.read(entry, key, len(data)) == seen[region], region
        if at < NODE_BYTES and region not in ("magic", "major"):  # who wrote the manifest anew has no data key
            entry = replace(entry, pin=pin_of(changed[:NODE_BYTES], length=len(changed)))
            expected, _ = by_python(tmp_path, entry, key)
            assert jvm.read(entry, key, len(data)) == expected, region
    assert not any(isinstance(each, bytes) for each in seen.values())
    assert {seen["root"], seen["table"], seen["first data"]} == {"SR-SEALED-ROOT", "SR-SEALED-TABLE", "SR-SEALED-DATA"}


def test_a1_of_a_run_with_a_bad_node_nothing_is_left_where_it_was_to_be(jvm, put, key):
    data = noise(TWO_TABLES)
    whole = bytearray(sealed(data, key))
    good = put(whole)
    whole[data_node(1) * NODE_BYTES] ^= 1
    stream = jvm.system([put(whole, pin=good.pin)], key, sizes={PATH: len(data)}).open(jvm.path(PATH))
    stream.seek(HEAD_BYTES)
    with pytest.raises(Exception, match="SR-SEALED-DATA"):
        jvm.room_after_reading(stream, b"x" * 4 * NODE_BYTES)
    assert jvm.room == bytes(4 * NODE_BYTES)
    assert jvm.room_after_reading(stream, b"x" * NODE_BYTES) == data[HEAD_BYTES : HEAD_BYTES + NODE_BYTES]
    stream.seek(HEAD_BYTES)
    assert bytes(stream.readNBytes(NODE_BYTES)) == data[HEAD_BYTES : HEAD_BYTES + NODE_BYTES]  # the good one before it
    with pytest.raises(Exception, match="SR-SEALED-DATA"):
        stream.read()
    with pytest.raises(Exception, match="SR-SEALED-DATA"):
        stream.read()
    stream.close()


def test_a1_files_that_were_cut_exchanged_or_are_missing_are_refused(jvm, put, key, tmp_path):
    data = noise(HEAD_BYTES + 3 * NODE_BYTES)
    whole = sealed(data, key)
    good = put(whole)
    for nodes in range(len(whole) // NODE_BYTES):
        for length in (nodes * NODE_BYTES, nodes * NODE_BYTES + 1):
            put(whole[:length], pin=good.pin)
            assert jvm.read(good, key, len(data)) == "SR-DATA-FILES"
            assert jvm.read(replace(good, size=length), key, len(data)) == "SR-DATA-FILES"
    put(whole + bytes(NODE_BYTES))
    assert jvm.read(good, key, len(data)) == "SR-DATA-FILES"
    other = put(sealed(noise(len(data), 3), key, path="other.parquet"), "other.parquet")
    put((tmp_path / "other.parquet").read_bytes())
    assert jvm.read(good, key, len(data)) == "SR-DATA-FILES"
    assert jvm.read(replace(other, path=PATH), key, len(data)) == "SR-SEALED-PATH"
    put(sealed(data, key))  # the same rows, sealed another time
    assert jvm.read(good, key, len(data)) == "SR-DATA-FILES"
    put(whole)
    assert jvm.read(good, Secret(os.urandom(16)), len(data)) == "SR-SEALED-METADATA"
    assert jvm.read(good, key, len(data) - 1) == "SR-DATA-FILES"
    assert jvm.read(good, key, len(data)) == data
    (tmp_path / PATH).unlink()
    assert jvm.read(good, key, len(data)) == "SR-DATA-FILES"
    (tmp_path / PATH).mkdir()
    assert jvm.read(good, key, len(data)) == "SR-DATA-FILES"


def test_keys_that_are_none_or_not_given_open_nothing(jvm, put, key):
    from py4j.protocol import Py4JJavaError

    from strongroom.analytics.agent.agent import serving
    from strongroom.analytics.keys.rings import RingKeys
    from strongroom.datasets.key_ring import KeyRing

    entry = put(sealed(b"rows", key))
    assert jvm.read(entry, Secret(bytes(16)), 4) == "SR-WEAK-KEY"
    assert jvm.read(entry, Secret(os.urandom(32)), 4) == "SR-WRAP-KEY"
    with serving(RingKeys([KeyRing.fresh("other")])) as agent:
        system = jvm.system([entry], key, sizes={PATH: 4}, strongroom_agent_local=str(agent.socket))
        with pytest.raises(Py4JJavaError) as caught:
            system.open(jvm.path(PATH))
    assert code_of(caught.value) == "SR-DATA-KEY-DENIED"
    with serving(RingKeys([KeyRing.fresh("people")])) as agent:  # the name alone is the same
        system = jvm.system([entry], key, sizes={PATH: 4}, strongroom_agent_local=str(agent.socket))
        with pytest.raises(Py4JJavaError) as caught:
            system.open(jvm.path(PATH))
    assert code_of(caught.value) == "SR-DATA-UNWRAP"


def test_a_data_set_has_its_files_and_no_others_and_nothing_is_written(jvm, put, key):
    entries = [put(sealed(b"rows", key)), put(sealed(b"more rows", key, path="b"), "b")]
    system = jvm.system(entries, key, sizes={PATH: 4, "b": 9})
    listed = {each.getPath().toString(): each.getLen() for each in system.listStatus(jvm.path(""))}
    assert listed == {f"sealed://{NAME}/{PATH}": 4, f"sealed://{NAME}/b": 9}
    assert (system.getFileStatus(jvm.path("b")).getLen(), system.getFileStatus(jvm.path("")).isDirectory()) == (9, True)
    assert not system.exists(jvm.path("c"))
    one, two = jvm.path("b"), jvm.path("c")
    for change in (
        lambda: system.create(two), lambda: system.mkdirs(two), lambda: system.append(one),
        lambda: system.delete(one, True), lambda: system.rename(one, two),
    ):  # fmt: skip
        with pytest.raises(Exception, match="only read here"):
            change()
    with pytest.raises(Exception, match="and no other"):
        jvm.system(entries, key, strongroom_sealed_name="another")
    with pytest.raises(Exception, match=r"strongroom\.sealed\.wrapped"):
        jvm.system(entries, key, strongroom_sealed_wrapped="")
    for line in ("", "1 1", f"1 1 {'g' * 64} x", f"1 1 {'0' * 64} ", f"x 1 {'0' * 64} x"):
        with pytest.raises(Exception, match="sealed file"):
            jvm.system(entries, key, strongroom_sealed_files=f"{line}\n{line}")
