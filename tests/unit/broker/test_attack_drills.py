"""Attack drills against a listening broker, by the ids of the threat model: foreign machines, stolen keys, relays."""

import socket
import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from OpenSSL import SSL

from strongroom.attestation import INTEL, Anchor, verify
from strongroom.attestation.verify import fmspc_of
from strongroom.broker.policy import diff as policy_diff
from strongroom.broker.policy import file as policy_file
from strongroom.gramine.provisioning import REQUEST
from strongroom.pki import ratls
from strongroom.platforms.simulated import World


class OfWorlds:
    """Collateral of whichever world a quote comes from."""

    def __init__(self, *worlds):
        self.by_family = {world.fmspc: world.collateral(datetime.now(UTC)) for world in worlds}

    def collateral_for(self, quote):
        return self.by_family[fmspc_of(quote)]


@pytest.fixture
def foreign(tmp_path):
    """A second platform, genuine to whoever trusts its root."""
    return World.create(tmp_path / "foreign", now=datetime.now(UTC))


@pytest.fixture
def both(broker_with, world, foreign):
    """Start a broker that trusts both platforms' roots."""

    def start(policy, **options):
        anchors = [INTEL, *(Anchor.from_certificate(each.root_der) for each in (world, foreign))]
        return broker_with(policy, anchors=anchors, source=OfWorlds(world, foreign), **options)

    return start


@pytest.fixture
def quoted_by(replica, credentials_for):
    """Make what a peer presents whose program is the same on any platform."""

    def make(world):
        return credentials_for(quote=lambda report_data: world.quote(replica.identity, report_data))

    return make


def enrolled(verdict):
    return f'platforms = [{{id = "{verdict.pck.ppid.hex()}", until = 2099-01-01}}]'


def test_fb_06_the_same_program_on_a_machine_of_somebody_else_gets_nothing(
    *, both, texts, verdict_of, replica, foreign, refusal, quoted_by
):
    rule, policy = texts
    with both(policy(rule(extra=enrolled(verdict_of())))) as broker:
        assert len(broker.provision(replica)) == 16
        assert refusal(broker, quoted_by(foreign)) == ["PLATFORM_NOT_ENROLLED"]
        assert len(broker.provision(replica)) == 16


def test_fb_06_without_a_list_a_foreign_machine_is_as_good_as_ones_own(both, texts, replica, foreign):
    """What the list is for: nothing else in the evidence tells the two machines apart."""
    with both(texts[1]()) as broker:
        assert len(broker.provision(replace(replica, world=foreign))) == 16


@pytest.mark.parametrize(
    ("word", "entry", "code"),
    [
        ("denied_platforms", lambda verdict: verdict.pck.ppid.hex(), "POLICY_PLATFORM_DENIED"),
        ("denied_fmspc", lambda verdict: verdict.fmspc, "POLICY_FMSPC_DENIED"),
        ("denied_pck_serials", lambda verdict: f"{verdict.pck_serial:040X}", "POLICY_PCK_DENIED"),
        ("denied_roots", lambda verdict: verdict.root_key_id, "POLICY_ROOT_DENIED"),
    ],
)
def test_pl_05_a_key_that_got_out_is_refused_on_the_next_connection(
    *, broker, texts, verdict_of, replica, refusal, credentials_for, word, entry, code
):
    rule, policy = texts
    assert len(broker.provision(replica)) == 16
    good, denied = policy(rule()), f'{word} = ["{entry(verdict_of())}"]'
    broker.policy.write_text(good.replace("version = 1", f"version = 1\n{denied}"))  # for every rule of the file
    assert refusal(broker, credentials_for()) == [code]
    broker.policy.write_text(policy(rule(extra=f"{denied}\n{enrolled(verdict_of())}")))
    assert refusal(broker, credentials_for()) == [code]  # a deny-list wins over an enrolment
    assert [entry["decision"] for entry in broker.decisions()] == ["granted", "denied", "denied"]
    broker.policy.write_text(good)
    assert len(broker.provision(replica)) == 16


def test_pl_05_an_attestation_key_that_got_out_is_refused(
    *, broker_with, texts, world, replica, refusal, credentials_for
):
    rule, policy = texts
    enclave = world.quoting_enclave()  # one that keeps its key, as a thief would
    stolen = verify(
        enclave.quote(replica.identity, bytes(64)), world.collateral(datetime.now(UTC)),
        anchors=[Anchor.from_certificate(world.root_der)], at=datetime.now(UTC),
    ).attestation_key  # fmt: skip
    peer = credentials_for(quote=lambda report_data: enclave.quote(replica.identity, report_data))
    with broker_with(policy(rule(extra=f'denied_attestation_keys = ["{stolen.hex()}"]'))) as broker:
        assert refusal(broker, peer) == ["POLICY_ATTESTATION_KEY_DENIED"]
        assert len(broker.provision(replica)) == 16  # quoted under another key


def test_a_deny_list_reaches_files_whose_rules_have_lists_of_their_own(texts):
    rule, policy = texts
    text = policy(rule(extra='denied_pck_serials = ["01"]')).replace("version = 1", 'version = 1\n'
                                                                     'denied_pck_serials = ["02"]')  # fmt: skip
    [found] = policy_file.parse(text).rules
    assert found.policy.denied_pck_serials == {1, 2}


