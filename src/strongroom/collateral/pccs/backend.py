"""Who answers inside a local PCCS, and how an answer looks that is made here. Pure."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence
from typing import Final, Protocol

from strongroom.collateral.api import Answer, Kind, Request, chain_headers, content_type, encode_chain
from strongroom.errors import StrongroomError

OK: Final = 200
NOT_FOUND: Final = 404
GONE: Final = 410
GONE_ANSWER: Final = Answer(status=GONE)


class Backend(Protocol):
    """Answers requests. Several threads may call it at once."""

    def answer(self, request: Request) -> Answer | None:
        """Return the answer, None where there is none here; raise Unreachable where one may come later."""


class InOrder:
    """Asks several backends and takes the first answer; an error counts only where no later backend has an answer."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = tuple(backends)

    def answer(self, request: Request) -> Answer | None:
        """Return the first answer other than "gone"; raise the first error if nobody answers."""
        trouble: StrongroomError | None = None
        gone: Answer | None = None
        for backend in self._backends:
            try:
                found = backend.answer(request)
            except StrongroomError as problem:
                trouble = trouble or problem
                continue
            if found is not None and found.status == OK:
                return found
            gone = gone or found
        if trouble is not None:
            raise trouble
        return gone


def found(request: Request, body: bytes, *, chain: str | None = None) -> Answer:
    """Return a 200 answer with the media type of its kind and, where one belongs, the issuer chain (PEM)."""
    headers = {"Content-Type": media_type(request)}
    names = chain_headers(request.kind, request.version)
    if names and chain is not None:
        headers[names[0]] = encode_chain(chain)
    return Answer(status=OK, headers=headers, body=body)


def media_type(request: Request) -> str:
    """Return the media type of what a request asks for, in the encoding that it asks for."""
    if request.kind is Kind.ROOT_CRL:
        return "text/plain; charset=utf-8"  # hex digits, as PCCS sends them
    if request.kind is Kind.PCK_CRL and request.parameters.get("encoding") == "der":
        return content_type(Kind.CRL)
    return content_type(request.kind)


def crl_answer(request: Request, der: bytes, *, chain: str, pem: bytes | None = None) -> Answer:
    """Return a CRL in the encoding that was asked for; `pem`: as it was received, where it was."""
    if request.kind is Kind.ROOT_CRL:
        return found(request, der.hex().upper().encode("ascii"))
    if request.kind is Kind.PCK_CRL and request.parameters.get("encoding") != "der":
        return found(request, _pem(der) if pem is None else pem, chain=chain)
    return found(request, der, chain=chain)


def _pem(der: bytes) -> bytes:
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN X509 CRL-----\n{lines}\n-----END X509 CRL-----\n".encode("ascii")
