"""The cache on disk: private, whole or not at all, damaged entries fetched again, one question for many askers."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import INTEL
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.cache import Cache, Entry, EntryDamaged, MemoryStore, Stamp, key_of
from strongroom.collateral.client import HttpSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.profiles import pccs
from strongroom.collateral.seen import Seen, SeenDamaged
from strongroom.collateral.sources import LiveSource
from strongroom.pki.disk import LoosePermissions

REQUEST = Request(kind=Kind.TCB, parameters={"fmspc": "00906ED50000"})
ENTRY = Entry(
    request=REQUEST,
    answer=Answer(status=200, headers={"TCB-Info-Issuer-Chain": "x%0A"}, body=b'{"a":1}\n\n\x00'),
    source="intel-pcs",
    fetched=datetime(2025, 6, 11, tzinfo=UTC),
)
KEY = key_of(REQUEST, ("root",))
WIDE = Freshness(max_age=timedelta(days=40))


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    return Cache(tmp_path / "cache") if request.param == "disk" else MemoryStore()


def test_an_answer_is_kept_byte_for_byte(store):
    assert store.load(KEY) is None
    assert store.stamp(KEY) == Stamp()
    store.save(KEY, ENTRY)
    assert store.load(KEY) == ENTRY
    before = store.stamp(KEY)
    store.save(KEY, ENTRY)
    assert store.stamp(KEY) != before


def test_answers_under_other_roots_are_other_entries():
    assert key_of(REQUEST, ("a",)) != key_of(REQUEST, ("b",))
    assert key_of(REQUEST, ("a", "b")) == key_of(REQUEST, ("b", "a"))


def test_nobody_else_can_read_the_cache(cache):
    cache.save(KEY, ENTRY)
    with cache.locked(KEY):
        pass
    for path in [cache.folder, *cache.folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_cache_that_others_can_enter_is_not_used(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o755)
    with pytest.raises(LoosePermissions):
        Cache(tmp_path / "cache")


def damage(first: bytes, body: bytes) -> list[bytes]:
    head = json.loads(first)

    def with_(**more: object) -> bytes:
        return json.dumps({**head, **more}).encode() + b"\n" + body

    return [
        b"",
        b"\n",
        first,
        first + b"\n" + body[:-1],
        first + b"\n" + body + b"x",
        b"not json\n" + body,
        with_(format=2),
        with_(status="200"),
        with_(headers=[]),
        with_(headers={"a": 1}),
        with_(fetched="yesterday"),
        with_(fetched="2025-06-11T00:00:00"),
        with_(path="/nowhere"),
        with_(query="x"),
        with_(source=None),
        with_(sha256="00"),
    ]


@pytest.mark.parametrize("case", range(16))
def test_a_damaged_entry_is_dropped_with_a_notice(cache, caplog, case):
    cache.save(KEY, ENTRY)
    path = cache.folder / "entries" / f"{KEY}.answer"
    first, _, body = path.read_bytes().partition(b"\n")
    path.write_bytes(damage(first, body)[case])
    assert cache.load(KEY) is None
    assert "is dropped" in caplog.text
    assert list(cache.entries()) == []


def test_damage_has_a_code():
    assert EntryDamaged.code == "SR-COLLATERAL-ENTRY"


def test_a_hostile_cache_can_do_no_more_than_a_hostile_source(server, tmp_path, sgx_quote, recorded_clock, caplog):
    def source() -> LiveSource:
        store = Cache(tmp_path / "cache")
        return LiveSource([HttpSource(pccs(server.url))], anchors=[INTEL], rules=WIDE, store=store,
                          seen=Seen(store.folder), clock=recorded_clock)  # fmt: skip

    honest = source().collateral_for(sgx_quote)
    cache = Cache(tmp_path / "cache")
    for key, entry in list(cache.entries()):
        body = entry.answer.body.replace(b"OutOfDate", b"UpToDate ").replace(b"0", b"1", 3)
        answer = Answer(status=200, headers=entry.answer.headers, body=body)
        cache.save(key, Entry(request=entry.request, answer=answer, source="evil", fetched=entry.fetched))
    asked = len(server.asked)
    assert source().collateral_for(sgx_quote) == honest
    assert len(server.asked) == asked + 4, "everything is fetched again"
    assert "is not used" in caplog.text


def test_entries_swapped_with_each_other_are_not_used(server, tmp_path, sgx_quote, recorded_clock):
    def source() -> LiveSource:
        return LiveSource([HttpSource(pccs(server.url))], anchors=[INTEL], rules=WIDE, store=Cache(tmp_path / "cache"),
                          clock=recorded_clock)  # fmt: skip

    honest = source().collateral_for(sgx_quote)
    paths = sorted((tmp_path / "cache" / "entries").iterdir())
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    assert source().collateral_for(sgx_quote) == honest


def test_the_record_of_what_was_seen_stops_everything_when_it_is_damaged(tmp_path, server, sgx_quote, recorded_clock):
    store = Cache(tmp_path / "cache")
    (store.folder / "seen.json").write_text('{"format": 1}')
    source = LiveSource([HttpSource(pccs(server.url))], anchors=[INTEL], rules=WIDE, store=store,
                        seen=Seen(store.folder), clock=recorded_clock)  # fmt: skip
    with pytest.raises(SeenDamaged) as refused:
        source.collateral_for(sgx_quote)
    assert refused.value.code == "SR-COLLATERAL-SEEN"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 2, "latest": "2025-01-01T00:00:00Z", "marks": {}}',
        '{"format": 1, "latest": "soon", "marks": {}}',
        '{"format": 1, "latest": "2025-01-01T00:00:00Z", "marks": {"a": 1}}',
        '{"format": 1, "latest": "2025-01-01T00:00:00Z", "marks": {"a": {"number": true, "issued": ""}}}',
        '{"format": 1, "latest": "2025-01-01T00:00:00Z", "marks": {"a": {"number": 1, "issued": ""}}}',
    ],
)
def test_a_record_of_another_shape_is_refused(tmp_path, text):
    (tmp_path / "seen.json").write_text(text)
    with pytest.raises(SeenDamaged):
        Seen(tmp_path).check_clock(datetime(2025, 6, 11, tzinfo=UTC))


def test_many_threads_ask_once(server, sgx_quote, tmp_path, recorded_clock):
    source = LiveSource([HttpSource(pccs(server.url))], anchors=[INTEL], rules=WIDE, store=Cache(tmp_path / "cache"),
                        clock=recorded_clock)  # fmt: skip
    start = threading.Barrier(8)

    def ask(_: int):
        start.wait()
        return source.collateral_for(sgx_quote)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len(server.asked) == 4
    assert all(each == found[0] for each in found)


PROGRAM = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from strongroom.attestation import INTEL, parse_quote
from strongroom.collateral.cache import Cache
from strongroom.collateral.client import HttpSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.profiles import pccs
from strongroom.collateral.seen import Seen
from strongroom.collateral.sources import LiveSource
url, folder, quote = sys.argv[1:]
store = Cache(Path(folder))
source = LiveSource([HttpSource(pccs(url))], anchors=[INTEL], rules=Freshness(max_age=timedelta(days=40)), store=store,
                    seen=Seen(store.folder), clock=lambda: datetime(2025, 6, 11, tzinfo=UTC))
sys.stdin.readline()
found = source.collateral_for(parse_quote(Path(quote).read_bytes()))
sys.stdout.write(found.to_json())
"""


