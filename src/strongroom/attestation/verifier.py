"""Verify many quotes: what was proved once is remembered, and nothing counts longer or further than it would alone.

A `Verifier` gives the verdicts and the refusals of `verify`, step for step. Three things are remembered, each under
everything it depends on: reference data under the collateral's text, a platform's chain under those and the SHA-256
of its certification data, and a quoting enclave's word for an attestation key under both and every byte of that
word. The anchors belong to the `Verifier` and cannot change. Signatures are remembered; times are not: every window
is asked again at each call, in the order of the steps. New collateral is a new key, so that a revocation acts at
once. Refusals are never remembered.

Pure, and safe to share between threads without a lock: a lost race costs one verification more.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final, Generic, TypeVar

from strongroom.attestation.anchors import Anchor
from strongroom.attestation.certification import CertificationType
from strongroom.attestation.collateral import Collateral, CollateralParts
from strongroom.attestation.isv_levels import IsvLevel
from strongroom.attestation.pck_source import PckSource, pck_source
from strongroom.attestation.quote import Quote, parse_quote
from strongroom.attestation.reference import Reference, check_collateral
from strongroom.attestation.steps import at_step
from strongroom.attestation.tcb import TcbResult, evaluate
from strongroom.attestation.td_report import TdReport
from strongroom.attestation.validity import NO_GRACE, require_zone
from strongroom.attestation.verdict import Verdict
from strongroom.attestation.verify import (
    TrustedPlatform,
    check_module,
    check_platform,
    check_quote,
    check_quote_signature,
    make_verdict,
)

DEFAULT_MAX_ENTRIES: Final = 1024  # of platforms, and of attestation keys; about 10 kB each
MAX_COLLATERALS: Final = 64
MAX_COLLATERAL_CHARACTERS: Final = 16 * 1024 * 1024  # of all that is remembered; one platform family's is about 20 kB
MAX_CHAIN_BYTES: Final = 16 * 1024  # of a chain that is remembered; genuine ones have about 4 kB
_STRINGS: Final = attrgetter(*Collateral.__dataclass_fields__)

V = TypeVar("V")
_PlatformKey = tuple[object, CertificationType, bytes]  # collateral, and how and where the quote names its chain


class Lru(Generic[V]):
    """The values used last: at most `max_entries`, which together weigh at most `max_weight`.

    Keys hash and compare in C, so that each step below is whole for other threads.
    """

    __slots__ = ("_max_entries", "_max_weight", "_values")

    def __init__(self, max_entries: int, max_weight: int | None = None) -> None:
        self._values: Final[OrderedDict[Hashable, tuple[V, int]]] = OrderedDict()
        self._max_entries: Final = max_entries
        self._max_weight: Final = max_weight

    def __len__(self) -> int:
        return len(self._values)

    @property
    def weight(self) -> int:
        """What all values together weigh."""
        return sum(weight for _, weight in list(self._values.values()))

    def get(self, key: Hashable) -> V | None:
        """Return a value and count it as used; None if it is not there."""
        try:
            value, _ = self._values[key]
            self._values.move_to_end(key)
        except KeyError:  # never there, or forgotten between these two lines
            return None
        return value

    def put(self, key: Hashable, value: V, weight: int = 0) -> None:
        """Remember a value and forget those used least lately; one that weighs too much is not remembered."""
        if self._max_entries < 1 or (self._max_weight is not None and weight > self._max_weight):
            return
        self._values[key] = (value, weight)
        while len(self) > self._max_entries or (self._max_weight is not None and self.weight > self._max_weight):
            try:
                self._values.popitem(last=False)
            except KeyError:  # another thread was faster
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Collateral that held once, as bytes and judged. The token stands for it in the keys of what rests on it."""

    token: object
    parts: CollateralParts
    ids: tuple[tuple[str, str], ...]
    reference: Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vouched:
    """What a quoting enclave's word for an attestation key came to; of SGX that decides the TCB as well."""

    qe_level: IsvLevel
    tcb: TcbResult | None  # None for TDX, where the rest of the quote has its say


