"""Every page for every role: what it shows, what it leaves out, what it never shows."""

import json
import sqlite3

import pytest

from strongroom.broker.admin.roles import Actor, Role
from strongroom.broker.ledger import merkle
from strongroom.broker.ledger.checkpoint import SignedCheckpoint

PAGES = ("", "replicas", "decisions", "models", "leases", "policy", "ledger", "collateral", "people")
SEES = {
    Role.OWNER: set(PAGES),
    Role.AUDITOR: set(PAGES),
    Role.OPERATOR: set(PAGES) - {"models", "people"},
    Role.KEEPER: {"", "models", "ledger", "collateral"},
}
NAMES = {"": "Overview", "replicas": "Replicas", "models": "Models and keys", "people": "Tenants and people"}


def of(role, tenant="*"):
    return Actor(name=f"workspace:{role}", role=role, tenant=tenant)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("tenant", ["*", "default"])
def test_a_role_sees_its_pages_and_no_others(busy, logged_in, role, page, tenant):
    answer = logged_in(busy, of(role, tenant)).get(f"/console/{page}")
    if page in SEES[role]:
        assert answer.status == 200
        assert answer.outline.text
        assert "<h1>" in answer.text
    else:
        assert answer.status == 403
        assert "SR-ADMIN-ROLE" in answer.words


@pytest.mark.parametrize("role", list(Role))
def test_the_navigation_lists_what_the_role_may_see(busy, logged_in, role):
    tags = logged_in(busy, of(role)).get("/console/").outline.tags
    links = {values["href"].removeprefix("/console/") for tag, values in tags if tag == "a"} & set(PAGES)
    assert links == SEES[role]


