"""The page's application over a double of Flink's REST API: who gets in, and what comes from elsewhere."""

import asyncio

import pytest

from strongroom.secret import Secret
from strongroom.streaming.flink.page.app import HEADERS, Page
from strongroom.streaming.flink.page.sessions import Sessions
from strongroom.streaming.flink.rest import Place


@pytest.fixture
def page(tmp_path):
    sessions = Sessions(Secret(b"right"))
    # Nothing listens there and no certificate is at hand: whatever reaches Flink's side fails loudly.
    return Page(Place("localhost", 1, tmp_path), sessions, names=frozenset({"localhost"}), changes=False).application()


def ask(app, method, path, body=b"", **headers):
    """Send one request to the application; return status, headers and body."""
    named = {"host": "localhost:8081", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()], "server": ("localhost", 8081),
        "scheme": "https", "http_version": "1.1",
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(each.get("body", b"") for each in sent[1:])


OURS = {"origin": "https://localhost:8081", "content_type": "application/x-www-form-urlencoded"}


def test_nobody_sees_anything_but_the_login(page):
    assert ask(page, "GET", "/", accept="text/html")[:1] == (303,)
    status, headers, body = ask(page, "GET", "/overview")
    assert (status, b"SR-FLINK-LOGIN" in body) == (401, True)
    assert HEADERS.items() <= {name.title() if name != "x" else name: value for name, value in headers.items()}.items()
    for path in ("/login", "/login.js", "/login.css"):
        assert ask(page, "GET", path)[0] == 200


def test_the_password_gives_a_cookie_that_scripts_and_other_sites_do_not_get(page):
    status, headers, _ = ask(page, "POST", "/login", b"word=right", **OURS)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].lower()
    assert cookie.startswith("__host-strongroom-flink-8081=")
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= {each.strip() for each in cookie.split(";")}
    status, _, body = ask(page, "GET", "/jobs/0a/yarn-cancel", cookie=headers["set-cookie"].split(";")[0])
    assert (status, b"SR-FLINK-READ-ONLY" in body) == (403, True)


def test_a_wrong_password_gives_none(page):
    status, headers, body = ask(page, "POST", "/login", b"word=wrong", **OURS)
    assert (status, "set-cookie" in headers, b"That did not work" in body) == (403, False, True)


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {}, {"origin": "https://localhost:8081", "sec_fetch_site": "cross-site"},
     {"origin": "https://localhost:8081", "host": "evil.example:8081"}],
)  # fmt: skip
def test_requests_of_other_sites_are_refused(page, headers):
    status, _, body = ask(page, "POST", "/login", b"word=right", **headers)
    assert (status, b"SR-FLINK-FOREIGN" in body) == (403, True)


def test_a_rebound_name_reads_nothing(page):
    assert b"SR-FLINK-FOREIGN" in ask(page, "GET", "/login", host="evil.example:8081")[2]
