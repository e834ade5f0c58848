"""What the client demands of evidence: real quotes of the simulated platform over real TLS, and every way to cheat."""

import base64
import json
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import EvidenceRefused, report_data_for
from strongroom.client import Client, ModelSpec
from strongroom.client.evidence import EvidenceNotBound, NoEvidence, ServerNotAccepted, verify_answer
from strongroom.client.status import BadAnswer
from strongroom.client.trust import BadTrustFolder, Trust
from strongroom.collateral import CollateralUnavailable
from strongroom.platforms import simulated

POLICY = """version = 1
[[rule]]
name = "m on the simulated platform"
mrenclave = "{mrenclave}"
accepted_tcb_status = ["UpToDate"]
trust_domains = ["simulated"]
allow_debug = false
max_collateral_age_days = 30
release = "model/{model}/1"
{extra}
"""
IDENTITY = simulated.EnclaveIdentity(mr_enclave=b"\x5a" * 32, mr_signer=b"\x01" * 32, isv_prod_id=1, isv_svn=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return simulated.World.create(tmp_path_factory.mktemp("world") / "world", now=datetime.now(UTC))


@pytest.fixture
def trust(world, tmp_path):
    """Return a function that writes a trust folder and gives its path."""

    def write(*, model="m", mrenclave=IDENTITY.mr_enclave, collateral=True, extra=""):
        folder = tmp_path / f"trust-{len(list(tmp_path.iterdir()))}"
        for name in ("anchors", "collateral"):
            (folder / name).mkdir(parents=True)
        text = POLICY.format(model=model, mrenclave=mrenclave.hex(), extra=extra)
        (folder / "policy.toml").write_text(text, encoding="utf-8")
        (folder / "anchors" / "simulated.der").write_bytes(world.root_der)
        if collateral:
            text = world.collateral(datetime.now(UTC)).to_json()
            (folder / "collateral" / f"{world.fmspc}.json").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="module")
def spki(tls):
    key = x509.load_pem_x509_certificate(tls.server.read_bytes()).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


SIGNATURE = {
    "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}], "unknown_rank": False}}},
    "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}], "unknown_rank": False}}},
    "method_name": "",
}


@pytest.fixture
def replica(serve, world, spki):
    """Return a function that starts a server with evidence: `cheat` may change identity, key, nonce or the answer."""
    enclave = world.quoting_enclave()

    def start(*, identity=IDENTITY, key=None, nonce=None, answer=None, form="serve-v1", purpose="serve"):
        def reply(handler, body):
            path = urlsplit(handler.path)
            if path.path == "/strongroom/v1/evidence":
                if answer is not None:
                    return answer
                asked = nonce or bytes.fromhex(parse_qs(path.query)["nonce"][0])
                quote = enclave.quote(identity, report_data_for(purpose, key or spki, asked, ""))
                return 200, json.dumps({"quote": base64.b64encode(quote).decode(), "form": form}).encode()
            if path.path.endswith("/metadata"):
                listed = {"signature_def": {"signature_def": {"serving_default": SIGNATURE}}}
                return 200, json.dumps({"model_spec": {"name": "m", "version": "1"}, "metadata": listed}).encode()
            return 200, json.dumps({"outputs": json.loads(body)["inputs"]["x"]}).encode()

        return serve(reply)

    return start


def ask(server, tls, trust_folder, **options):
    with Client(server.url, ca=tls.ca, trust=trust_folder, **options) as client:
        outputs = client.predict("m", {"x": np.array([1.5], np.float32)})
        return SimpleNamespace(outputs=outputs, proof=client.proof("m"), fresh=client.evidence("m"))


def asked_about_models(server):
    return [path for _, path, _ in server.seen if path.startswith("/v1/")]


def test_fb_09_evidence_comes_before_the_first_byte_of_the_caller(replica, tls, trust):
    server = replica()
    answered = ask(server, tls, trust())
    assert answered.outputs["y"].tolist() == [1.5]
    assert server.seen[0][1].startswith("/strongroom/v1/evidence?nonce=")
    assert all(not body for _, _, body in server.seen[:1])


def test_the_proof_says_what_was_proved_and_what_was_not(replica, tls, trust):
    proof = ask(replica(), tls, trust()).proof
    proved, gaps = dict(proof.proved()), dict(proof.not_proved())
    assert "5a5a5a" in proved["program"]
    assert "debug off" in proved["program"]
    assert "SVN 2" in proved["program"]
    assert "UpToDate" in proved["platform"]
    assert "trust domain simulated" in proved["platform"]
    assert "SIMULATED PLATFORM" in gaps["SECRECY"]
    assert proof.to_json_object()["trust_domain"] == "simulated"
    assert len(proof.to_json_object()["quoted_by"]) == 64
    assert any("SIMULATED" in line for line in proof.card())


