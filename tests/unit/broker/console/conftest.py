"""The console over a real store, ledger and service; asked over ASGI by a browser that keeps cookies."""

import asyncio
import importlib.util
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

SCENE = Path(__file__).resolve().parents[4] / "tools" / "console_scene.py"
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
VOID |= {"path", "rect"}  # of SVG, written as empty elements


def load_scene():
    name = "strongroom_console_scene"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SCENE)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


class Outline(HTMLParser):
    """Reads a page as a browser would, strictly: every element closed, every id once."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@dataclass
class Answer:
    status: int
    headers: list
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def location(self):
        return self.header("location")

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def words(self):
        """What a person reads, without markup and with single spaces."""
        return " ".join("".join(self.outline.text).split())

    @property
    def outline(self):
        found = Outline()
        found.feed(self.text)
        assert found.open == []
        assert sorted(set(found.ids)) == sorted(found.ids)
        return found

    @property
    def csrf(self):
        return re.search(r'name="csrf" value="([0-9a-f]{64})"', self.text)[1]


@dataclass
class Browser:
    """Asks an ASGI application as one browser at one port."""

    app: object
    certificate: bytes | None = None
    agent: str = "Test Browser"
    port: int = 8443
    cookies: dict = field(default_factory=dict)

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def post(self, path, fields, **headers):
        headers = {"content-type": "application/x-www-form-urlencoded"} | headers
        return self.ask("POST", path, body=urlencode(fields).encode(), headers=headers)

    def ask(self, method, path, *, body=b"", headers=()):
        return asyncio.run(self._ask(method, path, body, dict(headers)))

    async def _ask(self, method, path, body, headers):
        parts = urlsplit(path)
        said = {"host": f"localhost:{self.port}", "user-agent": self.agent} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if self.cookies:
            said["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
            "path": parts.path, "raw_path": parts.path.encode(), "query_string": parts.query.encode(),
            "root_path": "", "headers": [(name.lower().encode(), value.encode()) for name, value in said.items()],
            "server": ("127.0.0.1", self.port), "client": ("127.0.0.1", 50000),
            "state": {"client_certificate": self.certificate, "request_id": "request-1"},
        }  # fmt: skip
        sent = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        found = [(name.decode(), value.decode()) for name, value in start["headers"]]
        self._keep([value for name, value in found if name == "set-cookie"])
        return Answer(start["status"], found, b"".join(each.get("body", b"") for each in rest))

    def _keep(self, cookies):
        for text in cookies:
            for name, morsel in SimpleCookie(text).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]

    def log_in(self, code):
        form = self.get("/console/login").csrf
        return self.post("/console/login", {"csrf": form, "code": code})


@pytest.fixture(scope="session")
def scenes():
    """The module that makes brokers with something to see."""
    return load_scene()


@pytest.fixture
def scene(scenes, tmp_path):
    """A broker without a past."""
    found = scenes.Scene(tmp_path / "broker")
    found.add_person("ada", "owner")
    yield found
    found.close()


@pytest.fixture(scope="module")
def busy(scenes, tmp_path_factory):
    """A broker with a day behind it; tests that change it use `scene`."""
    found = scenes.a_day(tmp_path_factory.mktemp("busy") / "broker")
    yield found
    found.close()


@pytest.fixture
def browser_at():
    """Make browsers for a scene's console."""
    return lambda scene, **options: Browser(scene.console(), **options)


@pytest.fixture
def logged_in(scenes, browser_at):
    """Make a browser that is logged in at a scene's console, as the owner or as somebody else."""

    def make(scene, actor=None, **options):
        browser = browser_at(scene, **options)
        answer = browser.log_in(scene.login_code(actor or scenes.OWNER))
        assert (answer.status, answer.location) == (303, "/console/")
        return browser

    return make
