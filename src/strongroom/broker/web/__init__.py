"""The broker's HTTP ports: a Starlette application over TLS, with limits, request ids and errors that say what to do.

Law of this room: a peer has one deadline for each thing it sends, limits are checked before memory is taken, and an
answer never shows what a log is for. Nothing here knows keys, rules or pages.
"""

from strongroom.broker.web.middleware import client_certificate_of, request_id_of, wrapped
from strongroom.broker.web.problems import problem, problem_of
from strongroom.broker.web.server import WebLimits, WebServer, tls_context

__all__ = [
    "WebLimits",
    "WebServer",
    "client_certificate_of",
    "problem",
    "problem_of",
    "request_id_of",
    "tls_context",
    "wrapped",
]
