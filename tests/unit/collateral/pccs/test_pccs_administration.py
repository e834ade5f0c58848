"""Tokens, registrations, uploads: who may, what is kept, and that nothing unsigned or outdated gets in."""

import json
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from strongroom.attestation import Anchor, Tee
from strongroom.cli import main
from strongroom.collateral import pccs
from strongroom.collateral.api import encode_chain
from strongroom.collateral.pccs import registrations
from strongroom.collateral.pccs.administration import RefreshImpossible, check_all
from strongroom.collateral.pccs.app import TooLarge
from strongroom.collateral.pccs.registrations import RegistrationsFull
from strongroom.collateral.pccs.tokens import TokensUnusable, new_token
from strongroom.collateral.pccs.upload import Machine, UploadUnusable, read_machine, read_upload
from strongroom.errors import BadInput
from strongroom.pki.disk import LoosePermissions
from strongroom.platforms.simulated import Rehearsal, World
from strongroom.platforms.simulated.certification import encrypted_ppid

PLATFORMS = "/sgx/certification/v4/platforms"
COLLATERAL = "/sgx/certification/v4/platformcollateral"
REFRESH = "/sgx/certification/v4/refresh"
MACHINE = {"qe_id": "0A" * 16, "pce_id": "0000", "cpu_svn": "01" * 16, "pce_svn": "0D00", "enc_ppid": "AB" * 384,
           "platform_manifest": ""}  # fmt: skip


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.json"
    return {"file": path, "user": new_token(path, "user"), "admin": new_token(path, "admin")}


@pytest.fixture
def administration(tmp_path, tokens, world, now):
    anchors = (Anchor.from_certificate(world.root_der),)
    return pccs.Administration(
        tokens=pccs.Tokens.load(tokens["file"]),
        registrations=pccs.Registrations(tmp_path / "registrations"),
        uploads=tmp_path / "uploads",
        check=partial(check_all, anchors=anchors, at=now),
    )


@pytest.fixture
def app(administration, tmp_path):
    (tmp_path / "uploads").mkdir()
    return pccs.make_app(pccs.Recorded(tmp_path / "uploads"), administration)


def upload_of(world, now, *, rehearsal=None):
    """Return what Intel's administration tool would bring for a world's machine."""
    made = {tee: world.collateral(now, rehearsal, tee=tee) for tee in Tee}
    hardware = world.hardware
    tcb = {f"sgxtcbcomp{place:02d}svn": svn for place, svn in enumerate(hardware.components, start=1)}

    def signed(text, signature, member):
        return f'{{"{member}":{text},"signature":"{signature}"}}'

    def tcb_info(tee):
        return json.loads(signed(made[tee].tcb_info, made[tee].tcb_info_signature, "tcbInfo"))

    def identity(tee):
        return signed(made[tee].qe_identity, made[tee].qe_identity_signature, "enclaveIdentity")

    machine = {"qe_id": hardware.qe_id.hex(), "pce_id": hardware.pce_id.hex(),
               "enc_ppid": encrypted_ppid(hardware).hex()}  # fmt: skip
    chain = world.signers.pck_ca.pem + world.signers.root.pem
    return {
        "platforms": [{**machine, "cpu_svn": hardware.cpu_svn.hex(), "pce_svn": "0d00", "platform_manifest": ""}],
        "collaterals": {
            "version": 4,
            "pck_certs": [{**machine, "platform_manifest": "", "certs": [
                {"tcb": {**tcb, "pcesvn": hardware.pce_svn}, "tcbm": world.pck_tcbm,
                 "cert": quote(world.signers.pck.pem, safe="")}]}],
            "tcbinfos": [{"fmspc": world.fmspc, "sgx_tcbinfo": tcb_info(Tee.SGX), "tdx_tcbinfo": tcb_info(Tee.TDX),
                          "sgx_tcbinfo_early": tcb_info(Tee.SGX)}],
            "pckcacrl": {"platformCrl": made[Tee.SGX].pck_crl, "processorCrl": ""},
            "qeidentity": identity(Tee.SGX),
            "tdqeidentity": identity(Tee.TDX),
            "certificates": {
                "SGX-PCK-Certificate-Issuer-Chain": {"PLATFORM": encode_chain(chain)},
                "TCB-Info-Issuer-Chain": encode_chain(made[Tee.SGX].tcb_info_issuer_chain),
                "SGX-Enclave-Identity-Issuer-Chain": encode_chain(made[Tee.SGX].qe_identity_issuer_chain),
            },
            "rootcacrl": made[Tee.SGX].root_ca_crl,
        },
    }  # fmt: skip


