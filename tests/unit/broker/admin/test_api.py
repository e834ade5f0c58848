"""The API over real mutual TLS, as bytes: who is let in, what another tenant sees, what a request may hold."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from strongroom.broker.admin.openapi import document
from strongroom.broker.admin.operations import OPERATIONS, Kind
from strongroom.pki.authority import Authority

NOBODY = {"type": "about:blank", "title": "Unauthorized", "status": 401, "code": "SR-ADMIN-UNKNOWN"}


def known(headers):
    """Return the headers without the one that differs by design."""
    return {name: value for name, value in headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("path", ["/v1/status", "/v1/openapi.json", "/v1/nothing", "/v1/tenants/acme/keys"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_sv_16_without_a_certificate_every_path_gives_the_same_answer(site, method, path):
    status, headers, body = site.ask(method, path)
    assert status == 401
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body).items() >= NOBODY.items()
    assert (known(headers), body) == _nobody(site)


def _nobody(site):
    _, headers, body = site.ask("GET", "/v1/whoami")
    return known(headers), body


def test_sv_15_a_server_certificate_identifies_nobody(site, authority):
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    folder = site.identity(leaf=leaf, register=False)
    refused = _try(site, folder)
    assert refused is None or refused[0] == 401


def test_sv_15_a_server_certificate_cannot_be_registered(site, authority, office):
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    status, _, body = site.ask(
        "POST", "/v1/admins", site.identity(),
        body={"name": "eve", "role": "owner", "tenant": "*", "certificate": leaf.certificate_pem.decode()},
    )  # fmt: skip
    assert (status, json.loads(body)["code"]) == (400, "SR-ADMIN-CERTIFICATE")


def test_sv_15_a_certificate_of_another_ca_never_gets_through_the_handshake(site):
    other = Authority.create("another CA", now=datetime.now(UTC))
    leaf = other.issue_client("alice@people.test", now=datetime.now(UTC))
    assert _try(site, site.identity(leaf=leaf, register=False)) is None


def _try(site, folder):
    try:
        return site.ask("GET", "/v1/whoami", folder)
    except (OSError, ValueError, IndexError):  # TLS 1.3 tells a client of a refused certificate with the first answer
        return None


def test_sa_09_a_certificate_that_nobody_registered_identifies_nobody(site):
    folder = site.identity(register=False)
    status, headers, body = site.ask("GET", "/v1/status", folder)
    assert status == 401
    assert (known(headers), body) == _nobody(site)


def test_sa_09_each_person_acts_under_their_own_name_and_nobody_shares_a_certificate(site, office):
    alice, bob = site.identity("alice"), site.identity("bob", "operator", "acme")
    for folder in (alice, bob):
        site.ask("POST", "/v1/tenants/acme/floors", folder, body={"model": "m", "version": 2})
    assert [entry["actor"]["name"] for entry in office.entries()][-2:] == ["alice", "bob"]
    prints = {entry["actor"]["fingerprint"] for entry in office.entries()[-2:]}
    assert len(prints) == 2
    pem = (alice / "cert.pem").read_text()
    status, _, body = site.ask(
        "POST", "/v1/admins", alice, body={"name": "carol", "role": "auditor", "tenant": "*", "certificate": pem}
    )
    assert (status, json.loads(body)["code"]) == (409, "SR-ADMIN-EXISTS")


@pytest.mark.parametrize("way", ["suspend", "remove"])
def test_sa_09_a_refused_certificate_gets_the_strangers_answer_at_once(site, office, way):
    folder = site.identity("bob", "auditor")
    assert site.ask("GET", "/v1/status", folder)[0] == 200
    [bob] = [each for each in office.list_admins() if each["name"] == "bob"]
    getattr(office, f"{way}_admin")(fingerprint=bob["fingerprint"])
    status, headers, body = site.ask("GET", "/v1/status", folder)
    assert (status, known(headers), body) == (401, *_nobody(site))


def test_a_certificate_that_has_ended_identifies_nobody(site, office, authority):
    old = authority.issue_client("bob@people.test", now=datetime.now(UTC) - timedelta(days=10), days=9)
    assert _try(site, site.identity(leaf=old, register=False)) is None


def _requests(tenant):
    """Yield a request of every operation that is about a tenant or something of it, with arguments that fit."""
    values = {
        "tenant": tenant, "expected": 1, "version": 1, "model": "m", "text": "version = 1\n",
        "kind": "model", "value": "bQ==", "reason": "x", "role": "auditor", "certificate": "x", "vote": "{}",
        "lease": "0" * 32, "revocation": "0" * 16, "fingerprint": "0" * 64,
    }  # fmt: skip
    for operation in OPERATIONS.values():
        path, rest = operation.path, {}
        values["name"] = "eve" if operation.name == "add_admin" else "secret/db"
        for parameter in operation.parameters:
            if operation.in_path(parameter):
                path = path.replace(f"{{{parameter.name}}}", str(values[parameter.name]))
            elif parameter.required and parameter.name in values:
                value = values[parameter.name]
                rest[parameter.name] = value if parameter.kind is not Kind.SECRET else "bQ=="
        if "tenant" in operation.by_name and operation.name != "create_tenant":
            if operation.method == "GET":
                query = "&".join(f"{name}={value}" for name, value in rest.items())
                query = query or ("" if "{tenant}" in operation.path else f"tenant={tenant}")
                yield operation.name, (operation.method, f"{path}?{query}" if query else path, None)
            else:
                yield operation.name, (operation.method, path, rest)


def test_kd_17_another_tenants_things_and_things_that_are_not_there_look_alike(site, office):
    office.create_key(tenant="bolt", name="secret/db")
    office.put_policy(tenant="bolt", text="version = 1\n")
    office.raise_floor(tenant="bolt", model="m", version=1)
    folder = site.identity("bob", "owner", "acme")
    before = office.ledger.head()
    compared = 0
    for (name, theirs), (_, nobodys) in zip(_requests("bolt"), _requests("carp"), strict=True):
        answers = [
            (status, known(headers), body.replace(tenant, b"TENANT"))
            for tenant, (method, path, content) in ((b"bolt", theirs), (b"carp", nobodys))
            for status, headers, body in [site.ask(method, path, folder, body=content)]
        ]
        assert answers[0] == answers[1], name
        listed = answers[0][2] == b"[]" or b'"lines":[]' in answers[0][2]
        assert answers[0][0] in {403, 404} or listed, name
        compared += 1
    assert compared > 20
    assert office.ledger.head() == before  # nothing was changed, nothing was written


def test_kd_17_ids_of_another_tenant_are_unknown_ids(site, office):
    found = office.add_revocation(tenant="bolt", kind="model", value="m", reason="x")["revocation"]["id"]
    print_of_another = office.add_admin(
        name="carol",
        role="auditor",
        tenant="bolt",
        certificate=(site.identity(register=False) / "cert.pem").read_text(),
    )["fingerprint"]
    folder = site.identity("bob", "owner", "acme")
    for path, one, other in (
        ("/v1/revocations/{}/lift", found, "0" * len(found)),
        ("/v1/admins/{}/suspend", print_of_another, "0" * 64),
    ):
        body = {"reason": "x"} if "lift" in path else None
        (status, _, theirs), (_, _, nobodys) = (
            site.ask("POST", path.format(each), folder, body=body) for each in (one, other)
        )
        assert status == 404
        assert theirs.replace(one.encode(), b"ID") == nobodys.replace(other.encode(), b"ID")


def test_sv_16_listings_hold_what_the_caller_may_see(site, office):
    for tenant in ("acme", "bolt"):
        office.create_key(tenant=tenant, name=f"secret/{tenant}")
        office.add_revocation(tenant=tenant, kind="model", value=f"of-{tenant}", reason="x")
        office.raise_floor(tenant=tenant, model=f"of-{tenant}", version=2)
        record = {"kind": "decision", "tenant": tenant, "id": f"of-{tenant}"}
        office.store.write(lambda tx, record=record: office.ledger.append(tx, record))
    folder = site.identity("bob", "auditor", "acme")
    for path in ("/v1/tenants", "/v1/admins", "/v1/revocations", "/v1/floors", "/v1/decisions", "/v1/leases"):
        status, _, body = site.ask("GET", path, folder)
        assert status == 200
        assert b"bolt" not in body, path
    assert site.ask("GET", "/v1/ledger/lines", folder)[0] == 403


SPELLINGS = ["..%2f", "%2e%2e", "acme%2f..", "ACME", "acme%00", "ac%6de/../bolt", "acme%20", "a" * 64, "b%C3%B6lt", "-"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_kd_18_a_tenant_has_one_spelling_in_a_path(site, spelling):
    status, _, _ = site.ask("GET", f"/v1/tenants/{spelling}/keys", site.identity())
    assert status in {400, 404}


def test_kd_18_a_percent_is_decoded_once(site):
    folder = site.identity()
    assert site.ask("GET", "/v1/tenants/%61cme/keys", folder)[0] == 200  # HTTP's own decoding
    assert site.ask("GET", "/v1/tenants/%2561cme/keys", folder)[0] == 400


BAD_BODIES = {
    "no JSON": b"{", "a list": b"[]", "twice": b'{"tenant":"x","tenant":"y"}', "unknown": b'{"tenant":"x","more":1}',
    "a number": b'{"tenant":1}', "NaN": b'{"tenant":NaN}', "missing": b"{}", "null": b'{"tenant":null}',
    "deep": b'{"tenant":' + b"[" * 40 + b"]" * 40 + b"}", "not UTF-8": b'{"tenant":"\xff"}',
    "pattern": b'{"tenant":"A"}', "long": json.dumps({"tenant": "a" * 100}).encode(),
    "control": b'{"tenant":"a\\u0000"}',
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD_BODIES))
def test_a_body_is_read_strictly(site, office, name):
    before = office.ledger.head()
    status, headers, body = site.ask("POST", "/v1/tenants", site.identity(register=True), body=BAD_BODIES[name])
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["code"] == "SR-ADMIN-ARGUMENT"
    assert office.ledger.head().seq == before.seq + 1  # the identity's own line


def test_a_name_of_another_form_is_told_the_form(site):
    _, _, body = site.ask("POST", "/v1/tenants", site.identity(), body={"tenant": "Bad Name"})
    wanted = "'Bad Name' is not what tenant can be: lower-case letters, digits and dashes, at most 63"
    assert json.loads(body)["detail"] == wanted


def test_a_body_says_that_it_is_json(site):
    status, _, body = site.ask(
        "POST", "/v1/tenants", site.identity(), body={"tenant": "x"}, headers=["Content-Type: text/plain"]
    )
    assert (status, json.loads(body)["code"]) == (400, "SR-ADMIN-ARGUMENT")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=1&limit=2", "more=1", "before=-1", "limit=1_0"]
)
def test_a_query_is_read_strictly(site, query):
    assert site.ask("GET", f"/v1/decisions?{query}", site.identity())[0] == 400


def test_a_change_takes_nothing_from_the_query(site):
    assert site.ask("POST", "/v1/tenants?tenant=x", site.identity(), body={})[0] == 400


def test_a_retried_rotation_does_not_rotate_twice(site, office):
    office.create_key(tenant="acme", name="secret/db")
    folder = site.identity("bob", "keeper", "acme")
    answers = [
        site.ask("POST", "/v1/tenants/acme/keys/rotate", folder, body={"name": "secret/db", "expected": 1})
        for _ in range(2)
    ]
    assert [status for status, _, _ in answers] == [200, 412]
    assert json.loads(answers[1][2])["code"] == "SR-ADMIN-OUTDATED"
    assert len(office.list_keys(tenant="acme")) == 2


def test_kd_21_a_secret_that_goes_in_is_in_no_answer_line_or_log(site, office, caplog):
    canary = b"canary-7d1f0a2e9b3c4455"
    shapes = [canary.decode(), canary.hex(), "Y2FuYXJ5LTdkMWYwYTJlOWIzYzQ0NTU="]
    folder = site.identity("bob", "keeper", "acme")
    bodies = [
        {"name": "secret/db", "value": shapes[2], "expected": 0},
        {"name": "secret/db", "value": shapes[2], "expected": 0},  # refused: it is there
        {"name": "model/m/1", "value": shapes[2], "expected": 0},  # refused: not 16 bytes
        {"name": shapes[0], "value": shapes[2], "expected": 0, "more": 1},  # refused: unknown member
        {"name": "secret/db", "value": shapes[2] + "!", "expected": 0},  # refused: no base64
    ]
    answers = [site.ask("POST", "/v1/tenants/acme/keys", folder, body=body) for body in bodies]
    assert [status for status, _, _ in answers] == [200, 412, 400, 400, 400]
    everything = caplog.text + office.text() + "".join(body.decode() for _, _, body in answers)
    everything += site.ask("GET", "/v1/tenants/acme/keys", folder)[2].decode()
    for shape in shapes[1:]:
        assert shape not in everything
    database = b"".join(path.read_bytes() for path in site.folder.glob("broker.db*"))
    assert canary not in database
    assert office.keyring.get("acme", "secret/db") is not None


def test_errors_are_problems_with_code_and_fix(site):
    status, headers, body = site.ask("GET", "/v1/tenants/nobody/keys", site.identity())
    found = json.loads(body)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert found["code"] == "SR-UNKNOWN-TENANT"
    assert found["status"] == 404
    assert found["fix"].endswith(".")


def test_an_answer_is_never_kept_by_a_cache_and_has_the_callers_request_id(site):
    _, headers, _ = site.ask("GET", "/v1/whoami", site.identity(), headers=["X-Request-ID: trace-42"])
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"] == "trace-42"


def test_the_description_is_valid_and_complete(site):
    OpenAPIV31SpecValidator(document()).validate()
    status, _, body = site.ask("GET", "/v1/openapi.json", site.identity("carol", "auditor", "acme"))
    assert (status, json.loads(body)) == (200, document())
    described = {
        (method.upper(), path, operation["operationId"])
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }
    assert described == {(each.method, each.path, each.name) for each in OPERATIONS.values()}


def test_no_schema_of_an_answer_has_a_place_for_a_secret_but_a_login(site):
    names = {name: set(schema["properties"]) for name, schema in document()["components"]["schemas"].items()}
    assert {name for name, members in names.items() if members & {"value", "token", "secret_value"}} == {
        "Login", "Revocation",  # what a revocation names is no secret
    }  # fmt: skip


def test_two_operations_never_share_a_route(site):
    keys = [(each.method, each.path) for each in OPERATIONS.values()]
    assert len(keys) == len(set(keys))
    assert all(each.path.startswith("/v1/") for each in OPERATIONS.values())
