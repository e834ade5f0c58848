"""Every place of data sets behaves alike: a folder of ours, one by Arrow, and an object store over HTTP.

The object store speaks as much of Amazon's S3 as Arrow's client asks for; it keeps objects in memory.
"""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

import pytest

pytest.importorskip("pyarrow", reason="needs pip install 'strongroom[analytics]'")

from pyarrow.fs import FileSelector

from strongroom.analytics.keys.files import FileKeyService, write_ring
from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.sealing.read import OpenDataset
from strongroom.analytics.sealing.write import DatasetWriter, Mode
from strongroom.analytics.source.faults import BadDataPlace
from strongroom.analytics.source.places import ArrowFolder, folder_of
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import DataFilesChanged, Kind
from strongroom.errors import StrongroomError
from strongroom.pki.disk import FileTooLong

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class ObjectStore(ThreadingHTTPServer):
    """One bucket, in memory."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects, self.uploads = {}, {}

    def address(self, path):
        return f"s3://bucket/{path}?scheme=http&region=eu-1&endpoint_override=127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Amazon S3's REST interface, path style."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def handle_expect_100(self):
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def parse_request(self):
        if not super().parse_request():
            return False
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query, keep_blank_values=True)
        self.bucket, _, self.key = unquote(parts.path).lstrip("/").partition("/")
        return True

    def body(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        else:
            data = b"".join(self._chunks())
        return _unchunked(data) if "aws-chunked" in self.headers.get("Content-Encoding", "") else data

    def _chunks(self):
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def say(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self):
        self.say(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", Content_Type="application/xml")

    def do_HEAD(self):
        data = self.server.objects.get(self.key)
        if not self.key:
            self.say(200)
        elif data is None:
            self.missing()
        else:
            self.say(200, Content_Length=str(len(data)), ETag='"1"', Last_Modified="Sun, 01 Nov 2026 00:00:00 GMT",
                     Accept_Ranges="bytes")  # fmt: skip

    def do_GET(self):
        if not self.key:
            self._list()
            return
        data = self.server.objects.get(self.key)
        if data is None:
            self.missing()
            return
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        piece = data[int(first) : int(last or len(data)) + 1]
        kept = {"Content_Range": f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}", "ETag": '"1"'}
        self.say(206 if "Range" in self.headers else 200, piece, **kept)

    def _list(self):
        prefix, delimiter = self.query.get("prefix", [""])[0], self.query.get("delimiter", [""])[0]
        found = sorted(key for key in self.server.objects if key.startswith(prefix))
        inner = {key: key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "") for key in found}
        folders = sorted({prefix + name + delimiter for name, cut, _ in inner.values() if cut})
        files = [key for key, (_, cut, _) in inner.items() if not cut]
        limit = int(self.query.get("max-keys", ["1000"])[0])
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[key])}</Size>"
            "<LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>" for key in files[:limit]
        )  # fmt: skip
        entries += "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders)
        count = len(files[:limit]) + len(folders)
        self._xml("ListBucketResult", f"<KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>{entries}")

    def do_PUT(self):
        data = self.body()
        if "uploadId" in self.query:
            self.server.uploads[self.query["uploadId"][0]][int(self.query["partNumber"][0])] = data
            self.say(200, ETag='"1"')
        elif "x-amz-copy-source" in self.headers:
            source = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")[2].partition("?")[0]
            self.server.objects[self.key] = self.server.objects[source]
            self._xml("CopyObjectResult", '<ETag>"1"</ETag><LastModified>2026-11-01T00:00:00.000Z</LastModified>')
        else:
            if self.key:
                self.server.objects[self.key] = data
            self.say(200, ETag='"1"')

    def do_POST(self):
        data = self.body()
        if "uploads" in self.query:
            name = str(len(self.server.uploads) + 1)
            self.server.uploads[name] = {}
            self._xml("InitiateMultipartUploadResult", f"<UploadId>{name}</UploadId>")
        elif "uploadId" in self.query:
            parts = self.server.uploads.pop(self.query["uploadId"][0])
            self.server.objects[self.key] = b"".join(parts[number] for number in sorted(parts))
            self._xml("CompleteMultipartUploadResult", '<ETag>"1"</ETag>')
        elif "delete" in self.query:
            for key in re.findall(rb"<Key>([^<]*)</Key>", data):
                self.server.objects.pop(unescape(key.decode()), None)
            self._xml("DeleteResult", "")
        else:
            self.say(400)

    def do_DELETE(self):
        if "uploadId" in self.query:
            self.server.uploads.pop(self.query["uploadId"][0], None)
        else:
            self.server.objects.pop(self.key, None)
        self.say(204)

    def _xml(self, name, text):
        data = f'<?xml version="1.0"?><{name} xmlns="{NAMESPACE}">{text}</{name}>'.encode()
        self.say(200, data, Content_Type="application/xml")

    def log_message(self, *_):
        """Say nothing."""


def _unchunked(data):
    """Return the bytes of a signed stream: chunks of SIZE;…CRLF DATA CRLF, then trailers."""
    found = b""
    while data:
        head, _, data = data.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if size == 0:
            break
        found, data = found + data[:size], data[size + 2 :]
    return found


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=["ours", "arrow", "s3"])
def folder(request, tmp_path, monkeypatch):
    """Return an empty place."""
    if request.param == "ours":
        return LocalFolder(tmp_path / "d")
    if request.param == "arrow":
        return ArrowFolder(f"file://{tmp_path / 'd'}")
    store = request.getfixturevalue("store")
    store.objects.clear()
    for name, value in (("AWS_ACCESS_KEY_ID", "reader"), ("AWS_SECRET_ACCESS_KEY", "s3-secret"),
                        ("AWS_EC2_METADATA_DISABLED", "true")):  # fmt: skip
        monkeypatch.setenv(name, value)
    return folder_of(store.address("lake/people"))


@pytest.fixture
def keys(tmp_path):
    write_ring(tmp_path / "keys", KeyRing.fresh("people"))
    return FileKeyService(tmp_path / "keys")


def written(folder, keys, content, *, path="a.csv", mode=Mode.NEW):
    with DatasetWriter(folder, keys, name="people", key="people", kind=Kind.CSV, mode=mode) as writer:
        with writer.create(path) as stream:
            stream.write(content)
            writer.adopt(stream.finish(), at=writer.staged(path))
        return writer.commit()


def contents(folder, keys):
    with OpenDataset(folder, keys) as opened:
        return {entry.path: opened.open(entry.path).read() for entry in opened.files}


def test_a_file_has_no_name_before_it_is_committed(folder):
    kept, dropped = folder.create("x/a.csv"), folder.create("b.csv")
    kept.write_at(b"456", 3)
    kept.write_at(b"123", 0)
    dropped.write_at(b"no", 0)
    assert folder.sizes() == {}
    kept.commit()
    dropped.discard()
    assert folder.sizes() == {"x/a.csv": 6}
    room = bytearray(10)
    stored = folder.open("x/a.csv")
    assert (stored.read_into(memoryview(room), 2), bytes(room[:4])) == (4, b"3456")
    stored.close()


def test_what_was_removed_is_not_brought_back_by_files_that_need_their_folder(folder):
    for _ in range(2):
        folder.make("_t")
    kept, late = folder.create("_t/a.csv", folders=False), folder.create("_t/b.csv", folders=False)
    kept.write_at(b"1", 0)
    kept.commit()
    folder.take("_t", ["a.csv"])
    folder.remove("_t")
    late.write_at(b"2", 0)
    with pytest.raises(FileNotFoundError):
        late.commit()
    late.discard()
    with pytest.raises(FileNotFoundError):
        folder.create("_t/c.csv", folders=False)
    assert folder.sizes() == {"a.csv": 1}
    folder.make("_t")
    folder.create("_t/b.csv", folders=False).discard()


@pytest.mark.parametrize("removed", ["before it is written", "after it was written"])
@pytest.mark.parametrize("folder", ["arrow", "s3"], indirect=True)  # ours renames a file within its folder: one step
def test_what_is_removed_while_a_file_is_written_is_not_brought_back_by_it(folder, monkeypatch, removed):
    folder.make("_t")
    late = folder.create("_t/b.csv", folders=False)
    late.write_at(b"2", 0)
    write = folder._write

    def writes(place, data):
        if removed.startswith("before"):
            folder.remove("_t")
        write(place, data)
        if removed.startswith("after"):
            folder.remove("_t")

    monkeypatch.setattr(folder, "_write", writes)
    with pytest.raises(FileNotFoundError):
        late.commit()
    assert [each.path for each in folder._system.get_file_info(FileSelector(folder._base, recursive=True))] == []


def test_small_files_are_replaced_and_files_moved_and_removed(folder):
    folder.replace("_note", b"one")
    folder.replace("_note", b"two")
    assert folder.read("_note", limit=3) == b"two"
    with pytest.raises(FileTooLong):
        folder.read("_note", limit=2)
    with pytest.raises(FileNotFoundError):
        folder.read("_other", limit=2)
    with pytest.raises(FileNotFoundError):
        folder.open("none.csv")
    folder.replace("_t/a.csv", b"1")
    folder.replace("_t/deep/c.csv", b"333")
    folder.take("_t", ["a.csv", "deep/c.csv"])
    folder.replace("b.csv", b"22")
    folder.sync(["a.csv", "b.csv"])
    assert folder.sizes() == {"a.csv": 1, "b.csv": 2, "deep/c.csv": 3}
    folder.remove("_t", "a.csv", "nothing", "deep")
    assert folder.sizes() == {"b.csv": 2}


def test_a_data_set_is_written_appended_to_read_and_replaced(folder, keys):
    first = written(folder, keys, b"name\nAndy\n" * 50_000)
    second = written(folder, keys, b"name\nJustin\n", path="more/b.csv", mode=Mode.APPEND)
    assert (first.generation, second.generation) == (1, 2)
    assert contents(folder, keys) == {"a.csv": b"name\nAndy\n" * 50_000, "more/b.csv": b"name\nJustin\n"}
    written(folder, keys, b"name\n", path="c.csv", mode=Mode.OVERWRITE)
    assert contents(folder, keys) == {"c.csv": b"name\n"}
    assert set(folder.sizes()) == {"c.csv"}


def test_a1_a_changed_file_is_refused_by_name(folder, keys):
    written(folder, keys, b"name\nAndy\n" * 5_000)
    stored = folder.open("a.csv")
    data = bytearray(stored.size)
    stored.read_into(memoryview(data), 0)
    stored.close()
    data[len(data) // 2] ^= 1
    folder.replace("a.csv", bytes(data))
    with OpenDataset(folder, keys) as opened, pytest.raises(StrongroomError, match=r"a\.csv"):
        opened.verify()


def test_a1_a_file_too_many_or_too_few_is_refused(folder, keys):
    written(folder, keys, b"name\n")
    folder.replace("extra.csv", b"x")
    with pytest.raises(DataFilesChanged, match=r"extra\.csv"):
        contents(folder, keys)
    folder.remove("extra.csv")
    folder.remove("a.csv")
    with pytest.raises(DataFilesChanged, match=r"a\.csv"):
        contents(folder, keys)


def test_nothing_readable_and_no_credential_goes_to_an_object_store(store, keys, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3-secret")
    store.objects.clear()
    folder = folder_of(store.address("lake/people"))
    written(folder, keys, b"name\ncanary\n" * 1_000)
    assert {key.rpartition("/")[2] for key in store.objects} >= {"a.csv", "_strongroom.json"}
    assert not [key for key, data in store.objects.items() if b"canary" in data or b"s3-secret" in data]
    assert "s3-secret" not in f"{folder} {folder.__reduce__()}"


@pytest.mark.parametrize("path", ["s3a://bucket/lake", "s3n://bucket/lake", "s3://bucket/lake"])
def test_an_object_store_has_the_names_that_hadoop_gives_it(path):
    assert str(folder_of(f"{path}?region=eu-1")) == "s3://bucket/lake"


@pytest.mark.parametrize("path", ["webhdfs://host:9870/x", "http://host/x", "ftp://host/x", "mock:///x", "s3:///x"])
def test_other_addresses_are_refused_before_anybody_is_asked(path):
    with pytest.raises(BadDataPlace) as refused:
        folder_of(path)
    assert path.partition(":")[0] in refused.value.sentence


def test_hdfs_without_hadoops_client_says_what_is_missing(monkeypatch):
    for name in ("HADOOP_HOME", "ARROW_LIBHDFS_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadDataPlace, match="hdfs: cannot be reached") as refused:
        folder_of("hdfs://namenode:8020/lake")
    assert "HADOOP_HOME" in refused.value.fix
