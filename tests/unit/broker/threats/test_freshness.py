"""Nonces, mirrors and men in the middle (FB-01, FB-03, FB-08), and the end of trust in the midst of a lease (FB-15)."""

import asyncio
import base64
import json
import selectors
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import TcbStatus, claims_of, report_data_for
from strongroom.broker import revocations
from strongroom.broker.gramine_client import BrokerRefused, BrokerUnreachable
from strongroom.broker.names import SecretName
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, Revocation
from strongroom.serving.operations.lease import KeyLease

MODEL = SecretName.parse("model/m/1")
PATH = "default/model/m.1"
KEY = bytes.fromhex("5ec7e7a1b2c3d4e5f60718293a4b5c6d")
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
ATTEST = (401, "AttestationError", "Attestation error: RCAR handshake Attest failed")
ONE_STORE = pytest.mark.parametrize("location", ["sqlite"], indirect=True)


def said(answer):
    status, _, body = answer
    error = json.loads(body)
    return status, error["type"].rpartition("/")[2], error["detail"]


@pytest.fixture
def site(site_with, rule, policy, listening):
    return listening(site_with(policy(rule())))


# FB-01


def attest(client, cookie, body):
    return client.send("POST", "/kbs/v0/attest", body, Cookie=f"kbs-session-id={cookie}")


def challenged(client):
    _, headers, body = client.auth()
    return headers["Set-Cookie"].partition("=")[2].partition(";")[0], json.loads(body)["nonce"]


def used(first, _second):
    cookie, nonce = challenged(first)
    assert attest(first, cookie, first.attestation(nonce))[0] == 200
    return cookie, first.attestation(nonce)


def used_elsewhere(first, second):
    cookie, nonce = challenged(first)
    second.key = first.key
    assert attest(second, cookie, first.attestation(nonce))[0] == 200
    return cookie, first.attestation(nonce)


def anothers(first, _second):
    (cookie, _), (_, nonce) = challenged(first), challenged(first)
    return cookie, first.attestation(nonce)


def truncated(first, _second):
    cookie, nonce = challenged(first)
    return cookie, first.attestation(base64.b64encode(base64.b64decode(nonce)[:-1]).decode())


def absent(first, _second):
    cookie, nonce = challenged(first)
    body = first.attestation(nonce)
    del body["runtime-data"]["nonce"]
    return cookie, body


def of_no_session(first, _second):
    _, nonce = challenged(first)
    return "0" * 32, first.attestation(nonce)