def test_every_evidence_has_a_nonce_of_its_own(replica, tls, trust):
    server = replica()
    answered = ask(server, tls, trust())
    nonces = [path for _, path, _ in server.seen if "nonce=" in path]
    assert len(nonces) == len(set(nonces)) == 2
    assert answered.proof.evidence.evidence.nonce != answered.fresh.evidence.evidence.nonce


@pytest.mark.parametrize(
    ("cheat", "refusal"),
    [
        ({"key": b"another key"}, (EvidenceNotBound, "SR-EVIDENCE-NOT-BOUND")),
        ({"nonce": b"\x07" * 32}, (EvidenceNotBound, "SR-EVIDENCE-NOT-BOUND")),
        ({"purpose": "release"}, (EvidenceNotBound, "SR-EVIDENCE-NOT-BOUND")),
        ({"identity": replace(IDENTITY, mr_enclave=b"\x5b" * 32)}, (ServerNotAccepted, "SR-SERVER-NOT-ACCEPTED")),
        ({"identity": replace(IDENTITY, debug=True)}, (ServerNotAccepted, "SR-SERVER-NOT-ACCEPTED")),
        ({"answer": (404, b"{}")}, (NoEvidence, "SR-NO-EVIDENCE")),
        ({"answer": (200, b"{}")}, (BadAnswer, "SR-BAD-ANSWER")),
        ({"answer": (200, b'{"quote":"!","form":"serve-v1"}')}, (BadAnswer, "SR-BAD-ANSWER")),
        ({"answer": (200, b'{"quote":"","form":"serve-v1"}')}, (EvidenceRefused, "SR-QUOTE-TRUNCATED")),
        ({"answer": (200, b" " * 70_000)}, (BadAnswer, "SR-BAD-ANSWER")),
        ({"form": "other"}, (BadAnswer, "SR-BAD-ANSWER")),
    ],
    ids=["relayed key", "replayed", "made for the broker", "another program", "debug", "stripped", "empty", "no base64",
         "no quote", "too long", "another form"],
)  # fmt: skip
def test_fb_09_a_server_that_cheats_learns_nothing_of_the_caller(replica, tls, trust, cheat, refusal):
    error, code = refusal
    server = replica(**cheat)
    with pytest.raises(error) as caught:
        ask(server, tls, trust())
    assert caught.value.code == code
    assert asked_about_models(server) == []


def test_fb_10_evidence_of_model_a_is_nothing_to_a_client_of_model_b(replica, tls, trust):
    server = replica()
    with pytest.raises(ServerNotAccepted, match="no rule of yours speaks for the model m"):
        ask(server, tls, trust(model="another"))
    assert asked_about_models(server) == []


def test_fb_06_a_client_knows_the_machines_that_it_trusts(replica, tls, trust):
    server = replica()
    verdict = ask(server, tls, trust()).proof.evidence.evidence.verdict

    def listed(identity):
        return trust(extra=f'platforms = [{{id = "{identity.hex()}", until = 2099-01-01}}]')

    ask(server, tls, listed(verdict.pck.ppid))
    asked = asked_about_models(server)
    with pytest.raises(ServerNotAccepted, match="PLATFORM_NOT_ENROLLED"):
        ask(server, tls, listed(b"\x0f" * 16))
    assert asked_about_models(server) == asked  # a foreign machine hears nothing


def test_a_rule_may_demand_the_binding_that_this_protocol_has(replica, tls, trust):
    server = replica()
    ask(server, tls, trust(extra='bindings = ["transcript"]'))
    with pytest.raises(ServerNotAccepted, match="POLICY_BINDING"):
        ask(server, tls, trust(extra='bindings = ["key"]'))


def test_fb_14_the_servers_key_and_an_old_quote_are_not_enough(replica, tls, trust):
    """Whoever stole key and quote answers the handshake; the nonce of this connection he cannot have quoted."""
    server = replica(nonce=os.urandom(32))
    for _ in range(2):
        with pytest.raises(EvidenceNotBound):
            ask(server, tls, trust())
    assert asked_about_models(server) == []


@pytest.mark.parametrize("purpose", ["", "release", "Serve", "serve\0", "serve-v1"])
def test_fb_08_evidence_made_in_another_role_does_not_speak_for_a_server(replica, tls, trust, purpose):
    server = replica(purpose=purpose)
    with pytest.raises(EvidenceNotBound):
        ask(server, tls, trust())
    assert asked_about_models(server) == []


def test_fb_11_without_evidence_nothing_is_trusted_on_first_use(serve, tls, trust):
    server = serve(lambda *_: (404, b"{}"))
    for _ in range(2):
        with pytest.raises(NoEvidence):
            ask(server, tls, trust())
    assert asked_about_models(server) == []


def test_a_new_connection_proves_itself_again(replica, tls, trust):
    server = replica()
    with Client(server.url, ca=tls.ca, trust=trust()) as client:
        client.metadata("m")
        client.close()
        client.metadata("m")
    kinds = ["evidence" if "nonce=" in path else "metadata" for _, path, _ in server.seen]
    assert kinds == ["evidence", "metadata", "evidence", "metadata"]


