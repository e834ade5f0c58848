"""Serve collateral in the nine-string shape: from a folder of files, or fresh from whoever makes it.

World: files; a maker is asked again when what it made has had its time. `<FMSPC>.json` and `<FMSPC>-tdx.json` hold what
strongroom and dcap-qvl write;`-early` before `.json` marks collateral for `update=early`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from strongroom.attestation import Collateral
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.collateral.api import Answer, Request
from strongroom.collateral.pccs.crls import CrlUnusable, read_crl, root_crl_urls
from strongroom.collateral.pccs.pck_certificates import PckCertificate, leaf_and_chain
from strongroom.collateral.pccs.shelf import Document, Edition, Shelf
from strongroom.collateral.pccs.watched import FolderUnusable, Watched
from strongroom.errors import BadInput
from strongroom.pki.disk import read_bounded

MADE_FOR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Everything to be served at a moment. `early`: which of the collateral is for `update=early`."""

    standard: tuple[Collateral, ...] = ()
    early: tuple[Collateral, ...] = ()
    documents: tuple[Document, ...] = ()
    certificates: tuple[PckCertificate, ...] = ()
    platforms: bytes | None = None  # the body of `fmspcs`


class Files(Watched):
    """A Backend over a folder of collateral files. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _read_files)


class Made:
    """A Backend over collateral that is made when it is asked for, and again after an hour. Threads may share it."""

    def __init__(
        self, make: Callable[[datetime], Stock], *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._make, self._clock = make, clock
        self._lock = threading.Lock()
        self._shelf: Shelf | None = None
        self._made = clock()

    def answer(self, request: Request) -> Answer | None:
        """Return the answer from fresh collateral."""
        with self._lock:
            now = self._clock()
            if self._shelf is None or not timedelta(0) <= now - self._made < MADE_FOR:
                self._shelf, self._made = shelve(self._make(now)), now
            shelf = self._shelf
        return shelf.answer(request)


def shelve(stock: Stock) -> Shelf:
    """Return a shelf with every part of a stock; raise a BadInput for a part that is unfit."""
    both = (*stock.standard, *stock.early)
    documents = [*stock.documents]
    for edition, group in ((Edition.STANDARD, stock.standard), (Edition.EARLY, stock.early)):
        for collateral in group:
            documents += _documents(collateral, edition)
    chains = [each.pck_crl_issuer_chain for each in both]
    return Shelf(
        documents=documents,
        crls=[crl for each in both for crl in (
            read_crl(_unhex(each.root_ca_crl), ""), read_crl(_unhex(each.pck_crl), each.pck_crl_issuer_chain)
        )],
        certificates=[*stock.certificates, *_certificates(both)],
        platforms=stock.platforms,
        root_crl_urls=root_crl_urls(chains),
    )  # fmt: skip


def _documents(collateral: Collateral, edition: Edition) -> Iterator[Document]:
    """Yield TCB info and QE identity, put together from text and signature as they were taken apart."""
    for member, text, signature, chain in (
        ("tcbInfo", collateral.tcb_info, collateral.tcb_info_signature, collateral.tcb_info_issuer_chain),
        ("enclaveIdentity", collateral.qe_identity, collateral.qe_identity_signature,
         collateral.qe_identity_issuer_chain),
    ):  # fmt: skip
        body = f'{{"{member}":{text},"signature":"{_unhex(signature).hex()}"}}'
        yield Document.read(body.encode(), chain, edition=edition)


def _certificates(collateral: Iterable[Collateral]) -> Iterator[PckCertificate]:
    for each in collateral:
        if each.pck_certificate_chain is not None:
            yield PckCertificate.read(*leaf_and_chain(each.pck_certificate_chain))


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise CrlUnusable("a CRL or signature is not hex") from None


def _read_files(paths: Sequence[Path]) -> Shelf:
    groups: dict[bool, list[Collateral]] = {False: [], True: []}
    for path in paths:
        try:
            collateral = Collateral.from_json(read_bounded(path, limit=MAX_COLLATERAL_FILE_BYTES))
            shelve(Stock(standard=(collateral,)))  # names the file that is not fit to be served
        except BadInput as problem:
            raise FolderUnusable(f"{path}: {problem.sentence}") from None
        groups[path.stem.endswith("-early")].append(collateral)
    return shelve(Stock(standard=tuple(groups[False]), early=tuple(groups[True])))
