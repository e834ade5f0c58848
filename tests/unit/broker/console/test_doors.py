"""Who gets in, how long, and what an answer carries."""

import json
import logging
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.broker.admin.roles import Actor, Role

PAGES = ("", "replicas", "decisions", "models", "leases", "policy", "ledger", "collateral", "people")
CHANGES = ("leases/end", "leases/revoke", "ledger/verify", "logout")
AUDITOR = Actor(name="workspace:ines", role=Role.AUDITOR)


def der(pem):
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@pytest.mark.parametrize("path", [*PAGES, "nothing", "decisions/1", "decisions/1/proof.json", "ledger/checkpoint.txt"])
def test_nobody_is_sent_to_the_login(scene, browser_at, path):
    answer = browser_at(scene).get(f"/console/{path}")
    assert (answer.status, answer.location, answer.body) == (303, "/console/login", b"")


@pytest.mark.parametrize("path", CHANGES)
def test_nobody_changes_anything(scene, browser_at, path):
    before = scene.ledger.head()
    answer = browser_at(scene).post(f"/console/{path}", {"lease": "x", "reason": "y"})
    assert (answer.status, answer.location) == (303, "/console/login")
    assert scene.ledger.head() == before


def test_the_pulse_tells_a_script_that_it_is_nobody(scene, browser_at):
    assert browser_at(scene).get("/console/pulse").status == 401


@pytest.mark.parametrize(
    "path", ["login", "static/console.css", "static/console.js", "static/mark.svg", "static/no", ""]
)
def test_every_answer_carries_the_strict_headers(scene, browser_at, path):
    answer = browser_at(scene).get(f"/console/{path}")
    policy = answer.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("referrer-policy") == "same-origin"
    assert answer.header("x-frame-options") == "DENY"
    assert len([name for name, _ in answer.headers if name == "cache-control"]) == 1


def test_no_static_file_is_found_by_a_path(scene, browser_at):
    browser = browser_at(scene)
    assert browser.get("/console/static/../pages.py").status in {303, 404}
    assert browser.get("/console/static/%2e%2e/app.py").status in {303, 404}
    assert browser.get("/console/static/no.css").status == 404


def test_a_code_opens_the_console_once(scene, browser_at):
    code = scene.login_code()
    first, second = browser_at(scene), browser_at(scene)
    answer = first.log_in(code)
    assert (answer.status, answer.location) == (303, "/console/")
    assert first.get("/console/").status == 200
    refused = second.log_in(code)
    assert refused.status == 403
    assert "opens nothing" in refused.words
    assert second.get("/console/").status == 303


@pytest.mark.parametrize("code", ["", "x", "0" * 43, "é" * 40, "a" * 129])
def test_another_code_opens_nothing(scene, browser_at, code):
    browser = browser_at(scene)
    before = scene.ledger.head()
    assert browser.log_in(code).status == 403
    assert not any("session" in name for name in browser.cookies)
    assert scene.ledger.head() == before


def test_the_session_cookie_is_bound_to_host_and_port_and_hidden_from_scripts(scene, browser_at):
    browser = browser_at(scene, port=9443)
    answer = browser.log_in(scene.login_code())
    [cookie] = [value for name, value in answer.headers if name == "set-cookie" and "session" in value]
    assert cookie.startswith("__Host-strongroom-session-9443=")
    for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=3600"):
        assert word in cookie
    assert "Domain" not in cookie


def test_the_store_holds_hashes_alone(scene, logged_in):
    browser = logged_in(scene)
    [token] = [value for name, value in browser.cookies.items() if "session" in name]
    rows = scene.store.read(lambda tx: tx.execute("SELECT * FROM logins"))
    assert len(rows) == 2
    assert token not in str(rows)


@pytest.mark.parametrize("column", ["role = 'owner', name = 'workspace:x'", "expires_ms = expires_ms + 1", "seal = ''"])
def test_sa_09_a_session_that_somebody_wrote_into_the_store_opens_nothing(scene, logged_in, column):
    browser = logged_in(scene)
    assert browser.get("/console/").status == 200
    scene.store.write(lambda tx: tx.execute(f"UPDATE logins SET {column}"))  # noqa: S608  # our own words
    assert browser.get("/console/").status == 303


def test_a_code_and_a_session_are_in_no_log_and_no_page(scene, browser_at, caplog):
    caplog.set_level(logging.DEBUG)
    code = scene.login_code()
    browser = browser_at(scene)
    page = browser.get("/console/login").text
    browser.log_in(code)
    token = next(value for name, value in browser.cookies.items() if "session" in name)
    pages = [browser.get(f"/console/{path}").text for path in PAGES]
    lines = json.dumps(list(scene.ledger.entries()))
    for text in (caplog.text, page, lines, *pages):
        assert code not in text
        assert token not in text