def test_a_quote_of_an_unknown_root_is_refused(replica, tls, trust, tmp_path):
    folder = trust()
    (folder / "anchors" / "simulated.der").unlink()
    server = replica()
    with pytest.raises(EvidenceRefused):
        ask(server, tls, folder)
    assert asked_about_models(server) == []


def test_without_collateral_the_client_says_what_is_missing(replica, tls, trust):
    with pytest.raises(CollateralUnavailable):
        ask(replica(), tls, trust(collateral=False))


def test_a_trust_folder_may_say_where_live_collateral_comes_from(world, spki, trust):
    folder = trust()
    (folder / "collateral").rename(folder / "mirror")
    (folder / "collateral.toml").write_text('sources = ["./mirror"]\ncache = "cache"\n')
    loaded = Trust.from_folder(folder)
    nonce = os.urandom(32)
    quote = world.quoting_enclave().quote(IDENTITY, report_data_for("serve", spki, nonce, ""))
    answer = json.dumps({"quote": base64.b64encode(quote).decode(), "form": "serve-v1"}).encode()
    assert verify_answer(answer, spki=spki, nonce=nonce, trust=loaded, at=datetime.now(UTC)).nonce == nonce
    assert (folder / "cache" / "seen.json").is_file()


def test_old_collateral_is_not_accepted(world, spki, trust):
    loaded = Trust.from_folder(trust())
    nonce, later = os.urandom(32), datetime.now(UTC) + timedelta(days=60)
    quote = world.quoting_enclave().quote(IDENTITY, report_data_for("serve", spki, nonce, ""))
    answer = json.dumps({"quote": base64.b64encode(quote).decode(), "form": "serve-v1"}).encode()
    assert verify_answer(answer, spki=spki, nonce=nonce, trust=loaded, at=datetime.now(UTC)).nonce == nonce
    with pytest.raises(EvidenceRefused):
        verify_answer(answer, spki=spki, nonce=nonce, trust=loaded, at=later)


def test_a_folder_without_a_policy_is_no_trust_folder(tmp_path):
    with pytest.raises(BadTrustFolder) as caught:
        Trust.from_folder(tmp_path)
    assert caught.value.code == "SR-TRUST-FOLDER"


def test_rules_speak_for_the_model_and_version_they_release(trust):
    loaded = Trust.from_folder(trust(model="resnet"))
    assert len(loaded.rules_for(ModelSpec("resnet"))) == 1
    assert len(loaded.rules_for(ModelSpec("resnet", 1))) == 1
    for other in (ModelSpec("resnet", 2), ModelSpec("res"), ModelSpec("resnet50")):
        assert loaded.rules_for(other) == ()


def grpc_replica(replica, grpc_server, tls, trust, **options):
    """Return a REST server that proves itself and a client that asks the gRPC server with the same key."""
    proving = replica()
    url = grpc_server().url
    return proving, Client(url, ca=tls.ca, trust=trust(), evidence_url=proving.url, **options)


def test_each_grpc_connection_is_proved_before_a_request_takes_it(replica, grpc_server, tls, trust):
    proving, client = grpc_replica(replica, grpc_server, tls, trust, connections=3)
    with client:
        for _ in range(9):
            client.predict("m", {"x": np.array([1.5], np.float32)})
        assert len({path for _, path, _ in proving.seen}) == 3
        assert "program" in dict(client.proof("m").proved())
        client.evidence("m")
    assert len({path for _, path, _ in proving.seen}) == 4


def test_a_grpc_connection_that_is_replaced_is_proved_again(replica, grpc_server, tls, trust):
    proving, client = grpc_replica(replica, grpc_server, tls, trust, max_age_s=1e-9)
    with client:
        for _ in range(3):
            client.predict("m", {"x": np.array([1.5], np.float32)})
    assert len({path for _, path, _ in proving.seen}) == 3


def test_a_server_that_ended_an_attested_grpc_connection_is_proved_again(replica, tls, trust, grpc_server):
    proving = replica()
    server = grpc_server(options=[("grpc.max_connection_idle_ms", 50)])
    with Client(server.url, ca=tls.ca, trust=trust(), evidence_url=proving.url, retries=0) as client:
        client.predict("m", {"x": np.array([1.5], np.float32)})
        transport = client._transport  # nobody else can say that the connection has ended
        link = transport._links._slots[0].link
        wait_until(lambda: link.stale)
        client.predict("m", {"x": np.array([1.5], np.float32)})
    assert len({path for _, path, _ in proving.seen}) == 2


def wait_until(holds):
    pause = threading.Event()
    for _ in range(6000):
        if holds():
            return
        pause.wait(0.01)
    pytest.fail("it did not come about within a minute")