@pytest.fixture
def office(ask, app, tokens, tmp_path):
    """An application to ask, a way to bring an upload, and the folder where uploads are kept."""

    def put(document):
        return ask(app, "PUT", COLLATERAL, {"admin-token": tokens["admin"]}, (json.dumps(document, indent=2).encode(),))

    return SimpleNamespace(ask=partial(ask, app), put=put, tokens=tokens, uploads=tmp_path / "uploads", folder=tmp_path)


def test_only_hashes_of_the_tokens_are_kept_in_a_file_of_the_owner_alone(tokens):
    text = tokens["file"].read_text()
    assert tokens["user"] not in text
    assert tokens["admin"] not in text
    assert set(json.loads(text)) == {"UserTokenHash", "AdminTokenHash"}
    assert tokens["file"].stat().st_mode & 0o777 == 0o600
    tokens["file"].chmod(0o640)
    with pytest.raises(LoosePermissions):
        pccs.Tokens.load(tokens["file"])


@pytest.mark.parametrize(
    "content", ["[]", "{}", "", '{"UserTokenHash": "00"}', '{"AdminTokenHash": 5}', '{"UserTokenHash": ""}']
)
def test_a_file_without_hashes_is_refused(tmp_path, content):
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(TokensUnusable) as refusal:
        pccs.Tokens.load(path)
    assert refusal.value.code == "SR-PCCS-TOKENS"


def test_the_configuration_of_intels_pccs_is_read_as_it_is(tmp_path):
    path = tmp_path / "default.json"
    path.write_text(json.dumps({"HTTPS_PORT": 8081, "UserTokenHash": "ab" * 64, "AdminTokenHash": "CD" * 64}))
    path.chmod(0o600)
    assert pccs.Tokens.load(path) == pccs.Tokens(b"\xab" * 64, b"\xcd" * 64)


def test_the_command_prints_the_token_once_and_a_new_one_replaces_it(tmp_path, capsys):
    path = tmp_path / "tokens.json"
    for _ in range(2):
        assert main(["pccs", "token", "--file", str(path), "--role", "user"]) == 0
    first, second = capsys.readouterr().out.split()
    tokens = pccs.Tokens.load(path)
    tokens.admit_user(second)
    for wrong in (first, "", second[:-1], second + " "):
        with pytest.raises(pccs.Unauthorised) as refusal:
            tokens.admit_user(wrong)
        assert refusal.value.code == "SR-PCCS-UNAUTHORISED"
    with pytest.raises(pccs.Unauthorised):
        tokens.admit_administrator(second)


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [("POST", PLATFORMS, "user-token"), ("GET", PLATFORMS, "admin-token"), ("PUT", COLLATERAL, "admin-token"),
     ("POST", REFRESH, "admin-token"), ("GET", REFRESH, "admin-token")],
)  # fmt: skip
def test_without_the_right_token_nothing_is_done(office, method, target, header):
    other = "user" if header == "admin-token" else "admin"
    for headers in ({}, {header: "guess"}, {header: office.tokens[other]}, {header: ""}):
        reply = office.ask(method, target, headers, (json.dumps(MACHINE).encode(),))
        assert (reply.status, reply.body) == (401, b"A valid token is needed.")
    assert not (office.folder / "registrations").exists()


def test_a_registered_machine_waits_until_it_is_taken_over(ask, app, tokens, tmp_path):
    for _ in range(2):  # again is not twice
        assert (
            ask(app, "POST", PLATFORMS, {"user-token": tokens["user"]}, (json.dumps(MACHINE).encode(),)).status == 200
        )
    (kept,) = (tmp_path / "registrations" / "new").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert MACHINE["qe_id"] not in kept.name
    reply = ask(app, "GET", f"{PLATFORMS}?source=reg", {"admin-token": tokens["admin"]})
    assert json.loads(reply.body) == [MACHINE]
    assert reply.headers["platform-count"] == "1"
    assert json.loads(ask(app, "GET", PLATFORMS, {"admin-token": tokens["admin"]}).body) == []