def test_a_session_ends_after_an_hour(scenes, scene, logged_in):
    browser = logged_in(scene)
    now = scene.clock()
    scene.led = now + timedelta(minutes=59)
    assert browser.get("/console/").status == 200
    scene.led = now + timedelta(minutes=61)
    answer = browser.get("/console/")
    assert (answer.status, answer.location) == (303, "/console/login")
    assert not any("session" in name for name in browser.cookies)


def test_a_code_ends_after_minutes(scene, browser_at):
    code = scene.login_code()
    scene.led = scene.clock() + timedelta(minutes=6)
    assert browser_at(scene).log_in(code).status == 403


def test_a_session_is_nothing_in_another_browser(scene, logged_in, browser_at):
    browser = logged_in(scene)
    thief = browser_at(scene, agent="Another Browser", cookies=dict(browser.cookies))
    assert thief.get("/console/").status == 303
    assert browser.get("/console/").status == 200


def test_logging_out_ends_the_session_in_the_store(scene, logged_in, browser_at):
    browser = logged_in(scene)
    kept = dict(browser.cookies)
    answer = browser.post("/console/logout", {"csrf": browser.get("/console/").csrf})
    assert (answer.status, answer.location) == (303, "/console/login")
    assert browser_at(scene, cookies=kept).get("/console/").status == 303


def test_who_is_suspended_is_logged_out_at_once(scene, logged_in):
    scene.add_person("omar", "operator")
    browser = logged_in(scene, Actor(name="omar", role=Role.OPERATOR))
    assert browser.get("/console/").status == 200
    [admin] = [each for each in scene.desk.list_admins() if each["name"] == "omar"]
    scene.desk.suspend_admin(fingerprint=admin["fingerprint"])
    assert browser.get("/console/").status == 303


def test_a_registered_certificate_needs_no_code(scene, browser_at):
    certificate, _ = scene.add_person("omar", "operator")
    browser = browser_at(scene, certificate=der(certificate))
    answer = browser.get("/console/")
    assert answer.status == 200
    assert "omar" in answer.words
    assert "by certificate" in answer.words
    assert "Log out" not in answer.words


def test_an_unregistered_certificate_is_nobody_even_with_a_session(scene, logged_in, browser_at):
    browser = logged_in(scene)
    stranger = scene.authority.issue_client("eve@owner.example", now=scene.clock())
    browser.certificate = der(stranger.certificate_pem)
    assert browser.get("/console/").status == 303


def lease_form(scene, browser):
    scene.publish("model/resnet50/3")
    page = browser.get("/console/leases").text
    return re.search(r'name="csrf" value="(.*?)"', page)[1]


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_our_word_does_nothing(scene, logged_in, token):
    browser = logged_in(scene)
    before = scene.ledger.head()
    answer = browser.post("/console/ledger/verify", {"csrf": token})
    assert answer.status == 403
    assert "SR-CONSOLE-FORM" in answer.words
    assert scene.ledger.head() == before


def test_the_word_of_another_session_does_not_count(scene, logged_in):
    other = logged_in(scene).get("/console/").csrf
    assert logged_in(scene).post("/console/ledger/verify", {"csrf": other}).status == 403


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"},
                                     {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}])  # fmt: skip
def test_a_form_from_another_site_does_not_count_even_with_our_word(scene, logged_in, headers):
    browser = logged_in(scene)
    answer = browser.post("/console/ledger/verify", {"csrf": browser.get("/console/").csrf}, **headers)
    assert answer.status == 403


def test_a_login_form_of_another_site_does_not_count(scene, browser_at):
    browser = browser_at(scene)
    answer = browser.post("/console/login", {"csrf": "", "code": scene.login_code()})
    assert answer.status == 403


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"a=1&" * 5000, "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % number for number in range(40)), "application/x-www-form-urlencoded"),
        (b"a=\xff", "application/x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize("path", ["ledger/verify", "login"])
def test_what_is_no_form_of_ours_is_refused(scene, logged_in, body, kind, path):
    browser = logged_in(scene)
    answer = browser.ask("POST", f"/console/{path}", body=body, headers={"content-type": kind})
    assert answer.status in {400, 403}
    if path != "login":
        assert "SR-CONSOLE-FIELDS" in answer.words


def test_other_methods_are_refused(scene, logged_in):
    browser = logged_in(scene)
    assert browser.ask("DELETE", "/console/leases").status == 405
    assert browser.get("/console/leases/end").status in {404, 405}


def test_an_address_that_is_not_there_says_so_to_somebody(scene, logged_in):
    answer = logged_in(scene).get("/console/keys/value")
    assert answer.status == 404
    assert "SR-ADMIN-NOT-FOUND" in answer.words


def test_a_query_is_never_a_login(scene, browser_at):
    browser = browser_at(scene)
    answer = browser.get("/console/login?" + urlencode({"code": scene.login_code()}))
    assert not any("session" in name for name in browser.cookies)
    assert 'value=""' not in answer.text
    assert browser.get("/console/").status == 303