WEAKER = [
    ('accepted_tcb_status = ["UpToDate"]', 'accepted_tcb_status = ["UpToDate", "OutOfDate"]'),
    ("allow_debug = false", "allow_debug = true"),
    ("allow_smt_enabled = false", "allow_smt_enabled = true"),
    ('trust_domains = ["intel"]', 'trust_domains = ["intel", "simulated"]'),
    ('denied_pck_serials = ["01", "02"]', 'denied_pck_serials = ["02"]'),
    (f'denied_attestation_keys = ["{"5d" * 64}"]', "denied_attestation_keys = []"),
    (f'denied_roots = ["{"5e" * 48}"]', "denied_roots = []"),
]
SIGNED = 'mrsigner = "{}"\nisvprodid = {}\nmin_isvsvn = {}'
IDENTITIES = [
    (SIGNED.format("cd" * 32, 7, 3), SIGNED.format("cd" * 32, 7, 2)),
    (SIGNED.format("cd" * 32, 7, 3), SIGNED.format("ce" * 32, 7, 3)),
    (f'mrenclave = "{"ab" * 32}"', SIGNED.format("cd" * 32, 7, 3)),
]


def only(identity, extra=""):
    head = 'version = 1\n[[rule]]\nname = "one"\nrelease = "model/m/1"\n'
    return policy_file.parse(f"{head}{identity}\n{extra}\n")


@pytest.mark.parametrize(("strict", "loose"), WEAKER)
def test_sa_08_a_weaker_word_is_told_as_wider(strict, loose):
    identity = f'mrenclave = "{"ab" * 32}"'
    assert policy_diff.diff(only(identity, strict), only(identity, loose)).wider
    assert not policy_diff.diff(only(identity, loose), only(identity, strict)).wider


@pytest.mark.parametrize(("strict", "loose"), IDENTITIES)
def test_sa_08_a_weaker_identity_is_told_as_wider(strict, loose):
    assert policy_diff.diff(only(strict), only(loose)).wider


def test_sa_08_a_file_wide_list_that_is_dropped_is_told_as_wider():
    text = f'version = 1\ndenied_roots = ["{"5e" * 48}"]\n[[rule]]\nname = "one"\nrelease = "model/m/1"\n'
    strict, loose = (policy_file.parse(f'{each}mrenclave = "{"ab" * 32}"\n')
                     for each in (text, text.replace(f'denied_roots = ["{"5e" * 48}"]\n', "")))  # fmt: skip
    [finding] = policy_diff.diff(strict, loose).wider
    assert [str(word.change) for word in finding.words] == ["wider"]
    assert policy_diff.diff(loose, strict).wider == ()


def test_fb_13_a_certificate_of_any_dates_is_no_freshness(broker_with, texts, refusal, credentials_for):
    """Where a rule wants evidence to say its time, a certificate's dates do not stand in for it."""
    rule, policy = texts
    with broker_with(policy(rule(extra="max_evidence_age_seconds = 60"))) as broker:
        assert refusal(broker, credentials_for()) == ["POLICY_EVIDENCE_AGE"]
        assert refusal(broker, credentials_for(days=(-9000, 9000))) == ["POLICY_EVIDENCE_AGE"]


def test_fb_05_two_forms_that_contradict_each_other_are_judged_by_the_newer(
    *, broker_with, texts, world, replica, refusal, credentials_for
):
    """A good program in the old form does not speak for another one in the new form."""
    other = replace(replica.identity, mr_enclave=b"\x0f" * 32)
    quotes = iter([replica.identity, other])  # legacy first, then DICE
    peer = credentials_for(
        quote=lambda report_data: world.quote(next(quotes), report_data), forms=[ratls.Form.LEGACY, ratls.Form.DICE]
    )
    with broker_with(texts[1]()) as broker:
        assert refusal(broker, peer) == ["POLICY_MRENCLAVE"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def test_fb_12_nobody_comes_back_into_an_old_session(broker_with, texts, credentials_for, version):
    """A policy that changed meanwhile, or evidence that aged, is asked again, since every connection is a new one."""
    rule, policy = texts
    credentials = credentials_for()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate_file(str(credentials.certificate_path))
    context.use_privatekey_file(str(credentials.key_path))
    with broker_with(tls13=True) as broker:
        first, session = released(broker, context)
        assert first
        broker.policy.write_text(policy(rule(identity=f'mrenclave = "{"0f" * 32}"')))
        again, _ = released(broker, context, session=session)
        assert not again
        assert broker.codes() == ["POLICY_MRENCLAVE"]


def released(broker, context, *, session=None):
    """Ask for the secret on one connection; return whether it came, and the session to come back into."""
    with socket.create_connection(("localhost", broker.port), timeout=30) as raw:
        raw.setblocking(True)
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        if session is not None:
            connection.set_session(session)
        connection.do_handshake()
        assert not SSL._lib.SSL_session_reused(connection._ssl)
        connection.sendall(REQUEST)
        answer = b""
        with suppress(SSL.Error):
            while part := connection.recv(4096):
                answer += part
        return bool(answer), connection.get_session()
