"""Our client against brokers that lie, relays in between, and addresses that are none."""

import hashlib
import http.client
import json
import ssl
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from strongroom.broker.gramine_client import BrokerRefused, BrokerUnreachable, BrokerUntrusted
from strongroom.broker.kbs_client import Address, KbsAddress, obtain, tee_of
from strongroom.broker.kbs_dialogue import Dialogue, KbsAnswerMalformed, KbsDowngraded
from strongroom.broker.names import SecretName
from strongroom.pki.authority import Authority
from strongroom.pki.jose import JweMalformed, RecipientKey, seal
from strongroom.secret import Secret

MODEL = "model/efficientnet-lite0/1"
PATH = "default/model/efficientnet-lite0.1"
NONCE = "Rm81yEUCI4EnE/OFs8rwjW19lrAxE5bH1ekK4gkxiz8="
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
ANSWER = {"strongroom": {"v": 1, "require": ["deployment", "purpose"], "deployment": "d-1"}}


# Addresses


def test_an_address_is_https_with_a_host():
    assert Address.parse("https://broker:8080") == Address("broker", 8080, "")
    assert Address.parse("https://broker/prefix/") == Address("broker", 443, "/prefix")
    assert str(Address.parse("https://[::1]:8080/a")) in ("https://::1:8080/a", "https://[::1]:8080/a")