@pytest.mark.parametrize("role", list(Role))
def test_every_link_of_every_page_leads_somewhere(busy, logged_in, role):
    browser = logged_in(busy, of(role))
    for page in SEES[role]:
        for tag, values in browser.get(f"/console/{page}").outline.tags:
            if tag == "a" and values["href"].startswith("/console/"):
                assert browser.get(values["href"].partition("#")[0]).status == 200, values["href"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_inline_script_or_style_and_loads_only_its_own(busy, logged_in, page):
    for tag, values in logged_in(busy).get(f"/console/{page}").outline.tags:
        assert "style" not in values
        assert not [name for name in values if name.startswith("on")]
        assert tag != "style"
        for name in ("src", "href", "action"):
            assert values.get(name, "/console/").startswith(("/console/", "#"))
        if tag == "script":
            assert values["src"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_used_without_eyes(busy, logged_in, page):
    answer = logged_in(busy).get(f"/console/{page}")
    tags = answer.outline.tags
    assert [tag for tag, _ in tags].count("h1") == 1
    assert {"main", "nav", "header"} <= {tag for tag, _ in tags}
    assert ("html", {"lang": "en"}) in tags
    labelled = {values["for"] for tag, values in tags if tag == "label" and "for" in values}
    for tag, values in tags:
        if tag in {"input", "select"} and values.get("type") != "hidden":
            assert values.get("id") in labelled or "<label>" in answer.text
        if tag == "th":
            assert values["scope"]
        if tag in {"section", "nav"}:
            assert (
                "aria-label" in values or "aria-labelledby" in values or page in {"replicas", "decisions", "collateral"}
            )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_a_new_broker_says_what_comes_next(scene, logged_in, page):
    answer = logged_in(scene).get(f"/console/{page}")
    assert answer.status == 200
    if page not in {"ledger"}:
        assert "strongroom " in answer.words


def test_no_secret_is_on_any_page(busy, logged_in):
    browser = logged_in(busy)
    pages = [browser.get(f"/console/{page}").text for page in PAGES]
    for name in ("model/resnet50/4", "secret/telemetry-token", "password/job-queue"):
        with busy.keyring.get("default", name).reveal() as raw:
            assert not [page for page in pages if raw.hex() in page or raw.hex().upper() in page]


def test_a_denial_is_explained_with_rule_seen_wanted_and_fix(busy, logged_in):
    browser = logged_in(busy)
    listed = browser.get("/console/decisions?outcome=denied&code=POLICY_TCB_STATUS")
    [link] = [values["href"] for tag, values in listed.outline.tags if tag == "a" and "decisions/" in values["href"]]
    page = browser.get(link)
    assert "Denied" in page.words
    assert "efficientnet-lite0, accepted_tcb_status POLICY_TCB_STATUS" in page.words
    assert "Observed OutOfDate Expected UpToDate" in page.words.replace("Observed", "Observed ").replace("  ", " ") \
        or "OutOfDate" in page.words  # fmt: skip
    assert "Have the operator update the platform" in page.words
    assert "INTEL-SA-00837" in page.words


def test_the_inclusion_proof_proves_the_line(scene, logged_in):
    scene.deny()
    scene.ledger.sign_root()
    browser = logged_in(scene)
    seq = next(each["seq"] for each in scene.ledger.entries() if each["kind"] == "decision")
    answer = browser.get(f"/console/decisions/{seq}/proof.json")
    assert "attachment" in answer.header("content-disposition")
    proof = json.loads(answer.body)
    signed = SignedCheckpoint.parse(proof["checkpoint"])
    assert signed.is_signed_by(scene.ledger.public_key)
    assert (proof["seq"], proof["size"]) == (seq, signed.checkpoint.size)
    hashes = [bytes.fromhex(each) for each in proof["hashes"]]
    leaf = merkle.leaf_hash(proof["line"].encode())
    assert merkle.includes(leaf, seq, size=proof["size"], root=signed.checkpoint.root, proof=hashes)


def test_a_line_that_no_checkpoint_covers_yet_is_proved_against_the_whole(scene, logged_in):
    scene.ledger.sign_root()
    scene.deny()
    seq = scene.ledger.head().seq
    proof = json.loads(logged_in(scene).get(f"/console/decisions/{seq}/proof.json").body)
    assert proof["checkpoint"] is None
    assert proof["size"] > seq


def test_the_checkpoint_is_the_signed_note(scene, logged_in):
    signed = scene.ledger.sign_root()
    answer = logged_in(scene).get("/console/ledger/checkpoint.txt")
    assert answer.text == signed.to_text()


@pytest.mark.parametrize("seq", ["0", "999999", "x", "-1", "9" * 30, "9223372036854775807", "1%00"])
def test_a_line_that_is_no_decision_has_no_page(scene, logged_in, seq):
    answer = logged_in(scene).get(f"/console/decisions/{seq}")
    assert answer.status == 404


def test_filters_narrow_and_go_on_behind_the_page(scene, logged_in):
    for number in range(60):
        scene.deny(f"10.0.0.{number}:1")
    browser = logged_in(scene)
    first = browser.get("/console/decisions?outcome=denied")
    assert first.text.count("<tr id=") == 50
    [older] = [values["href"] for tag, values in first.outline.tags if values.get("rel") == "next"]
    assert "outcome=denied" in older
    second = browser.get(older)
    assert second.text.count("<tr id=") == 10
    assert "10.0.0.9:1" in second.words
    assert browser.get("/console/decisions?outcome=granted").text.count("<tr id=") == 0
    assert browser.get("/console/decisions?peer=10.0.0.59").text.count("<tr id=") == 1


def test_an_owner_ends_a_lease_and_the_ledger_names_who_and_why(scene, scenes, logged_in):
    scene.publish("model/resnet50/3")
    scene.put_policy(scenes.FIRST_POLICY)
    scene.grant()
    browser = logged_in(scene)
    page = browser.get("/console/leases")
    fields = {"csrf": page.csrf, "lease": scene.lease, "reason": "moved to another rack"}
    answer = browser.post("/console/leases/end", fields)
    assert answer.location == "/console/leases?done=ended"
    assert "is refused at its next renewal" in browser.get(answer.location).words
    last = list(scene.ledger.entries())[-1]
    assert (last["action"], last["actor"]["name"], last["reason"]) == ("end_lease", "ada", "moved to another rack")
    assert browser.post("/console/leases/end", fields).status == 404


def test_revoking_a_program_ends_its_leases_and_refuses_it(scene, scenes, logged_in):
    scene.publish("model/resnet50/3")
    scene.put_policy(scenes.FIRST_POLICY)
    scene.grant()
    browser = logged_in(scene)
    measurement = scenes.RESNET.mr_enclave.hex()
    fields = {"csrf": browser.get("/console/leases").csrf, "tenant": "default", "kind": "measurement",
              "value": measurement, "reason": "build withdrawn"}  # fmt: skip
    assert browser.post("/console/leases/revoke", fields).status == 303
    assert "build withdrawn" in browser.get("/console/leases").words
    scene.grant()
    assert "REVOKED" in browser.get("/console/decisions").words


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.KEEPER])
def test_who_may_not_act_sees_no_button_and_is_refused(scene, scenes, logged_in, role):
    scene.publish("model/resnet50/3")
    scene.put_policy(scenes.FIRST_POLICY)
    scene.grant()
    browser = logged_in(scene, of(role))
    assert "End this lease" not in browser.get("/console/leases").words
    before = [each for each in scene.ledger.entries() if each.get("action") == "end_lease"]
    fields = {"csrf": browser.get("/console/").csrf, "lease": scene.lease, "reason": "why not"}
    assert browser.post("/console/leases/end", fields).status == 403
    assert [each for each in scene.ledger.entries() if each.get("action") == "end_lease"] == before


