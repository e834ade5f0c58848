"""One suite for every source of collateral: whatever stands behind it, a quote gets collateral that verifies it.

A folder, a server on loopback (which serves a folder's content), both behind a cache, and several in order.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from strongroom.attestation import Anchor, EvidenceRefused, parse_quote, verify
from strongroom.attestation.collateral import Collateral
from strongroom.collateral import CollateralSource, Folder, LiveSource
from strongroom.collateral.api import Request
from strongroom.collateral.cache import Cache
from strongroom.collateral.client import HttpSource, SourceFailed
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.profiles import pccs
from strongroom.collateral.seen import Seen
from strongroom.errors import Unreachable
from strongroom.platforms.simulated import EnclaveIdentity, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KINDS = ("folder", "http", "cached", "ordered", "files")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(scope="module")
def raw_quote(world) -> bytes:
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    return world.quote(identity, bytes(64))


@pytest.fixture
def folder(tmp_path, world) -> Path:
    (tmp_path / "collateral").mkdir()
    (tmp_path / "collateral" / f"{world.fmspc}.json").write_text(world.collateral(NOW).to_json())
    return tmp_path / "collateral"


@pytest.fixture
def url(folder) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            try:
                answer = FileSource(folder).answer(Request.parse(parts.path, parts.query))
            except SourceFailed:
                self.send_response(404)
                self.end_headers()
                return
            self.send_response(200)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=KINDS)
def source(request, folder, url, tmp_path, world) -> CollateralSource:
    anchors = [Anchor.from_certificate(world.root_der)]
    http = HttpSource(pccs(url), pause=lambda _: None)
    if request.param in {"folder", "http"}:
        return {"folder": Folder(folder), "http": http}[request.param]
    if request.param == "cached":
        cache = Cache(tmp_path / "cache")
        return LiveSource([http], anchors=anchors, store=cache, seen=Seen(cache.folder), clock=lambda: NOW)
    files = FileSource(folder)
    sources = [FileSource(tmp_path / "absent"), http, files] if request.param == "ordered" else [files]
    return LiveSource(sources, anchors=anchors, clock=lambda: NOW)


def test_collateral_verifies_the_quote_it_was_asked_for(source: CollateralSource, raw_quote, world):
    collateral = source.collateral_for(parse_quote(raw_quote))
    verdict = verify(raw_quote, collateral, anchors=[Anchor.from_certificate(world.root_der)], at=NOW)
    assert verdict.fmspc == world.fmspc


def test_it_is_what_was_published_byte_for_byte(source: CollateralSource, raw_quote, folder, world):
    published = Collateral.from_json((folder / f"{world.fmspc}.json").read_text())
    assert source.collateral_for(parse_quote(raw_quote)) == published


def test_a_platform_that_nobody_knows_is_unreachable_not_a_crash(source: CollateralSource, folder, tmp_path, world):
    other = World.create(tmp_path / "other", now=NOW - timedelta(days=1))
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=other.mr_signer, isv_prod_id=0, isv_svn=0)
    foreign = parse_quote(other.quote(identity, bytes(64)))
    try:
        found = source.collateral_for(foreign)
    except (Unreachable, EvidenceRefused):
        return
    assert found.tcb_info != "", "a source that answers at all answers with something"
    pytest.fail("collateral of an unknown platform was found")


def test_threads_may_share_it(source: CollateralSource, raw_quote):
    quote = parse_quote(raw_quote)
    found: list[Collateral] = []
    threads = [threading.Thread(target=lambda: found.append(source.collateral_for(quote))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(each == found[0] for each in found)
