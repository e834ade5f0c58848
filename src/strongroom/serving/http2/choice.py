"""Choose the implementation of HTTP/2: compiled, by cffi, or none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from strongroom.errors import Unreachable
from strongroom.serving.http2.base import Session, SessionSettings
from strongroom.serving.http2.nghttp2_cffi import CffiSession
from strongroom.serving.http2.nghttp2_library import opened

Factory = Callable[[SessionSettings], Session]


class Http2Unavailable(Unreachable):
    """The system library libnghttp2, which carries HTTP/2, is not there or is too old."""

    code = "SR-HTTP2-UNAVAILABLE"
    fix = "Install libnghttp2 (Debian: apt install libnghttp2-14), or serve with --rpc=grpcio."


@cache
def implementations() -> dict[str, Factory]:
    """Return what works here, the best first."""
    found: dict[str, Factory] = {}
    try:
        compiled = import_module("strongroom.serving.http2._codec")
    except ImportError:  # not built, or without the library it is linked to
        pass
    else:
        found["compiled"] = compiled.CodecSession
    if opened() is not None:
        found["cffi"] = CffiSession
    return found


def available() -> str | None:
    """Name the implementation that `open_session` takes, or return None."""
    return next(iter(implementations()), None)


def open_session(settings: SessionSettings, *, implementation: str | None = None) -> Session:
    """Begin the server's side of a connection. Raises Http2Unavailable."""
    found = implementations()
    name = implementation or available()
    if name is None or name not in found:
        raise Http2Unavailable(
            "HTTP/2 needs the library libnghttp2, version 1.52 or later, which is not on this machine"
        )
    return found[name](settings)
