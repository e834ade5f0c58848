"""What the page hands on: reading alone, plain paths alone, and who may ask at all."""

import pytest

from strongroom.secret import Secret
from strongroom.streaming.flink.page import rules
from strongroom.streaming.flink.page.rules import PagePath, PageReadsOnly
from strongroom.streaming.flink.page.sessions import LINK_S, SESSION_S, WRONG_PER_MINUTE, LoginRefused, Sessions


@pytest.mark.parametrize("target", ["/", "/overview", "/jobs/0a/vertices/1/metrics?get=a,b", "/main.1f.js"])
def test_reading_is_handed_on(target):
    path, _, query = target.partition("?")
    assert rules.target_of("GET", path, query, changes=False) == target


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/jars/upload"), ("PATCH", "/jobs/0a"), ("DELETE", "/jars/x"), ("PUT", "/jobs/0a/resource-requirements"),
     ("GET", "/jobs/0a/yarn-cancel"), ("GET", "/v1/jobs/0a/yarn-stop"), ("GET", "/jobs/0a/yarn%2Dcancel"),
     ("GET", "/jobs/0a/%79arn-cancel"), ("GET", "/jars/a_b.jar/plan"), ("GET", "/v1/jars/a_b.jar/plan/"),
     ("GET", "//%6aars///a_b.jar%2Fplan"), ("HEAD", "/jars/a_b.jar/plan")],
)  # fmt: skip
def test_dp_05_changes_are_refused_unless_allowed(method, path):
    with pytest.raises(PageReadsOnly) as refused:
        rules.target_of(method, path, "", changes=False)
    assert refused.value.code == "SR-FLINK-READ-ONLY"
    assert rules.target_of(method, path, "", changes=True) == path


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [("GET", "/a/../b", ""), ("GET", "/%2e%2e/x", ""), ("GET", "/jobmanager/logs/..%252f..%252fetc%252fpasswd", ""),
     ("GET", "/jobmanager/logs/..%2f..%2fetc%2fpasswd", ""), ("GET", "/a%252e", ""),
     ("GET", "/a b", ""), ("GET", "a", ""), ("GET", "/", "a\r\nb"),
     ("GET", "/" + "a" * 3000, ""), ("CONNECT", "/", ""), ("TRACE", "/", "")],
)  # fmt: skip
def test_paths_that_are_none_of_flink_s_are_refused(method, path, query):
    with pytest.raises(PagePath) as refused:
        rules.target_of(method, path, query, changes=True)
    assert refused.value.code == "SR-FLINK-PATH"


def test_flink_hears_nothing_of_the_browser_and_the_browser_little_of_flink():
    asked = rules.asked_headers(
        [("Cookie", "secret"), ("Accept", "text/html"), ("Origin", "x"), ("Authorization", "y")]
    )
    assert asked == {"Accept": "text/html"}
    assert rules.answered_headers([("Set-Cookie", "x"), ("Content-Type", "a"), ("Location", "b")]) == {
        "Content-Type": "a"
    }


def test_the_page_offers_no_changes_that_would_be_refused():
    body = b'{"features": {"web-submit": true, "web-cancel": true, "web-history": true}}'
    assert rules.answered_body("/config", body, changes=False) == (
        b'{"features": {"web-submit": false, "web-cancel": false, "web-history": true}}'
    )
    assert rules.answered_body("/config", body, changes=True) == body
    assert rules.answered_body("/config", b"no JSON", changes=False) == b"no JSON"
    assert rules.answered_body("/overview", body, changes=False) == body


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(Secret(b"right"), clock=clock)


def test_a_password_begins_sessions_that_end(sessions, clock):
    token = sessions.begin("right")
    assert sessions.holds(token)
    clock.now += SESSION_S
    assert not sessions.holds(token)
    other = sessions.begin("right")
    sessions.end(other)
    assert not sessions.holds(other)
    assert not sessions.holds("")


def test_a_link_works_once_and_not_for_ever(sessions, clock):
    link, late = sessions.new_link(), sessions.new_link()
    assert sessions.holds(sessions.begin(link))
    with pytest.raises(LoginRefused) as refused:
        sessions.begin(link)
    assert refused.value.code == "SR-FLINK-LOGIN"
    clock.now += LINK_S
    with pytest.raises(LoginRefused):
        sessions.begin(late)


def test_guessing_stops_for_everybody_for_a_minute(sessions, clock):
    for _ in range(WRONG_PER_MINUTE):
        with pytest.raises(LoginRefused):
            sessions.begin("wrong")
    with pytest.raises(LoginRefused, match="too many"):
        sessions.begin("right")
    clock.now += 61
    assert sessions.holds(sessions.begin("right"))
