"""The console in headless Chromium, as a new user meets it: of a real broker process, and of one with a busy day."""

import importlib.util
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.broker import BrokerRefused, provision
from strongroom.cli import main
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
SCENE = Path(__file__).resolve().parents[2] / "tools" / "console_scene.py"
STRONGROOM = [sys.executable, "-m", "strongroom"]
ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--disable-default-apps",
]  # fmt: skip
PAGES = ("", "replicas", "decisions", "models", "leases", "policy", "ledger", "collateral", "people")
IDENTITY = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
MODEL = "model/m/1"
SHOW_VIOLATIONS = "document.addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.blockedURI))"


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def window(chromium):
    """Open windows whose console stays silent; every one is closed at the end."""
    contexts, complaints = [], []

    def open_(*, expect_noise=False, **options):
        context = chromium.new_context(ignore_https_errors=True, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        if options.get("java_script_enabled", True):
            page.add_init_script(SHOW_VIOLATIONS)
        if not expect_noise:
            page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("strongroom_e2e_console_scene", SCENE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = module.a_day(tmp_path_factory.mktemp("console") / "broker")
    with found.served() as url:
        found.url = url
        yield found
    found.close()


def log_in(page, scene):
    page.goto(f"{scene.url}/login#{scene.login_code()}")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()


# A real broker process ----------------------------------------------------------------------------------------------


@contextmanager
def running_broker(folder):
    """Serve a workspace that trusts one simulated program, as an owner does; yield the address of its console."""
    workspace = Workspace.create(folder / "workspace", now=datetime.now(UTC))
    workspace.secrets.put(MODEL, Secret(bytes.fromhex("00112233445566778899aabbccddeeff")))
    world = ["--world", str(folder / "world"), "--beside-real-tee"]
    assert main(["sim", "init", *world]) == 0
    assert main(["sim", "collateral", *world, "--out", str(workspace.folder / "trust")]) == 0
    trust = ["policy", "trust", "--workspace", str(workspace.folder), "--mrenclave", IDENTITY.mr_enclave.hex()]
    assert main([*trust, "--trust-domain", "simulated", "--release", MODEL]) == 0
    log = (folder / "broker.log").open("wb")
    words = ["broker", "serve", "--workspace", str(workspace.folder), "--port", "0", "--admin-port", "0"]
    process = subprocess.Popen([*STRONGROOM, *words], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        port = int(process.stdout.readline().rpartition(":")[2])
        admin = re.search(r"https://127\.0\.0\.1:(\d+) \(admin\)", process.stdout.readline())[1]
        yield workspace, port, f"https://127.0.0.1:{admin}", World.open(folder / "world")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()
        log.close()


class Replica:
    def __init__(self, world, identity):
        self.world, self.identity = world, identity

    def quote(self, report_data):
        return self.world.quote(self.identity, report_data)


def test_a_new_user_follows_the_link_and_watches_decide_explain_and_verify(window, tmp_path, capsys):
    with running_broker(tmp_path) as (workspace, port, admin, world):
        capsys.readouterr()
        assert main(["broker", "login", "--workspace", str(workspace.folder), "--console", admin]) == 0
        link = capsys.readouterr().out.strip()
        page = window()

        page.goto(link)
        assert "#" not in page.url  # the code has left the address before anything else
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Nobody has asked yet.").wait_for()

        ca_pem = workspace.ca_certificate_pem
        good = Replica(world, IDENTITY)
        provision("localhost", port, platform=good, ca_pem=ca_pem, timeout_s=30).wipe()
        page.locator(".badge", has_text="Granted").wait_for()  # by itself: nobody pressed anything

        bad = Replica(world, EnclaveIdentity(mr_enclave=b"\x13" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3))
        with pytest.raises(BrokerRefused):
            provision("localhost", port, platform=bad, ca_pem=ca_pem, timeout_s=30)
        page.locator("tr.new").first.wait_for()
        page.locator("td.why a", has_text="mrenclave").click()
        page.get_by_role("heading", name="Why nothing was released").wait_for()
        reason = page.locator(".reason").first.inner_text()
        assert "13" * 32 in reason
        assert IDENTITY.mr_enclave.hex() in reason
        assert "What to do" in reason

        page.get_by_role("link", name="Ledger", exact=True).click()
        page.locator("#verify").click()
        page.get_by_text("The ledger holds").wait_for()

        change(workspace.folder / "broker.db")
        page.locator("#verify").click()
        page.get_by_text("The ledger does not hold").wait_for()
        assert "SR-LEDGER" in page.locator(".check").inner_text()

        second = window(expect_noise=True)  # the browser itself complains about the refusal's status
        second.goto(link)  # a used link is no door
        second.get_by_role("button", name="Log in").click()
        second.get_by_role("alert").wait_for()
        log = (tmp_path / "broker.log").read_text()
        page.close()  # before the broker stops: the page would notice
    assert link.partition("#")[2] not in log


def change(database):
    """Edit the denial in the store, as somebody who can write to the file."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(CHANGE)
    connection.close()


CHANGE = """UPDATE ledger_lines SET line = CAST(replace(CAST(line AS TEXT), '"denied"', '"granted"') AS BLOB)
 WHERE CAST(line AS TEXT) LIKE '%"denied"%'"""


# A broker with a day behind it --------------------------------------------------------------------------------------


def test_every_page_loads_without_a_complaint_and_from_nowhere_else(window, scene):
    page = window()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    log_in(page, scene)
    for name in PAGES:
        assert page.goto(f"{scene.url}/{name}").status == 200
        page.get_by_role("heading", level=1).wait_for()
    assert {re.match(r"https://[^/]+", url)[0] for url in asked} == {scene.url.removesuffix("/console")}


def test_everything_is_there_without_scripts(window, scene):
    page = window(java_script_enabled=False)
    page.goto(f"{scene.url}/login")
    page.fill("#code", scene.login_code())
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", level=1, name="Overview").wait_for()
    for name in PAGES:
        assert page.goto(f"{scene.url}/{name}").status == 200
        assert page.get_by_role("heading", level=1).is_visible()
    page.goto(f"{scene.url}/decisions")
    page.select_option("#outcome", "denied")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url(re.compile("outcome=denied"))  # and until it is loaded: counting waits for nothing
    assert page.locator("tbody tr").count() == page.get_by_text("Denied", exact=True).count() - 1  # the option
    page.locator("td.why a").first.click()
    assert "What to do" in page.locator(".reason").first.inner_text()
    page.goto(f"{scene.url}/ledger")
    page.locator("#verify").click()
    page.locator(".check.good").wait_for()  # the page asks again by itself while the walk runs
    page.goto(f"{scene.url}/leases")
    page.get_by_text("End", exact=True).first.click()
    page.locator("details.act[open] input[name=reason]").fill("moved away")
    page.get_by_role("button", name="End this lease").first.click()
    assert "The lease is ended" in page.locator(".notice").inner_text()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/console/login$"))


def test_a_keyboard_reaches_everything(window, scene):
    page = window()
    page.goto(f"{scene.url}/login")
    page.locator("#code:focus").wait_for()  # its own doing, with the first frame, which may come after `load`
    page.keyboard.type(scene.login_code())
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the page"
    page.keyboard.press("Enter")
    page.locator("main:focus").wait_for()
    page.goto(f"{scene.url}/leases")
    wanted = page.evaluate(REACHABLE)
    seen = 0
    while page.evaluate("document.body.dataset.last !== 'seen'") and seen < 2 * wanted:
        page.keyboard.press("Tab")
        seen += page.evaluate(SHOWS_FOCUS)
    assert seen == wanted > 20


REACHABLE = """() => [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex='0']")]
  .filter(e => e.checkVisibility() && e.type !== "hidden").length"""
SHOWS_FOCUS = """() => {
  const e = document.activeElement;
  if (e === document.body) { document.body.dataset.last = "seen"; return 0 }
  if (!e.matches(":focus-visible") || getComputedStyle(e).outlineStyle === "none") return 0;
  return 1;
}"""


def test_a_form_in_use_is_not_swapped_away(window, scene):
    page = window()
    log_in(page, scene)
    page.goto(f"{scene.url}/leases")
    page.get_by_text("Revoke", exact=True).last.click()
    field = page.locator("details.act[open] input[name=reason]")
    field.fill("half a sen")
    mark = page.locator("main").get_attribute("data-mark")
    scene.deny("192.0.2.77:1")
    with page.expect_response(lambda answer: answer.url.endswith("/leases")):
        pass
    assert field.input_value() == "half a sen"
    assert mark


def test_updates_stop_while_the_tab_is_hidden_and_come_back(window, scene):
    page = window()
    log_in(page, scene)
    page.get_by_text("Live", exact=True).wait_for()
    page.evaluate(HIDE, True)
    page.get_by_text("Paused while hidden").wait_for()
    scene.deny("192.0.2.78:1")
    page.evaluate(HIDE, False)
    page.get_by_text("192.0.2.78:1").wait_for()


HIDE = """value => {
  Object.defineProperty(document, "hidden", {value, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_broker_that_is_away_is_told_and_found_again(window, scene):
    page = window(expect_noise=True)  # the browser itself complains about each failed request
    log_in(page, scene)
    page.get_by_text("Live", exact=True).wait_for()
    page.context.set_offline(True)
    page.get_by_text("The broker does not answer").wait_for()
    scene.deny("192.0.2.79:1")
    page.context.set_offline(False)
    page.get_by_text("192.0.2.79:1").wait_for()
    page.get_by_text("Live", exact=True).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (390, 844), (320, 640)], ids=["wide", "phone", "small"])
def test_no_page_scrolls_sideways_and_all_text_has_contrast(window, scene, scheme, size):
    page = window(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    log_in(page, scene)
    denial = scene.deny("192.0.2.80:1")
    seq = next(each["seq"] for each in scene.ledger.entries() if each.get("id") == denial.id)
    for name in (*PAGES, f"decisions/{seq}"):
        page.goto(f"{scene.url}/{name}")
        page.get_by_role("heading", level=1).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        assert page.evaluate(POOR_CONTRAST) == [], name
        assert len(page.screenshot()) > 5000


POOR_CONTRAST = """() => {
  const channel = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 };
  const rgba = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = rgba(getComputedStyle(e).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("svg, .skip, tr.new")) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${e.className} ${e.tagName} ${ratio.toFixed(2)} ${walker.currentNode.textContent}`);
  }
  return found;
}"""
