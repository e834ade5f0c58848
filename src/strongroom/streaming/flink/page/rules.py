"""What the page hands on to Flink and back: reading, unless changes are allowed. Pure.

Deny by default. Flink's REST API has GET requests that are changes as well: two end a job (yarn-cancel, yarn-stop, for
old integrations), and a jar's plan is made by running its main program with the caller's arguments. What the page
offers is told by /config, which says here that it offers no changes. Source: Flink REST API v1; threat DP-05.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from strongroom.errors import Refused

READING: Final = frozenset({"GET", "HEAD"})
CHANGING: Final = frozenset({"POST", "PATCH", "DELETE", "PUT"})
MAX_PATH_CHARS: Final = 2048
_PATH: Final = re.compile(r"/[A-Za-z0-9/._~:@!$&'()*+,;=%-]*", re.ASCII)
_QUERY: Final = re.compile(r"[A-Za-z0-9/._~:@!$&'()*+,;=%?\[\]-]*", re.ASCII)
_ASKED: Final = ("accept", "content-type", "if-modified-since", "if-none-match")
_ANSWERED: Final = frozenset({"content-type", "last-modified", "etag", "content-disposition"})
_OF_A_JAR: Final = re.compile(r"/jars/[^/]")
_CONFIG: Final = re.compile(r"(/v1)?/config/?\Z")


class PageReadsOnly(Refused):
    """The page was started for looking alone."""

    code = "SR-FLINK-READ-ONLY"
    fix = "Start strongroom flink page with --allow-changes, or change jobs with strongroom flink run and queue flink."


class PagePath(Refused):
    """The page was asked for a path that is none of Flink's."""

    code = "SR-FLINK-PATH"
    fix = "Follow the page's own links."


def target_of(method: str, path: str, query: str, *, changes: bool) -> str:
    """Return the request target to ask Flink for. Raises PageReadsOnly, PagePath."""
    plain = re.sub("/+", "/", path.lower().replace("%2e", ".").replace("%2f", "/"))
    dotted = "%25" in plain or any(part in {".", ".."} for part in plain.split("/"))  # %25: encoded twice
    if len(path) + len(query) > MAX_PATH_CHARS or dotted or not _PATH.fullmatch(path) or not _QUERY.fullmatch(query):
        raise PagePath("the path holds characters that Flink's do not")
    spelled = unquote(plain)
    changing = method in CHANGING or "yarn-" in spelled or _OF_A_JAR.search(spelled)
    if method not in READING | CHANGING:
        raise PagePath(f"Flink knows no method {method[:16]}")
    if changing and not changes:
        raise PageReadsOnly(f"{method} {path[:80]} would change something")
    return f"{path}?{query}" if query else path


def asked_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers of a request that Flink gets: no cookie, no origin, nothing that names the browser."""
    return {name: value for name, value in headers if name.lower() in _ASKED}


def answered_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers of an answer that the browser gets."""
    return {name: value for name, value in headers if name.lower() in _ANSWERED}


def answered_body(path: str, body: bytes, *, changes: bool) -> bytes:
    """Return what the browser gets: /config without the features that would be refused."""
    if changes or not _CONFIG.match(path):
        return body
    try:
        tree = json.loads(body)
        features = tree["features"]
        tree["features"] = {name: False if name in _CHANGES else value for name, value in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return body
    return json.dumps(tree).encode()


_CHANGES: Final = frozenset({"web-submit", "web-cancel", "web-rescale"})
