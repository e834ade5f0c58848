"""One suite for every platform: whatever stands behind it, 64 bytes go in and a quote over exactly these comes out.

Behind the simulated platform stands a launcher's end of the socket, for SGX and for TDX in every version. Behind
Gramine's device stands a folder whose `quote` is a named pipe. Behind the TDX guest stand two doubles of configfs-tsm:
the kernel's rules without files, and files without the kernel.
"""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from strongroom.attestation import Anchor, Tee, parse_quote, verify
from strongroom.platforms import GramineDevice, Platform, ReportDataSize, SimulatedPlatform, TdxGuest
from strongroom.platforms.quote_channel import Frames, frame
from strongroom.platforms.simulated import CURRENT_MODULE, EnclaveIdentity, QuoteFormat, TdIdentity, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENCLAVE = EnclaveIdentity(mr_enclave=bytes([1]) * 32, mr_signer=bytes([2]) * 32, isv_prod_id=1, isv_svn=2)
TD_1_0 = TdIdentity(mr_td=bytes([3]) * 48)
TD_1_5 = TdIdentity(mr_td=bytes([3]) * 48, loaded=CURRENT_MODULE)
SIMULATED = {
    "simulated SGX 3": (ENCLAVE, QuoteFormat()),
    "simulated SGX 4": (ENCLAVE, QuoteFormat(version=4)),
    "simulated SGX 5": (ENCLAVE, QuoteFormat(version=5)),
    "simulated TDX 4": (TD_1_0, QuoteFormat(tee=Tee.TDX, version=4)),
    "simulated TDX 5": (TD_1_5, QuoteFormat(tee=Tee.TDX, version=5)),
}
REAL = {
    "gramine": (ENCLAVE, QuoteFormat()),
    "configfs, as the kernel has it": (TD_1_0, QuoteFormat(tee=Tee.TDX, version=4)),
    "configfs, as files": (TD_1_5, QuoteFormat(tee=Tee.TDX, version=5)),
}
EVERY = {**SIMULATED, **REAL}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(params=EVERY)
def kind(request) -> str:
    return request.param


@contextlib.contextmanager
def launcher(sign):
    ours, theirs = socket.socketpair()

    def answer() -> None:
        requests = Frames(smallest=64, largest=64)
        while data := theirs.recv(4096):
            for report_data in requests.receive(data):
                theirs.sendall(frame(sign(report_data)))

    helper = threading.Thread(target=answer)
    helper.start()
    with ours, theirs:
        yield SimulatedPlatform(ours.fileno())
        ours.shutdown(socket.SHUT_RDWR)
        helper.join()


@pytest.fixture
def platform(kind, tmp_path, world, doubles):
    identity, form = EVERY[kind]
    enclave = world.quoting_enclave(form)

    def sign(report_data: bytes) -> bytes:
        return enclave.quote(identity, report_data)

    if kind in SIMULATED:
        with launcher(sign) as found:
            yield found
    elif kind == "gramine":
        with doubles.gramine_device(tmp_path, sign) as root:
            yield GramineDevice(root)
    elif kind == "configfs, as files":
        yield TdxGuest(doubles.FolderReports(tmp_path, sign))
        assert list(tmp_path.iterdir()) == [], "an entry was left behind"
    else:
        reports = doubles.KernelReports(sign)
        yield TdxGuest(reports)
        assert reports.entries == {}, "an entry was left behind"


def test_a_quote_is_over_exactly_the_bytes_asked_for(platform: Platform):
    asked = bytes(range(64))
    assert parse_quote(platform.quote(asked)).body.report_data == asked


def test_a_quote_verifies_and_names_who_asked(platform: Platform, world, kind):
    identity, form = EVERY[kind]
    anchors = [Anchor.from_certificate(world.root_der)]
    collateral = world.collateral(NOW, tee=form.tee)
    verdict = verify(platform.quote(bytes(64)), collateral, anchors=anchors, at=NOW)
    assert (verdict.status, verdict.trust_domain, verdict.quote_version) == ("UpToDate", "simulated", form.version)
    assert verdict.body == identity.report(world.hardware, bytes(64))


def test_every_quote_is_fresh(platform: Platform):
    first, second = platform.quote(bytes(64)), platform.quote(bytes(64))
    assert parse_quote(first).signature != parse_quote(second).signature


@pytest.mark.parametrize("size", [0, 32, 63, 65, 1000])
def test_report_data_of_another_size_is_refused_and_the_platform_works_on(platform: Platform, size):
    with pytest.raises(ReportDataSize):
        platform.quote(bytes(size))
    assert platform.quote(bytes(64))


def test_threads_never_get_each_others_quotes(platform: Platform):
    asked = [bytes([number]) * 64 for number in range(1, 33)]
    with ThreadPoolExecutor(8) as pool:
        quotes = list(pool.map(platform.quote, asked))
    assert [parse_quote(quote).body.report_data for quote in quotes] == asked


def test_it_says_its_name(platform: Platform, kind):
    assert platform.name in {"simulated", "gramine", "tdx"}
    assert platform.name == {"simul": "simulated", "grami": "gramine", "confi": "tdx"}[kind[:5]]
