"""Collateral files as a source of answers: a folder of nine-string files, or one, asked like a server.

World: the files named. So a folder filled by hand, by `strongroom sim collateral` or on another machine passes the same
checks, limits and memory of what was seen as an answer from the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom.attestation import Collateral, CollateralUnreadable, Tee
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.collateral.answering import SourceFailed
from strongroom.collateral.api import Answer, Kind, Request, chain_headers, encode_chain
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.wire import strict_json

MAX_FILES: Final = 256
_NAMES: Final = {("QE", Tee.SGX), ("TD_QE", Tee.TDX)}
_EARLY: Final = "-early"
_CHECK_PATH: Final = "Check the path and its permissions."
_IN_EDITIONS: Final = {Kind.TCB, Kind.QE_IDENTITY}
_CAS: Final = {"platform": b"PCK Platform CA", "processor": b"PCK Processor CA"}


class FileSource:
    """Reads the files anew for each request: there are few, and they may be replaced at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    def answer(self, request: Request) -> Answer:
        """Return the first file's part that fits the request; raise SourceFailed (status 404) where none does.

        Files named `-early` before `.json` answer for that update alone, as `strongroom pccs serve --folder` has it.
        """
        for path, collateral in self._files():
            found = _answer(collateral, request) if _is_of_edition(path, request) else None
            if found is not None:
                return found
        raise SourceFailed(
            f"{self.name} holds nothing for {request.path_and_query()[:160]}",
            fix="Put the collateral of that platform there: strongroom collateral fetch --out (or sim collateral).",
            status=404,
        )

    def requests(self) -> Iterator[Request]:
        """Yield the requests that the newest of the files answers."""
        for path, held in self._files():
            tee = Tee.TDX if _member(held.tcb_info, "id") == Tee.TDX else Tee.SGX
            edition = {"update": "early"} if path.stem.endswith(_EARLY) else {}
            parameters = {"fmspc": _member(held.tcb_info, "fmspc") or "", **edition}
            ca = "processor" if _CAS["processor"] in _bytes(held.pck_crl) else "platform"
            yield Request(kind=Kind.ROOT_CRL)
            yield Request(kind=Kind.PCK_CRL, parameters={"ca": ca})
            yield Request(kind=Kind.TCB, tee=tee, parameters=parameters)
            yield Request(kind=Kind.QE_IDENTITY, tee=tee, parameters=edition)
            return

    def _files(self) -> Iterator[tuple[Path, Collateral]]:
        """Yield paths and readable collateral, the newest file first."""
        try:
            paths = [self._path] if self._path.is_file() else [p for p in self._path.iterdir() if p.suffix == ".json"]
            paths.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        except OSError as problem:
            raise SourceFailed(f"{self.name} cannot be read: {problem.strerror}", fix=_CHECK_PATH) from None
        if len(paths) > MAX_FILES:
            raise SourceFailed(f"{self.name} holds {len(paths)} files, at most {MAX_FILES} are read")
        for path in paths:
            try:
                yield path, Collateral.from_json(disk.read_bounded(path, limit=MAX_COLLATERAL_FILE_BYTES))
            except OSError as problem:
                raise SourceFailed(f"{path} cannot be read: {problem.strerror}", fix=_CHECK_PATH) from None
            except CollateralUnreadable as problem:
                raise SourceFailed(f"{path}: {problem.sentence}", fix=problem.fix) from None


def _is_of_edition(path: Path, request: Request) -> bool:
    """Whether a file is for the update that is asked for: taken for another, it would look like a rollback later."""
    if request.kind not in _IN_EDITIONS or "tcbEvaluationDataNumber" in request.parameters:
        return True
    return path.stem.endswith(_EARLY) == (request.parameters.get("update") == "early")


def _answer(held: Collateral, request: Request) -> Answer | None:
    if request.kind is Kind.TCB and _is_tcb_info(held, request):
        return _signed("tcbInfo", held.tcb_info, held.tcb_info_signature, held.tcb_info_issuer_chain, request)
    if request.kind is Kind.QE_IDENTITY and (_member(held.qe_identity, "id"), request.tee) in _NAMES:
        return _signed(
            "enclaveIdentity", held.qe_identity, held.qe_identity_signature, held.qe_identity_issuer_chain, request
        )
    if request.kind is Kind.ROOT_CRL:
        return Answer(status=200, body=held.root_ca_crl.encode("utf-8", "replace"))
    if request.kind is Kind.PCK_CRL and _CAS[request.parameters["ca"]] in _bytes(held.pck_crl):
        headers = {chain_headers(request.kind, 4)[0]: encode_chain(held.pck_crl_issuer_chain)}
        return Answer(status=200, headers=headers, body=held.pck_crl.encode("utf-8", "replace"))
    return None


def _is_tcb_info(held: Collateral, request: Request) -> bool:
    seen = (_member(held.tcb_info, "id") or Tee.SGX.value, (_member(held.tcb_info, "fmspc") or "").upper())
    return seen == (request.tee.value, request.parameters["fmspc"])


def _signed(name: str, text: str, signature: str, chain: str, request: Request) -> Answer:
    body = f'{{"{name}":{text},"signature":"{signature}"}}'.encode("utf-8", "replace")
    headers = {chain_headers(request.kind, request.version)[0]: encode_chain(chain)}
    return Answer(status=200, headers=headers, body=body)


def _member(text: str, name: str) -> str | None:
    try:
        value = strict_json.loads(text)
    except BadInput:
        return None
    member = value.get(name) if isinstance(value, dict) else None
    return member if isinstance(member, str) else None


def _bytes(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""