@pytest.mark.parametrize(
    "url",
    ["http://broker:8080", "broker:8080", "https://", "https://u:p@broker", "https://broker:x", "https://broker:0",
     "https://broker?x", "https://broker#x", "https://broker/%2e", "https://broker:99999", "https://[::1", ""],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(KbsAddress) as caught:
        Address.parse(url)
    assert caught.value.code == "SR-KBS-ADDRESS"


# Brokers that lie


def lying(auth=None, attest=None, resource=None):
    """Return the application of a KBS that answers as it is told; by default it never releases anything."""

    def fixed(answer):
        async def give(request):
            await request.body()  # a server that answers before may close before the answer has left
            if isinstance(answer, Response):
                return answer
            return Response(
                json.dumps(answer), media_type="application/json", headers={"Set-Cookie": "kbs-session-id=a"}
            )

        return give

    challenge = {"nonce": NONCE, "extra-params": ANSWER}
    return Starlette(
        routes=[
            Route("/kbs/v0/auth", fixed(challenge if auth is None else auth), methods=["POST"]),
            Route("/kbs/v0/attest", fixed({"token": "t"} if attest is None else attest), methods=["POST"]),
            Route("/kbs/v0/resource/{rest:path}", fixed({} if resource is None else resource)),
        ]
    )


@pytest.fixture
def ask(serve, owner, replica):
    """Ask a broker with this application for the model's key."""

    def run(application, **options):
        authority, identity = owner
        with serve(application, identity) as port:
            return obtain(
                f"https://localhost:{port}", SecretName.parse(MODEL), ca_pem=authority.certificate_pem,
                platform=replica, **{"timeout_s": 20} | options,
            )  # fmt: skip

    return run


def challenge(**changes):
    return {"nonce": NONCE, "extra-params": ANSWER} | changes


@pytest.mark.parametrize(
    "answer",
    [
        challenge(nonce="x" * 1_000_000), challenge(nonce=NONCE[:-1]), challenge(nonce=7), challenge(nonce=None),
        challenge(**{"extra-params": None}), challenge(**{"extra-params": 7}), [], "text",
        *(challenge(**{"extra-params": {"selected-hash-algorithm": name} | ANSWER}) for name in ("md5", 7, [], "se")),
        challenge(**{"extra-params": {"strongroom": {"v": 2}}}), challenge(**{"extra-params": {"strongroom": 1}}),
        challenge(**{"extra-params": {"strongroom": {"v": 1, "require": [], "deployment": "d"}}}),
        challenge(**{"extra-params": {"strongroom": {"v": 1, "require": ["deployment", "purpose"]}}}),
        Response("{", 200), Response(b"\xff", 200), Response("x" * 5_000_000, 200),
    ],
)  # fmt: skip
def test_a_challenge_that_is_none_ends_the_dialogue_before_any_evidence(ask, replica, answer):
    with pytest.raises(KbsAnswerMalformed) as caught:
        ask(lying(auth=answer))
    assert caught.value.code == "SR-KBS-ANSWER"
    assert set(replica.asked) <= {bytes(64)}  # no more than which kind of TEE this is


@pytest.mark.parametrize("extra", ["", {}])
def test_a_broker_that_binds_nothing_is_a_downgrade_unless_the_caller_allows_it(ask, replica, extra):
    with pytest.raises(KbsDowngraded) as caught:
        ask(lying(auth=challenge(**{"extra-params": extra})))
    assert caught.value.code == "SR-KBS-DOWNGRADE"
    assert set(replica.asked) <= {bytes(64)}
    with pytest.raises(JweMalformed):  # goes on to the end, and gets nothing
        ask(lying(auth=challenge(**{"extra-params": extra})), binding_required=False)


def test_fb_06_a_broker_of_another_deployment_gets_no_evidence(ask, replica):
    with pytest.raises(KbsDowngraded, match="d-1"):
        ask(lying(), deployment="d-2")
    assert set(replica.asked) <= {bytes(64)}


@pytest.mark.parametrize(
    ("where", "answer", "problem"),
    [
        ("auth", RedirectResponse("https://localhost:1/kbs/v0/auth", 307), KbsAnswerMalformed),
        ("auth", Response("<html>Log in</html>", 401, media_type="text/html"), KbsAnswerMalformed),
        ("auth", Response('{"type":"t"}', 401), KbsAnswerMalformed),
        ("auth", Response('{"type":"t","detail":"d"}', 401), BrokerRefused),
        ("attest", Response('{"type":"t","detail":"d"}', 401), BrokerRefused),
        ("resource", Response('{"type":"t","detail":"d"}', 403), BrokerRefused),
        ("resource", Response('{"type":"t","detail":"d"}', 404), BrokerRefused),
        ("resource", Response("busy", 503), BrokerUnreachable),
        ("auth", Response("busy", 429), BrokerUnreachable),
        ("attest", Response("{}", 200), KbsAnswerMalformed),
        ("attest", Response("[]", 200), KbsAnswerMalformed),
        ("resource", Response("{}", 200), JweMalformed),
        ("resource", Response("<html>", 200), JweMalformed),
        ("resource", Response(KEY, 200), JweMalformed),
        ("resource", Response("", 204), KbsAnswerMalformed),
    ],
)
def test_sv_03_every_other_answer_has_its_name_and_no_key_comes_of_it(ask, where, answer, problem):
    with pytest.raises(problem):
        ask(lying(**{where: answer}))


@pytest.mark.parametrize(
    "sr",
    [None, 7, {}, {"path": PATH}, {"path": "default/model/other.1", "lease": "ab", "lease_seconds": 9},
     {"path": PATH, "lease": "x/y", "lease_seconds": 9}, {"path": PATH, "lease": "ab", "lease_seconds": 0},
     {"path": PATH, "lease": "ab", "lease_seconds": True}, {"path": PATH, "lease": "ab", "lease_seconds": 2**40}],
)  # fmt: skip
def test_an_envelope_for_something_else_is_refused(sr):
    dialogue = Dialogue("sgx", PATH, kbs_key="ab" * 32)
    dialogue.challenged(json.dumps(challenge()).encode())
    sealed = seal(RecipientKey.of(dialogue._key.public_key()), Secret(KEY), extra=None if sr is None else {"sr": sr})
    with pytest.raises(KbsAnswerMalformed):
        dialogue.opened(json.dumps(sealed).encode())


def test_an_answer_that_never_ends_is_given_up_in_time(serve, owner, replica):
    async def drip(request):
        import asyncio

        from starlette.responses import StreamingResponse

        async def pieces():
            while True:
                yield b" "
                await asyncio.sleep(0.05)

        return StreamingResponse(pieces())

    authority, identity = owner
    with (
        serve(Starlette(routes=[Route("/kbs/v0/auth", drip, methods=["POST"])]), identity, drain_s=0.1) as port,
        pytest.raises(BrokerUnreachable, match="within"),
    ):
        obtain(f"https://localhost:{port}", SecretName.parse(MODEL), ca_pem=authority.certificate_pem,
               platform=replica, timeout_s=1)  # fmt: skip


# Who answers


def test_fb_21_a_broker_of_another_ca_or_name_gets_nothing(kbs, replica):
    other = Authority.create("somebody else", now=datetime.now(UTC))
    with pytest.raises(BrokerUntrusted) as caught:
        kbs.obtain(replica, ca_pem=other.certificate_pem)
    assert caught.value.code == "SR-BROKER-UNTRUSTED"
    with pytest.raises((BrokerUntrusted, BrokerUnreachable)):
        kbs.obtain(replica, url=f"https://ip6-localhost:{kbs.port}")
    assert replica.asked == []
    with pytest.raises(BrokerUnreachable):
        kbs.obtain(replica, url="https://localhost:1")


def test_a_broker_that_speaks_no_http_is_unreachable(owner, replica):
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"SSH-2.0-no\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(BrokerUnreachable):
        obtain(f"https://localhost:{listener.getsockname()[1]}", SecretName.parse(MODEL),
               ca_pem=owner[0].certificate_pem, platform=replica, timeout_s=5)  # fmt: skip
    thread.join()
    listener.close()


def test_the_kind_of_tee_is_asked_of_the_platform(replica):
    assert tee_of(replica) == "sgx"
    assert replica.asked == [bytes(64)]


# Relays


class Relay:
    """A man in the middle with a certificate that the client trusts: passes everything on, and keeps it."""

    def __init__(self, broker):
        self.broker = broker
        self.seen = []

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        context = ssl.create_default_context(cadata=self.broker.ca_pem.decode())
        connection = http.client.HTTPSConnection("localhost", self.broker.port, context=context, timeout=20)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name != b"host"}
        connection.request(scope["method"], scope["path"], body or None, headers)
        answer = connection.getresponse()
        found = answer.read()
        self.seen += [body, found]
        kept = [(name.lower().encode(), value.encode()) for name, value in answer.getheaders()
                if name.lower() in ("content-type", "set-cookie")]  # fmt: skip
        connection.close()
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        await send({"type": "http.response.body", "body": found})