MISUSES = [
    (used, "SR-KBS-NONCE-USED"), (used_elsewhere, "SR-KBS-NONCE-USED"), (anothers, "SR-KBS-NONCE-FOREIGN"),
    (truncated, "SR-KBS-NONCE"), (absent, "SR-KBS-MESSAGE"), (of_no_session, "SR-KBS-SESSION"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("location", "misuse", "code"),
    [("postgresql", *MISUSES[1]), *(("sqlite", *each) for each in MISUSES)],
    indirect=["location"],
)
def test_fb_01_each_misuse_of_a_nonce_has_its_code_and_its_line_at_any_broker_of_the_store(
    *, site_with, rule, policy, listening, stock, caplog, misuse, code
):
    one = listening(site_with(policy(rule())))
    two = listening(site_with(policy(rule())))
    first, second = (stock(each, ENCLAVE, jar=False) for each in (one, two))
    cookie, body = misuse(first, second)
    with one.refusing(caplog, code) as seen:
        answer = attest(first, cookie, body)
        seen += [answer[2], str(answer[1]).encode()]
    assert said(answer) == ATTEST


@ONE_STORE
def test_fb_01_nonces_are_32_random_bytes_that_never_repeat(site, stock):
    client = stock(site, ENCLAVE, jar=False)
    nonces = {base64.b64decode(challenged(client)[1], validate=True) for _ in range(40)}
    assert len(nonces) == 40
    assert {len(each) for each in nonces} == {32}
    assert min(sum(a != b for a, b in zip(one, two, strict=True)) for one in nonces for two in nonces - {one}) > 16


# FB-03 and FB-08


@ONE_STORE
def test_fb_03_a_man_in_the_middle_who_puts_in_his_own_key_gets_nothing(site, stock, caplog):
    """He ends TLS with a certificate that the workload trusts, and changes what goes through; the quote does not."""
    workload, his = stock(site, ENCLAVE), stock(site, ENCLAVE)
    body = workload.attestation(workload.nonce())
    body["runtime-data"]["tee-pubkey"] = his.jwk
    with site.refusing(caplog, "SR-RATLS-NOT-BOUND") as seen:
        answer = workload.attest(body)
        seen.append(answer[2])
    assert said(answer) == ATTEST


@ONE_STORE
def test_fb_03_who_records_everything_holds_nothing_that_opens(site, stock):
    workload, his = stock(site, ENCLAVE), stock(site, ENCLAVE)
    workload.handshake()
    sealed = workload.get(PATH)[2]
    assert workload.unseal(json.loads(sealed)) == KEY
    for form in (KEY, KEY.hex().encode(), base64.b64encode(KEY)[:-2], base64.urlsafe_b64encode(KEY)[:-2]):
        assert form not in sealed
    his.token = workload.token  # the token and the cookie, too
    his.jar = workload.jar
    again = his.get(PATH, Authorization=f"Bearer {workload.token}")[2]
    for each in (sealed, again):
        with pytest.raises(InvalidUnwrap):
            his.unseal(json.loads(each))


@ONE_STORE
@pytest.mark.parametrize("purpose", ["serve", "job", "release", ""])
def test_fb_08_evidence_that_a_workload_makes_for_others_is_no_evidence_for_a_release(site, stock, caplog, purpose):
    """Whoever asks a replica for evidence over the broker's nonce and a key of his own: roles are under the quote."""
    his = stock(site, ENCLAVE)
    nonce = his.nonce()
    spki = his.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mirrored = site.world.quote(ENCLAVE, report_data_for(purpose, spki, base64.b64decode(nonce), site.ledger.origin))
    with site.refusing(caplog, "SR-RATLS-NOT-BOUND") as seen:
        answer = his.attest(his.attestation(nonce, {"quote": base64.b64encode(mirrored).decode()}))
        seen.append(answer[2])
    assert said(answer) == ATTEST


@ONE_STORE
def test_fb_08_a_peers_own_evidence_mirrored_back_is_worth_nothing(site, stock, caplog):
    """Evidence over its own nonce, sent back by somebody in between as if it were his."""
    workload, mirror = stock(site, ENCLAVE), stock(site, ENCLAVE)
    seen_evidence = workload.evidence(workload.nonce())
    with site.refusing(caplog, "SR-RATLS-NOT-BOUND") as seen:
        answer = mirror.attest(mirror.attestation(mirror.nonce(), seen_evidence))
        seen.append(answer[2])
    assert said(answer) == ATTEST


# FB-15: whatever trust rested on ends in the midst of a lease


LEASE_S = 30.0


class Virtual(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time, and time passes by waiting."""

    def __init__(self):
        self.now = 0.0
        loop = self

        class Jumping(selectors.SelectSelector):
            def select(self, timeout=None):
                loop.now += max(timeout or 0.0, 0.0)
                return super().select(0)

        super().__init__(Jumping())

    def time(self):
        return self.now


class Replica:
    """A workload that holds a key, renews its lease with fresh evidence, and notes when it may not answer."""

    def __init__(self, site, loop):
        self.site, self.loop, self.lease_id, self.offline = site, loop, None, False
        self.history = []  # (time, may answer)

    async def ask(self):
        if self.offline:
            raise BrokerUnreachable("no route")
        released = self.site.ask(ENCLAVE, MODEL, lease_id=self.lease_id)
        if released is None:
            raise BrokerRefused("the broker closed the connection")
        self.lease_id = released.lease.id
        return released.secret

    async def run(self, until):
        (await self.ask()).wipe()
        lease = KeyLease(
            ask=self.ask, seconds=LEASE_S, suspend=lambda why: self.history.append((self.loop.time(), why is None))
        )
        keeping = asyncio.ensure_future(lease.keep())
        try:
            await until(self)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


def revoke(kind, value):
    def end(site, _rule, _policy):
        site.store.write(lambda tx: revocations.revoke(tx, kind=kind, value=value(site), author="alice"))

    return end


def policy_changes(site, rule, policy):
    site.rules(policy(rule(enclave=b"\x0f" * 32)))


def platform_is_taken_off_the_list(site, rule, policy):
    site.rules(policy(rule(extra=f'platforms = [{{id = "{"5a" * 16}", until = 2099-01-01}}]')))


def deny(word, entry):
    def end(site, rule, policy):
        site.rules(policy(rule(), top=f'{word} = ["{entry(verdict(site))}"]'))

    return end


def collateral(**rehearsal):
    def end(site, _rule, _policy):
        site.source.collateral = site.world.collateral(datetime.now(UTC), Rehearsal(**rehearsal))

    return end


def collateral_runs_out(site, _rule, _policy):
    site.source.collateral = site.world.collateral(datetime.now(UTC) - timedelta(days=99))


def rule_is_removed(site, _rule, policy):
    site.rules(policy())


def broker_is_gone(site, _rule, _policy):
    site.replica.offline = True


def verdict(site):
    return site.judged(ENCLAVE).verdict


def mark(kind):
    def find(site):
        found = claims_of(verdict(site))
        return dict(revocations.marks_of(found, platform=site.ledger.hashed_platform(found.pck_ppid)))[kind]

    return find


ENDS = {
    "the measurement is revoked": revoke("measurement", mark("measurement")),
    "the signer is revoked": revoke("signer", mark("signer")),
    "the platform is revoked": revoke("platform", mark("platform")),
    "the platforms' family is revoked": revoke("fmspc", mark("fmspc")),
    "the PCK certificate is revoked": revoke("pck", mark("pck")),
    "the secret is revoked": revoke("secret", lambda _: str(MODEL)),
    "the model is revoked": revoke("model", lambda _: "m"),
    "the root is denied": deny("denied_roots", lambda found: found.root_key_id),
    "the platform is denied": deny("denied_platforms", lambda found: found.pck.ppid.hex()),
    "the platform is not enrolled any more": platform_is_taken_off_the_list,
    "the policy names another build": policy_changes,
    "the rule is removed": rule_is_removed,
    "the collateral runs out": collateral_runs_out,
    "Intel revokes the certificate": collateral(revoked=frozenset({Revocation.PCK})),
    "the platform is out of date": collateral(status=TcbStatus.OUT_OF_DATE),
    "the broker is gone": broker_is_gone,
}


@pytest.mark.parametrize("what", ENDS)
@pytest.mark.parametrize("after_s", [3.0, 47.0])
@ONE_STORE  # revocations and edits are held to both stores elsewhere
def test_fb_15_pl_03_pl_05_kd_13_a_workload_stops_within_one_lease_of_the_end_of_trust(
    *, site_with, rule, policy, what, after_s
):
    """Timed by the loop's own clock: it answers while it may, and not a second after the lease."""
    loop = Virtual()
    site = site_with(policy(rule(extra=f"lease_seconds = {LEASE_S:.0f}")))
    site.replica = Replica(site, loop)

    async def story(replica):
        await asyncio.sleep(after_s)
        assert all(fine for _, fine in replica.history)
        ENDS[what](site, rule, policy)
        replica.ended, replica.granted = loop.time(), len(granted(site))
        await asyncio.sleep(LEASE_S + 1.0)

    try:
        loop.run_until_complete(site.replica.run(story))
    finally:
        loop.close()
    stopped = [at for at, fine in site.replica.history if not fine]
    assert stopped, "it went on"
    assert stopped[0] - site.replica.ended <= LEASE_S + 1.0
    assert not any(fine for at, fine in site.replica.history if at >= stopped[0])  # and never answered again
    assert len(granted(site)) == site.replica.granted  # no release after the end of trust


def granted(site):
    return [entry for entry in site.decisions() if entry["decision"] == "granted"]