@pytest.mark.parametrize(
    "change",
    [{"qe_id": ""}, {"qe_id": "zz" * 16}, {"qe_id": 5}, {"pce_id": "00"}, {"enc_ppid": "AB"}, {"cpu_svn": "../../x"},
     {"platform_manifest": "x"}, {"pce_id": None}],
)  # fmt: skip
def test_a_malformed_registration_is_refused(ask, app, tokens, change):
    body = json.dumps({**MACHINE, **change}).encode()
    assert ask(app, "POST", PLATFORMS, {"user-token": tokens["user"]}, (body,)).status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"qe_id": 1, "qe_id": 2}', b"\xff", b"[" * 40])
def test_a_registration_that_is_no_object_is_refused(ask, app, tokens, body):
    assert ask(app, "POST", PLATFORMS, {"user-token": tokens["user"]}, (body,)).status == 400
    with pytest.raises(UploadUnusable) as refusal:
        read_machine(body)
    assert refusal.value.code == "SR-PCCS-UPLOAD"


def test_registrations_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(registrations, "MAX_MACHINES", 2)
    book = pccs.Registrations(tmp_path)
    machines = [Machine(qe_id=f"{number:032X}", pce_id="0000") for number in range(3)]
    for machine in (*machines[:2], machines[0]):
        book.add(machine)
    with pytest.raises(RegistrationsFull) as refusal:
        book.add(machines[2])
    assert refusal.value.code == "SR-PCCS-FULL"
    assert sorted(each.qe_id for each in book.take()) == sorted(each.qe_id for each in machines[:2])


def test_a_body_beyond_the_limit_is_not_read(ask, app, tokens):
    admin = {"admin-token": tokens["admin"]}
    endless = (b"x" * 65536 for _ in range(1000))
    taken = []
    chunks = [taken.append(1) or chunk for chunk in [next(endless) for _ in range(40)]]
    reply = ask(app, "PUT", COLLATERAL, admin, chunks)
    assert (reply.status, reply.headers["error-code"]) == (413, "ContentTooLarge")
    assert ask(app, "PUT", COLLATERAL, {**admin, "content-length": str(2**30)}).status == 413
    assert ask(app, "PUT", COLLATERAL, {**admin, "content-length": "-1"}).status == 413
    assert TooLarge.code == "SR-PCCS-TOO-LARGE"


def test_an_upload_is_served_from_then_on_byte_for_byte_as_signed(office, world, now):
    made = upload_of(world, now)
    assert office.put(made).status == 200
    sgx = office.ask("GET", f"/sgx/certification/v4/tcb?fmspc={world.fmspc}").body
    compact = json.dumps(made["collaterals"]["tcbinfos"][0]["sgx_tcbinfo"], separators=(",", ":"))
    assert sgx == compact.encode()
    for target in (f"/tdx/certification/v4/tcb?fmspc={world.fmspc}", "/tdx/certification/v4/qe/identity",
                   "/sgx/certification/v4/qe/identity?update=standard", "/sgx/certification/v4/rootcacrl",
                   f"/sgx/certification/v4/tcb?fmspc={world.fmspc}&update=early",
                   "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"):  # fmt: skip
        assert office.ask("GET", target).status == 200, target
    svn = f"cpusvn={world.pck_tcbm[:32]}&pcesvn={world.pck_tcbm[32:]}&pceid=0000"
    found = office.ask("GET", f"/sgx/certification/v4/pckcert?qeid={world.hardware.qe_id.hex()}&{svn}")
    assert found.body.decode() == world.signers.pck.pem
    assert found.headers["sgx-tcbm"].lower() == world.pck_tcbm
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in office.uploads.iterdir())


def corrupt_signature(document):
    info = document["collaterals"]["tcbinfos"][0]["sgx_tcbinfo"]
    info["signature"] = f"{int(info['signature'][:2], 16) ^ 1:02x}{info['signature'][2:]}"


def raise_level(document):
    document["collaterals"]["tcbinfos"][0]["sgx_tcbinfo"]["tcbInfo"]["tcbLevels"][0]["tcbStatus"] = "OutOfDate"


