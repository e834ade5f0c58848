"""The mirror: fetched once, verified before it is kept, served on while upstream is down, and never past its end."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from strongroom.attestation import Anchor, CertificationType, Tee, parse_quote, verify
from strongroom.collateral import CollateralUnavailable, pccs
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.cache import Cache
from strongroom.collateral.client import SourceFailed
from strongroom.collateral.gather import Choice, collateral_for
from strongroom.collateral.pccs.administration import write_recordings
from strongroom.collateral.pccs.mirror import AT_ONCE, Mirror, TooManyAtOnce
from strongroom.collateral.pccs.recording import record
from strongroom.collateral.pccs.upload import Machine
from strongroom.errors import StrongroomError, Unreachable
from strongroom.platforms.simulated.certification import encrypted_ppid

ROOT_CRL = "/sgx/certification/v4/rootcacrl"
IDENTITY = "/sgx/certification/v4/qe/identity"


class Upstream:
    """Another server: what a backend has, as a source; it can be down, or lie."""

    name = "upstream"

    def __init__(self, backend):
        self.backend, self.asked, self.down, self.forge = backend, [], False, None

    def answer(self, request):
        self.asked.append(request.path_and_query())
        if self.down:
            raise SourceFailed("upstream is down", status=503)
        found = self.backend.answer(request)
        if found is None or found.status != 200:
            raise SourceFailed("upstream has no such thing", status=404 if found is None else found.status)
        return self.forge(found) if self.forge else found


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock(now):
    return Clock(now)


@pytest.fixture
def upstream(stock, clock):
    return Upstream(pccs.Made(stock, clock=clock))


@pytest.fixture
def mirror(upstream, tmp_path, world, clock):
    """Return how to make a mirror over the one cache folder."""
    anchor = Anchor.from_certificate(world.root_der)

    def make(mode=pccs.Mode.LAZY, sources=None, anchor=anchor):
        return Mirror([upstream] if sources is None else sources, Cache(tmp_path / "cache"), anchor=anchor, mode=mode,
                      clock=clock)  # fmt: skip

    return make


@pytest.fixture
def tcb(world):
    return f"/tdx/certification/v4/tcb?fmspc={world.fmspc}"


@pytest.fixture
def quote_of(world, identity):
    return lambda kind: world.quote(identity, bytes(64), certification_type=kind)


@pytest.fixture
def judge(world, now):
    anchors = [Anchor.from_certificate(world.root_der)]
    return lambda evidence, collateral: verify(evidence, collateral, anchors=anchors, at=now).status.value


def test_what_is_fetched_once_is_served_while_upstream_is_down_and_after_a_restart(mirror, upstream, get, tcb):
    first = get(mirror(), tcb)
    upstream.down = True
    assert get(mirror(), tcb).body == first.body
    assert get(mirror(pccs.Mode.OFFLINE), tcb).body == first.body
    with pytest.raises(CollateralUnavailable):
        get(mirror(), IDENTITY)
    assert get(mirror(pccs.Mode.OFFLINE), IDENTITY) is None


def test_one_question_in_many_spellings_is_asked_once(mirror, upstream, get, tcb):
    served = mirror()
    for target in (tcb, f"{tcb}&update=standard", "/sgx/certification/v4/pckcrl?ca=platform",
                   "/sgx/certification/v3/pckcrl?ca=platform&encoding=der", ROOT_CRL, "/sgx/certification/v3/rootcacrl",
                   IDENTITY, "/sgx/certification/v3/qe/identity"):  # fmt: skip
        assert get(served, target).status == 200, target
    assert len(upstream.asked) == len(set(upstream.asked)) == 4


def test_a_crl_is_had_in_every_encoding(mirror, get):
    from cryptography import x509

    served = mirror()
    pem = get(served, "/sgx/certification/v4/pckcrl?ca=platform").body
    der = get(served, "/sgx/certification/v4/pckcrl?ca=platform&encoding=der").body
    assert x509.load_pem_x509_crl(pem) == x509.load_der_x509_crl(der)
    hexadecimal = get(served, ROOT_CRL).body
    uri = "https%3A%2F%2Fcertificates.trustedservices.intel.com%2FIntelSGXRootCA.der"
    assert get(served, f"/sgx/certification/v4/crl?uri={uri}").body == bytes.fromhex(hexadecimal.decode())


@pytest.mark.parametrize(
    "uri", ["http%3A%2F%2F169.254.169.254%2Flatest", "https%3A%2F%2Fexample.com%2FIntelSGXRootCA.der"]
)
def test_no_url_of_a_peers_choice_is_ever_fetched(mirror, upstream, get, uri):
    assert get(mirror(), f"/sgx/certification/v4/crl?uri={uri}") is None
    assert upstream.asked == []


def test_tcb_info_of_the_old_version_is_not_made_up(mirror, upstream, get, world):
    assert get(mirror(), f"/sgx/certification/v3/tcb?fmspc={world.fmspc}") is None
    assert upstream.asked == []


def test_nothing_is_served_past_its_end(mirror, upstream, get, tcb, clock):
    served = mirror()
    get(served, tcb)
    upstream.down = True
    clock.now += timedelta(days=28)
    assert get(served, tcb).status == 200
    clock.now += timedelta(days=2)
    with pytest.raises(Unreachable):
        get(served, tcb)
    upstream.down = False
    clock.now += timedelta(minutes=10)
    assert get(served, tcb).status == 200


def flip(answer):
    return Answer(status=200, headers=answer.headers, body=answer.body.replace(b"UpToDate", b"OutOfDate", 1))


def test_sc_08_what_does_not_verify_is_neither_served_nor_kept(mirror, upstream, get, tcb):
    upstream.forge = flip
    served = mirror()
    with pytest.raises(StrongroomError):
        get(served, tcb)
    kept = {entry.request.kind for _, entry in served._cache.entries()}
    assert Kind.TCB not in kept
    sound = Upstream(upstream.backend)
    assert get(mirror(sources=[upstream, sound]), tcb).status == 200  # the next source is asked


def test_collateral_of_another_root_is_not_passed_on(mirror, get, tcb):
    from strongroom.attestation import INTEL

    with pytest.raises(StrongroomError):
        get(mirror(anchor=INTEL), tcb)


def test_tcb_12_absence_and_retirement_are_told_from_failure_and_asked_once(mirror, upstream, get, tcb, world):
    served = mirror()
    for _ in range(3):
        assert get(served, "/sgx/certification/v4/tcb?fmspc=000000000000") is None
        assert get(served, f"{tcb}&tcbEvaluationDataNumber=3").status == 410
    assert sum("tcb?" in target for target in upstream.asked) == 2


def test_unsigned_lists_are_passed_on_and_not_kept(mirror, upstream, get, world):
    served = mirror()
    for _ in range(2):
        assert json.loads(get(served, "/sgx/certification/v4/fmspcs").body)[0]["fmspc"] == world.fmspc
    assert len(upstream.asked) == 2
    assert get(mirror(pccs.Mode.REQ), "/sgx/certification/v4/fmspcs") is None
    assert get(served, f"/sgx/certification/v4/pckcerts?encrypted_ppid={'00' * 384}&pceid=0000") is None
    upstream.down = True
    with pytest.raises(SourceFailed):
        get(served, "/sgx/certification/v4/fmspcs")


def test_many_at_once_ask_upstream_once(mirror, upstream, get, tcb):
    served = mirror()
    with ThreadPoolExecutor(8) as pool:
        bodies = {answer.body for answer in pool.map(lambda _: get(served, tcb), range(32))}
    assert len(bodies) == 1
    assert sum("tcb?" in target for target in upstream.asked) == 1


def test_while_too_many_wait_for_upstream_what_is_held_is_served_and_more_is_turned_away(
    mirror, upstream, get, tcb, ask
):
    served = mirror()
    get(served, tcb)
    release, answer = threading.Event(), upstream.answer
    upstream.answer = lambda request: answer(request) if release.wait(60) else None
    targets = [f"/sgx/certification/v4/tcb?fmspc={number:012X}" for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            pending = [pool.submit(get, served, target) for target in targets]
            while served._places._value:  # until each has its place
                assert not any(each.done() for each in pending)
            app = pccs.make_app(served)
            assert ask(app, "GET", tcb).status == 200
            reply = ask(app, "GET", "/sgx/certification/v4/tcb?fmspc=FFFFFFFFFFFF")
            assert (reply.status, reply.headers["retry-after"]) == (429, "10")
            with pytest.raises(TooManyAtOnce) as refusal:
                get(served, "/sgx/certification/v4/fmspcs")
            assert refusal.value.code == "SR-PCCS-BUSY"
        finally:
            release.set()
    assert [each.result() for each in pending] == [None] * AT_ONCE
    assert get(served, "/sgx/certification/v4/fmspcs").status == 200


def machine_of(world, **change):
    hardware = world.hardware
    said = {"qe_id": hardware.qe_id.hex().upper(), "pce_id": "0000", "cpu_svn": hardware.cpu_svn.hex().upper(),
            "pce_svn": hardware.pce_svn.to_bytes(2, "little").hex().upper(),
            "enc_ppid": encrypted_ppid(hardware).hex().upper()}  # fmt: skip
    return Machine(**{**said, **change})


def pck_target(world):
    machine = machine_of(world)
    return (f"/sgx/certification/v4/pckcert?qeid={machine.qe_id}&encrypted_ppid={machine.enc_ppid}"
            f"&cpusvn={machine.cpu_svn}&pcesvn={machine.pce_svn}&pceid=0000")  # fmt: skip


def test_in_mode_req_registrations_fetch_and_questions_do_not(mirror, upstream, get, tcb, world):
    served = mirror(pccs.Mode.REQ)
    assert get(served, tcb) is None
    assert upstream.asked == []
    assert served.provision(machine_of(world))
    upstream.down = True
    for target in (tcb, tcb.replace("tdx", "sgx"), IDENTITY, ROOT_CRL, pck_target(world)):
        assert get(served, target).status == 200, target


def test_a_machine_that_upstream_does_not_know_has_no_certificate(mirror, world):
    assert not mirror().provision(machine_of(world, qe_id="0" * 32))
    assert not mirror().provision(machine_of(world, cpu_svn=""))


def test_refresh_fetches_all_that_is_held_and_says_what_failed(mirror, upstream, get, tcb, clock):
    served = mirror(pccs.Mode.REQ)
    served.fill(Tee.TDX, tcb.rpartition("=")[2], cas=("platform",))
    before = get(served, tcb).body
    clock.now += timedelta(days=2)
    upstream.asked.clear()
    served.refresh()
    assert len(upstream.asked) == 4
    assert get(served, tcb).body != before
    upstream.down = True
    with pytest.raises(CollateralUnavailable):
        served.refresh()
    assert get(served, tcb).status == 200


def test_in_the_background_what_is_half_way_is_renewed_also_after_a_restart(mirror, upstream, get, tcb, clock):
    before = get(mirror(), tcb).body
    clock.now += timedelta(days=16)
    served, stop = mirror(), threading.Event()
    refreshing = threading.Thread(target=served.keep_fresh, args=(stop, 0.01))
    refreshing.start()
    try:
        while get(served, tcb).body == before:
            assert refreshing.is_alive()
    finally:
        stop.set()
        refreshing.join()


def test_a_defect_or_a_bad_disk_does_not_end_the_renewal(mirror, monkeypatch, caplog):
    served, stop, troubles = mirror(), threading.Event(), iter([OSError("the disk"), ZeroDivisionError("a defect")])

    def held():
        for trouble in troubles:
            raise trouble
        stop.set()
        return iter(())

    monkeypatch.setattr(served, "held", held)
    served.keep_fresh(stop, 0.001)
    assert "the disk" in caplog.text
    assert "a defect" in caplog.text


@pytest.mark.parametrize("kind", [CertificationType.PCK_CHAIN, CertificationType.RSA_3072_PPID])
def test_filled_for_a_quote_and_written_out_it_serves_where_there_is_no_network(
    mirror, quote_of, tmp_path, judge, kind
):
    evidence = quote_of(kind)
    quote = parse_quote(evidence)
    filled = mirror()
    filled.fill_for(quote)
    write_recordings(tmp_path / "out", [recording for each in filled.held() if (recording := record(each))])
    elsewhere = Upstream(pccs.Recorded(tmp_path / "out"))

    collateral = collateral_for(quote, lambda request, _root: elsewhere.answer(request), Choice())
    assert judge(evidence, collateral) == "UpToDate"


def test_every_signed_answer_survives_being_written_down(simulated, world, get, tmp_path):
    tcb = f"/sgx/certification/v4/tcb?fmspc={world.fmspc}"
    targets = [tcb, f"{tcb}&update=early", tcb.replace("sgx", "tdx"), IDENTITY, f"{IDENTITY}?update=early", ROOT_CRL,
               "/sgx/certification/v4/pckcrl?ca=platform&encoding=der", pck_target(world),
               "/tdx/certification/v4/tcbevaluationdatanumbers", "/sgx/certification/v4/fmspcs"]  # fmt: skip
    exchanges = [Exchange(Request.parse(*target.partition("?")[::2]), get(simulated, target)) for target in targets]
    recordings = [record(each) for each in exchanges]
    assert len({each.name for each in recordings}) == len(targets)
    write_recordings(tmp_path, recordings)
    replay = pccs.Recorded(tmp_path)
    for target, exchange in zip(targets, exchanges, strict=True):
        again = get(replay, target)
        assert (again.body, dict(again.headers)) == (exchange.answer.body, dict(exchange.answer.headers)), target