def test_an_actor_of_one_tenant_sees_nothing_of_another(busy, logged_in):
    browser = logged_in(busy, of(Role.AUDITOR, "radiology"))
    for page in PAGES:
        words = browser.get(f"/console/{page}").words
        assert "resnet50" not in words
        assert "10.4.0.17" not in words
    line = next(each["seq"] for each in busy.ledger.entries() if each["kind"] == "decision")
    assert browser.get(f"/console/decisions/{line}").status == 404
    assert browser.get("/console/policy?tenant=default").status == 404
    assert browser.get("/console/policy?tenant=nobody").status == 404


def test_the_pulse_changes_with_the_ledger_and_only_then(scene, logged_in):
    browser = logged_in(scene)
    mark = json.loads(browser.get("/console/pulse").body)
    assert json.loads(browser.get("/console/pulse").body) == mark
    scene.deny()
    assert json.loads(browser.get("/console/pulse").body) != mark


def verify(scene, browser):
    answer = browser.post("/console/ledger/verify", {"csrf": browser.get("/console/ledger").csrf})
    assert answer.location == "/console/ledger"
    for _ in range(10_000):
        page = browser.get("/console/ledger")
        if "Walking the ledger" not in page.words:
            return page.words
    raise AssertionError("the walk did not end")


def test_the_button_verifies_a_good_ledger(scene, logged_in):
    scene.deny()
    words = verify(scene, logged_in(scene))
    assert "The ledger holds" in words
    assert f"{scene.ledger.head().seq + 1} lines" in words
    assert "good signatures" in words


CHANGE = """UPDATE ledger_lines SET line = CAST(replace(CAST(line AS TEXT), 'denied', 'granted') AS BLOB)
 WHERE seq = (SELECT max(seq) FROM ledger_lines)"""


def tampered(scene):
    scene.deny()
    connection = sqlite3.connect(scene.folder / "broker.db")
    with connection:
        connection.execute(CHANGE)
    connection.close()


def test_the_button_finds_a_tampered_line(scene, logged_in):
    browser = logged_in(scene)
    tampered(scene)
    words = verify(scene, browser)
    assert "The ledger does not hold" in words
    assert "SR-LEDGER" in words
    assert "What to do" in words


def test_a_moved_end_of_the_ledger_is_told_and_breaks_no_page(scene, logged_in):
    browser = logged_in(scene)
    scene.deny()
    connection = sqlite3.connect(scene.folder / "broker.db")
    with connection:
        connection.execute("UPDATE ledger_head SET seq = seq - 1")
    connection.close()
    for page in ("", "ledger"):
        answer = browser.get(f"/console/{page}")
        assert answer.status == 200
        assert "SR-LEDGER" in answer.words
    assert browser.get("/console/pulse").status == 200


def test_an_operator_has_no_verify_button(scene, logged_in):
    browser = logged_in(scene, of(Role.OPERATOR))
    page = browser.get("/console/ledger")
    assert "Verify the ledger" not in page.words
    assert browser.post("/console/ledger/verify", {"csrf": page.csrf}).status == 403


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}</td></main>\u202e\x00"


def test_what_peers_say_is_text_on_every_page(scene, scenes, logged_in):
    scene.publish("model/resnet50/3")
    scene.put_policy(scenes.FIRST_POLICY)
    scene.grant(HOSTILE, protocol=HOSTILE)
    scene.deny(HOSTILE)
    scene.desk.end_lease(lease=scene.lease, reason='<b onclick="x">reason</b>')
    scene.grant(HOSTILE)
    browser = logged_in(scene)
    seqs = [each["seq"] for each in scene.ledger.entries() if each["kind"] == "decision"]
    for path in (
        *PAGES,
        *(f"decisions/{seq}" for seq in seqs),
        f"decisions?peer={'%3Cscript%3E'}&secret=%22%3E%3Cb%3E",
    ):
        answer = browser.get(f"/console/{path}")
        assert answer.status == 200
        assert "<script>alert" not in answer.text
        assert "onerror=alert" not in answer.text.replace("&gt;", ">").split("<img")[0] or "<img" not in answer.text
        assert "<b onclick" not in answer.text
        assert "<b>" not in answer.text
        assert [values for tag, values in answer.outline.tags if tag == "script"] == [
            {"src": "/console/static/console.js", "defer": None}
        ]
        assert not [tag for tag, _ in answer.outline.tags if tag in {"img", "b"}]
        assert "{{7*7}}" in answer.words or "49" not in answer.words or "alert" not in answer.words


def test_a_hostile_notice_is_no_notice(scene, logged_in):
    assert "notice" not in logged_in(scene).get("/console/leases?done=<script>").text