def swap_chain(document):
    chains = document["collaterals"]["certificates"]
    chains["TCB-Info-Issuer-Chain"] = chains["SGX-PCK-Certificate-Issuer-Chain"]["PLATFORM"]


def lie_about_tcb(document):
    document["collaterals"]["pck_certs"][0]["certs"][0]["tcbm"] = "ff" * 18


def lose_chain(document):
    document["collaterals"]["certificates"]["SGX-PCK-Certificate-Issuer-Chain"] = {}


def lose_root_crl(document):
    document["collaterals"]["rootcacrl"] = ""


def name_a_path(document):
    document["collaterals"]["pck_certs"][0]["qe_id"] = "../../../../etc/cron.d/x"


def nonsense(document):
    document["collaterals"]["pckcacrl"]["platformCrl"] = "30"


def not_a_list(document):
    document["collaterals"]["tcbinfos"] = {"0": 1}


def not_text(document):
    document["collaterals"]["qeidentity"] = 5


def too_many(document):
    document["collaterals"]["tcbinfos"] = [{}] * 1001


def without_certificates(document):
    del document["collaterals"]["certificates"]


@pytest.mark.parametrize(
    "spoil",
    [corrupt_signature, raise_level, swap_chain, lie_about_tcb, lose_chain, lose_root_crl, name_a_path, nonsense,
     not_a_list, not_text, too_many, without_certificates],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
def test_sc_08_an_upload_that_does_not_verify_changes_nothing(office, world, now, spoil):
    made = upload_of(world, now)
    spoil(made)
    reply = office.put(made)
    assert (reply.status, reply.body) == (400, b"The request does not fit the certification API.")
    assert list(office.uploads.iterdir()) == []


def test_an_upload_of_another_root_or_of_the_past_is_refused(office, world, now, tmp_path):
    other = World.create(tmp_path / "other", now=now)
    assert office.put(upload_of(other, now)).status == 400
    assert office.put(upload_of(world, now, rehearsal=Rehearsal(age=timedelta(days=31)))).status == 400
    assert list(office.uploads.iterdir()) == []


@pytest.mark.parametrize("path", [("collaterals",), ("collaterals", "certificates"), ("collaterals", "pckcacrl")])
@pytest.mark.parametrize("value", [None, 1, "x", [], [[]], {"a": None}, True])
def test_an_upload_of_any_shape_is_refused_in_words(world, now, path, value):
    made = upload_of(world, now)
    target = made
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    try:
        read_upload(json.dumps(made).encode(), 4)
    except BadInput as refusal:
        assert refusal.code.startswith("SR-PC")
    else:
        assert path[-1] == "pckcacrl"  # the lists are optional


def test_nobody_to_ask_means_no_refresh(ask, app, tokens, administration):
    reply = ask(app, "POST", REFRESH, {"admin-token": tokens["admin"]})
    assert reply.status == 503
    with pytest.raises(RefreshImpossible) as refusal:
        administration.refresh()
    assert refusal.value.code == "SR-PCCS-REFRESH"


class Provisioner:
    """Says of each machine whether there is a certificate, and counts refreshes."""

    def __init__(self, knows):
        self.knows, self.asked, self.refreshed = knows, [], 0

    def provision(self, machine):
        self.asked.append(machine)
        return self.knows

    def refresh(self):
        self.refreshed += 1


@pytest.mark.parametrize("knows", [True, False])
def test_where_upstream_may_be_asked_a_registration_fetches(ask, tokens, administration, simulated, knows):
    upstream = Provisioner(knows)
    app = pccs.make_app(simulated, replace(administration, provisioner=upstream))
    user, admin = {"user-token": tokens["user"]}, {"admin-token": tokens["admin"]}
    assert ask(app, "POST", PLATFORMS, user, (json.dumps(MACHINE).encode(),)).status == 200
    assert [asdict(each) for each in upstream.asked] == [MACHINE]
    waiting = json.loads(ask(app, "GET", f"{PLATFORMS}?source=reg_na", admin).body)
    assert waiting == ([] if knows else [MACHINE])
    assert ask(app, "GET", REFRESH, admin).status == 200
    assert upstream.refreshed == 1
    assert ask(app, "GET", f"{PLATFORMS}?source=elsewhere", admin).status == 400