def test_fb_03_a_man_in_the_middle_with_a_valid_certificate_sees_no_key(kbs, serve, owner, client_of):
    relay = Relay(kbs)
    with serve(relay, owner[0].issue_server(["localhost"], now=datetime.now(UTC))) as port:
        client = client_of(kbs)
        client.url = f"https://localhost:{port}"
        assert client.get_resource(PATH) == KEY  # stock clients do not notice
    for form in (KEY, KEY.hex().encode()):
        assert form not in b"".join(relay.seen)


def test_fb_07_our_client_and_broker_notice_him(kbs, serve, owner, replica):
    identity = owner[0].issue_server(["localhost"], now=datetime.now(UTC))
    with serve(Relay(kbs), identity) as port, pytest.raises(BrokerRefused):
        kbs.obtain(replica, url=f"https://localhost:{port}")
    assert kbs.codes() == ["SR-KBS-BINDING"]


def test_fb_06_evidence_that_is_relayed_between_two_deployments_is_refused(kbs_with, replica):
    """Both brokers trust the same hardware and build: what differs is the deployment under the quote."""
    with kbs_with(name="one") as one, kbs_with(name="two") as two:
        spki = hashlib.sha256(two.spki).hexdigest()
        dialogue = Dialogue("sgx", PATH, kbs_key=spki)
        channel = _Plain(two)
        answer = json.loads(channel.ask("POST", "/auth", dialogue.request()))
        answer["extra-params"]["strongroom"]["deployment"] = one.kbs.deployment  # what the replica is told
        quote = replica.quote(dialogue.challenged(json.dumps(answer).encode()))
        assert channel.ask("POST", "/attest", dialogue.attestation(quote), status=401)
        assert two.codes() == ["SR-KBS-BINDING"]


def test_fb_20_evidence_for_one_path_opens_no_other(kbs_with, replica, policy_of):
    policy = policy_of(release="model/efficientnet-lite0/1-")
    with kbs_with(policy, secrets={MODEL: KEY, "model/efficientnet-lite0/2": KEY}) as kbs:
        channel = _Plain(kbs)
        dialogue = Dialogue("sgx", PATH, kbs_key=hashlib.sha256(kbs.spki).hexdigest())
        quote = replica.quote(dialogue.challenged(channel.ask("POST", "/auth", dialogue.request())))
        channel.ask("POST", "/attest", dialogue.attestation(quote))
        assert channel.ask("GET", "/resource/default/model/efficientnet-lite0.2", None, status=403)
        assert dialogue.opened(channel.ask("GET", f"/resource/{PATH}", None)).secret == Secret(KEY)
        assert kbs.codes() == ["SR-KBS-BINDING"]


def test_a_lease_of_somebody_else_is_not_renewed(kbs, replica, replica_as, policy_of):
    lease = kbs.obtain(replica).lease_id
    kbs.policy.write_text(
        policy_of() + policy_of(enclave=b"\xe2" * 32).removeprefix("version = 1\n").replace("replica", "b")
    )
    assert kbs.obtain(replica_as(mr_enclave=b"\xe2" * 32), lease_id=lease).lease_id != lease


class _Plain:
    """A connection that sends what a dialogue says, with the cookie that it got."""

    def __init__(self, broker):
        context = ssl.create_default_context(cadata=broker.ca_pem.decode())
        self.broker, self.context, self.headers = broker, context, {}

    def ask(self, method, path, body, *, status=200):
        connection = http.client.HTTPSConnection("localhost", self.broker.port, context=self.context, timeout=20)
        connection.request(method, f"/kbs/v0{path}", body, self.headers)
        answer = connection.getresponse()
        found = answer.read()
        if cookie := answer.getheader("Set-Cookie"):
            self.headers = {"Cookie": cookie.partition(";")[0]}
        connection.close()
        assert answer.status == status, found
        return found