class Verifier:
    """`verify` under anchors that stay the same, with a memory of bounded size.

    It holds at most `max_entries` platforms, no more collaterals than that, and `max_keys` attestation keys; 0 turns
    a memory off.
    """

    __slots__ = ("_anchors", "_collaterals", "_platforms", "_vouched")

    def __init__(
        self,
        anchors: Sequence[Anchor],
        *,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        max_keys: int = DEFAULT_MAX_ENTRIES,
    ) -> None:
        self._anchors: Final = tuple(anchors)
        self._collaterals: Final = Lru[_Known](min(max_entries, MAX_COLLATERALS), MAX_COLLATERAL_CHARACTERS)
        self._platforms: Final = Lru[TrustedPlatform](max_entries)
        self._vouched: Final = Lru[_Vouched](max_keys)

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The roots that evidence may end at."""
        return self._anchors

    def verify(
        self, evidence: bytes | Quote, collateral: Collateral, *, at: datetime, collateral_grace: timedelta = NO_GRACE
    ) -> Verdict:
        """Return what a quote proves at the time `at`; raise EvidenceRefused, as `verify` does and with its code.

        `evidence`: its bytes, or what `parse_quote` made of them.
        """
        require_zone(at)
        strings = _STRINGS(collateral)
        known = self._collaterals.get(strings)
        # 1. Structure of the quote, and what belongs to it.
        with at_step(1):
            quote = evidence if isinstance(evidence, Quote) else parse_quote(evidence)
            parts = known.parts if known else CollateralParts(collateral)
            source = pck_source(quote, chain=parts.text("pck_certificate_chain"), tcbm=parts.text("pck_tcbm"))
        # 2 to 7. Root, root CRL, TCB signer, TCB info, QE identity.
        if known:
            for window in known.reference.windows:
                window.require(at, collateral_grace)
        else:
            known = self._judge(parts, source, at, collateral_grace)
            self._collaterals.put(strings, known, sum(len(text) for text in strings if text is not None))
        # 8 to 13. PCK chain, its roles and dates, PCK CRL, revocation, SGX extension.
        chain_id = hashlib.sha256(quote.certification_data).digest()
        key = (known.token, quote.certification_type, chain_id)
        platform = self._platform(key, source, known, at, collateral_grace)
        # 14 to 21. What the quote says, under both.
        tcb = self._tcb(key, quote, platform, known.reference)
        return make_verdict(quote, platform, known.reference, tcb, collateral_ids=known.ids, at=at)

    def _judge(self, parts: CollateralParts, source: PckSource, at: datetime, grace: timedelta) -> _Known:
        reference = check_collateral(parts, anchors=self._anchors, at=at, grace=grace, pck_chain=source.chain)
        return _Known(token=object(), parts=parts, ids=parts.ids(), reference=reference)

    def _platform(
        self, key: _PlatformKey, source: PckSource, known: _Known, at: datetime, grace: timedelta
    ) -> TrustedPlatform:
        platform = self._platforms.get(key)
        if platform is not None:
            for window in platform.pck.windows:
                window.require(at, grace)
            return platform
        platform = check_platform(source, known.parts, known.reference, at=at, grace=grace)
        if len(source.text) <= MAX_CHAIN_BYTES:
            self._platforms.put(key, platform)
        return platform

    def _tcb(
        self, platform_key: _PlatformKey, quote: Quote, platform: TrustedPlatform, reference: Reference
    ) -> TcbResult:
        report = quote.body if isinstance(quote.body, TdReport) else None
        # All but the last are of one size, so that no two words join to the same bytes.
        word = (quote.qe_report_bytes, quote.qe_report_signature, quote.attestation_key, quote.qe_auth_data)
        key = (*platform_key, quote.tee, hashlib.sha256(b"".join(word)).digest())
        vouched = self._vouched.get(key)
        if vouched is None:
            tcb = check_quote(quote, platform, reference)
            qe_level = reference.qe_identity.level_of(quote.qe_report)
            self._vouched.put(key, _Vouched(qe_level=qe_level, tcb=tcb if report is None else None))
            return tcb
        # 14 and 16 to 19 hold by the key, and so does 21 for SGX.
        if report is not None:
            with at_step(15):
                check_module(report, reference.tcb_info)
        with at_step(20):
            check_quote_signature(quote)
        with at_step(21):
            return vouched.tcb or evaluate(platform.claims, reference.tcb_info, vouched.qe_level, report)
