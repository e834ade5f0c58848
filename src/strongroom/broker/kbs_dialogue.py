"""A client's end of the KBS dialogue: what to send next, and what an answer has to be. Pure but for its key.

One session, one key. Where the broker answers our offer, deployment, purpose, paths and the broker's own key are under
the quote too; without an answer a client that requires it stops before it has shown any evidence (FB-06, FB-20).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.broker import kbs
from strongroom.broker.kbs_evidence import evidence_of
from strongroom.errors import Refused, Tampered
from strongroom.pki.jose import RecipientKey, open_sealed
from strongroom.secret import Secret
from strongroom.wire import strict_json

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_CHALLENGE_BYTES: Final = 16 * 1024
MAX_LEASE_SECONDS: Final = 7 * 24 * 3600
_LEASE: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


class KbsAnswerMalformed(Tampered):
    """A key broker's answer is not what KBS 0.4.0 describes, or not the answer to what was asked."""

    code = "SR-KBS-ANSWER"
    fix = "Check that the address is a KBS of version 0.4.0 and that nothing between rewrites answers, then try again."


class KbsDowngraded(Refused):
    """The broker did not agree to bind deployment and purpose, or is of another deployment than was named."""

    code = "SR-KBS-DOWNGRADE"
    fix = "Ask a Strongroom broker of your deployment. If you do, somebody between removes our offer or relays it."


@dataclass(frozen=True, slots=True)
class Obtained:
    """A secret, and for how long; whoever takes it wipes it. No lease where the broker named none."""

    secret: Secret
    lease_id: str | None
    lease_seconds: int | None


class Dialogue:
    """One session; call the methods in their order."""

    def __init__(
        self, tee: str, path: str, *, kbs_key: str, deployment: str | None = None, lease_id: str | None = None,
        others: Sequence[str] = (), binding_required: bool = True,
    ) -> None:  # fmt: skip
        """`path`: TENANT/TYPE/TAG. `kbs_key`: SHA-256 of the broker's TLS key as this connection showed it, hex.

        `deployment`: refuse every other one; None takes the one that the broker names. `others`: further paths that
        this session may be used for.
        """
        self._tee = tee
        self._path = path
        self._paths = (path, *others)
        self._kbs_key = kbs_key
        self._deployment = deployment
        self._lease_id = lease_id
        self._required = binding_required
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._public = RecipientKey.of(self._key.public_key())
        self._nonce = ""
        self._bound: kbs.Bound | None = None

    def request(self) -> bytes:
        """Return the body of the first request."""
        return kbs.auth_request(self._tee)

    def challenged(self, body: bytes) -> bytes:
        """Take the challenge and return the report data to be quoted. Raises KbsAnswerMalformed or KbsDowngraded."""
        members = _object(body, "the challenge", MAX_CHALLENGE_BYTES)
        nonce, extra = members.get("nonce"), members.get("extra-params")
        if not isinstance(nonce, str) or not isinstance(extra, str | dict):
            raise KbsAnswerMalformed("the challenge has no nonce, or no extra-params")
        try:
            kbs.check_nonce(nonce)
        except kbs.KbsMessageMalformed as problem:
            raise KbsAnswerMalformed(f"the challenge: {problem.sentence}") from None
        self._nonce = nonce
        self._bound = self._binding(extra if isinstance(extra, dict) else {})
        return kbs.report_data_of(self._public, nonce, self._bound)

    def attestation(self, quote: bytes) -> bytes:
        """Return the body of the second request, with a quote over the report data."""
        _, evidence = evidence_of(quote)
        return kbs.attestation(self._nonce, self._public, self._bound, evidence)

    def opened(self, body: bytes) -> Obtained:
        """Return what the broker sealed to our key. Raises JweMalformed or KbsAnswerMalformed."""
        opened = open_sealed(self._key, body)
        lease: tuple[str | None, int | None] = (None, None)
        if self._bound is not None:
            try:
                lease = self._lease(opened.header.get("sr"))
            except KbsAnswerMalformed:
                opened.secret.wipe()
                raise
        return Obtained(opened.secret, *lease)

    def _binding(self, extra: dict[str, Any]) -> kbs.Bound | None:
        if extra.get("selected-hash-algorithm", "sha384") != "sha384":
            raise KbsAnswerMalformed("the challenge wants another hash than SHA-384")
        answer = extra.get(kbs.EXTENSION)
        if answer is None:
            if self._required:
                raise KbsDowngraded("the broker does not bind deployment and purpose")
            return None
        if not isinstance(answer, dict) or type(answer.get("v")) is not int or answer["v"] != kbs.EXTENSION_VERSION:
            raise KbsAnswerMalformed("the challenge answers our offer with something else than version 1")
        named, required = answer.get("deployment"), answer.get("require")
        if not isinstance(named, str) or len(named) > kbs.MAX_TEXT or required != list(kbs.REQUIRED):
            raise KbsAnswerMalformed("the challenge names no deployment, or requires what we do not know")
        if self._deployment not in (None, named):
            raise KbsDowngraded(f"the broker is of the deployment {named[:80]!r}, not {str(self._deployment)[:80]!r}")
        return kbs.Bound(
            deployment=named, purpose=kbs.PURPOSE, paths=self._paths, kbs=self._kbs_key, lease_id=self._lease_id
        )

    def _lease(self, said: object) -> tuple[str, int]:
        if not isinstance(said, dict) or said.get("path") != self._path:
            raise KbsAnswerMalformed("the envelope is not the answer for what was asked")
        lease, seconds = said.get("lease"), said.get("lease_seconds")
        if not isinstance(lease, str) or not _LEASE.fullmatch(lease):
            raise KbsAnswerMalformed("the envelope names no lease")
        if type(seconds) is not int or not 0 < seconds <= MAX_LEASE_SECONDS:
            raise KbsAnswerMalformed("the envelope does not say how long its lease is")
        return lease, seconds


def check_token_answer(body: bytes) -> None:
    """Raise KbsAnswerMalformed unless the answer to an attestation brings a token, which we do not need."""
    if not isinstance(_object(body, "the answer", MAX_ANSWER_BYTES).get("token"), str):
        raise KbsAnswerMalformed("the answer to the attestation has no token")


def is_kbs_error(body: bytes) -> bool:
    """Return whether a refusal's body is the JSON that a KBS refuses with."""
    try:
        members = _object(body, "the refusal", MAX_CHALLENGE_BYTES)
    except KbsAnswerMalformed:
        return False
    return isinstance(members.get("type"), str) and isinstance(members.get("detail"), str)


def _object(body: bytes, what: str, longest: int) -> dict[str, Any]:
    value = strict_json.loads(body, what=what, error=KbsAnswerMalformed, max_bytes=longest, max_depth=kbs.MAX_DEPTH)
    if not isinstance(value, dict):
        raise KbsAnswerMalformed(f"{what} is not a JSON object")
    return value