def test_many_processes_ask_once_and_find_the_same(server, tmp_path, shared_vectors):
    quote = shared_vectors / "dcap" / "quotes" / "real-sgx-v3-0b5bc73c-2025-05-27.bin"
    command = [sys.executable, "-c", PROGRAM, server.url, str(tmp_path / "cache"), str(quote)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(answers)) == 1
    assert answers[0].startswith("{")
    assert sorted(server.targets()) == sorted(set(server.targets())), "each question was asked once"
    marks = json.loads((tmp_path / "cache" / "seen.json").read_text())["marks"]
    assert len(marks) == 4


def test_a_process_that_dies_while_it_asks_leaves_no_lock_behind(cache):
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom strongroom.collateral.cache import Cache\n"
        "cache = Cache(Path(sys.argv[1]))\nlock = cache.locked(sys.argv[2])\nlock.__enter__()\nos._exit(9)\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, str(cache.folder), KEY], env=environment, check=False)
    assert done.returncode == 9
    with cache.locked(KEY):
        cache.save(KEY, ENTRY)
    assert cache.load(KEY) == ENTRY


def test_memory_forgets_the_oldest_when_there_are_too_many():
    store = MemoryStore()
    for number in range(1025):
        store.save(str(number), ENTRY)
    assert store.load("0") is None
    assert store.load("1024") == ENTRY
