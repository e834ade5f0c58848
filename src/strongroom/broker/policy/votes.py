"""An owner's signature under one change of one tenant's policy: what is signed, and whether it counts. Pure.

The transcript names its purpose, the tenant, the number of the proposed version, the new policy, the policy that it
replaces and the end of the vote, each with its length before it: no vote speaks for another change, and none can be
replayed once the policy has changed again, not even to the same texts (threat SA-09).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.broker.names import check_tenant
from strongroom.errors import BadInput, Refused
from strongroom.wire import strict_json
from strongroom.workspace.secret_store import BadSecretName

PURPOSE: Final = b"strongroom policy approval, version 1"
FORMAT: Final = "strongroom-policy-vote-1"
NOTHING: Final = "00" * 32  # the digest of the policy that a tenant without one has
DEFAULT_DAYS: Final = 7
MAX_DAYS: Final = 30
MAX_VOTE_BYTES: Final = 4096
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORDS: Final = {"format", "tenant", "version", "policy", "replaces", "expires", "signer", "signature"}
_LAST_VERSION: Final = 2**31 - 1
_LATEST: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


class VoteMalformed(BadInput):
    """A vote on a policy is not one."""

    code = "SR-VOTE"
    fix = "Write it with strongroom policy approve --key KEYFILE --out FILE."


class VoteRefused(Refused):
    """A vote does not count for this change of the policy."""

    code = "SR-VOTE-REFUSED"
    fix = "Let an owner that strongroom.toml names look at the change as it is now and sign it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """The one change that a vote is about. Digests are SHA-256 of the policies' bytes, in hex."""

    tenant: str
    version: int  # what was proposed has a number of its own, which is never given again
    policy: str
    replaces: str  # NOTHING where the tenant has no policy yet

    def __post_init__(self) -> None:
        """Hold the grammar. Raises VoteMalformed."""
        try:
            check_tenant(self.tenant)
        except BadSecretName as problem:
            raise VoteMalformed(problem.sentence) from None
        if not _DIGEST.fullmatch(self.policy) or not _DIGEST.fullmatch(self.replaces):
            raise VoteMalformed("a policy is not named by 64 hex digits")
        if not 1 <= self.version <= _LAST_VERSION:
            raise VoteMalformed(f"{self.version} is not the number of a version")

    def transcript(self, expires: int) -> bytes:
        """Return what is signed; `expires`: Unix seconds."""
        parts = (PURPOSE, self.tenant.encode(), self.version.to_bytes(8, "big"), bytes.fromhex(self.policy),
                 bytes.fromhex(self.replaces), expires.to_bytes(8, "big"))  # fmt: skip
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One signature; whether it holds is what `check` says."""

    ballot: Ballot
    expires: int  # Unix seconds
    signer: str
    signature: bytes

    def check(self, owners: Mapping[str, Ed25519PublicKey], *, at: datetime) -> None:
        """Raise VoteRefused unless an owner signed this and the vote is not over, nor meant to last too long."""
        owner = owners.get(self.signer)
        if owner is None:
            raise VoteRefused(f"{self.signer[:16]} is not the key of an owner of this workspace")
        try:
            owner.verify(self.signature, self.ballot.transcript(self.expires))
        except InvalidSignature:
            raise VoteRefused("the signature does not hold for this change") from None
        if not at.timestamp() < self.expires <= (at + timedelta(days=MAX_DAYS)).timestamp():
            raise VoteRefused(
                f"the vote counts until {_moment(self.expires)}, and now it is {_moment(int(at.timestamp()))}",
                fix=f"Sign again; a vote lasts {MAX_DAYS} days at most.",
            )

    def to_json(self) -> bytes:
        """Return the vote as a file."""
        shown = {
            "format": FORMAT, "tenant": self.ballot.tenant, "version": self.ballot.version,
            "policy": self.ballot.policy, "replaces": self.ballot.replaces, "expires": self.expires,
            "signer": self.signer, "signature": base64.b64encode(self.signature).decode("ascii"),
        }  # fmt: skip
        return json.dumps(shown, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a vote strictly. Raises VoteMalformed."""
        found = strict_json.loads(data, what="vote", error=VoteMalformed, max_bytes=MAX_VOTE_BYTES, max_depth=2)
        if not isinstance(found, dict) or set(found) != _WORDS or found["format"] != FORMAT:
            raise VoteMalformed(f"this is not a vote of the format {FORMAT}")
        texts = {word: _text(found, word) for word in ("tenant", "policy", "replaces", "signer", "signature")}
        expires, version = found["expires"], found["version"]
        if type(version) is not int:
            raise VoteMalformed("version is not a number")
        if type(expires) is not int or not 0 < expires <= _LATEST:
            raise VoteMalformed("expires is not a time in Unix seconds")
        if not _DIGEST.fullmatch(texts["signer"]):
            raise VoteMalformed("signer is not the id of a key")
        ballot = Ballot(
            tenant=texts["tenant"], version=version, policy=texts["policy"], replaces=texts["replaces"]
        )  # fmt: skip
        return cls(ballot=ballot, expires=expires, signer=texts["signer"], signature=_signature(texts["signature"]))


def sign(ballot: Ballot, key: Ed25519PrivateKey, *, at: datetime, days: int = DEFAULT_DAYS) -> Vote:
    """Return the vote of the owner who holds `key`; it counts for `days`, at most MAX_DAYS."""
    if not 1 <= days <= MAX_DAYS:
        raise VoteMalformed(f"a vote lasts 1 to {MAX_DAYS} days", fix=f"Give 1 to {MAX_DAYS} days.")
    expires = int((at + timedelta(days=days)).timestamp())
    return Vote(
        ballot=ballot, expires=expires, signer=key_id(key.public_key()), signature=key.sign(ballot.transcript(expires))
    )  # fmt: skip


def key_id(key: Ed25519PublicKey) -> str:
    """Return what an owner's key is known by: SHA-256 of its 32 bytes, hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def digest_of(policy: bytes) -> str:
    """Return what a policy is known by."""
    return hashlib.sha256(policy).hexdigest()


def _text(found: dict[str, Any], word: str) -> str:
    value = found[word]
    if not isinstance(value, str):
        raise VoteMalformed(f"{word} is not a text")
    return value


def _signature(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VoteMalformed("signature is not base64") from None
    if len(found) != 64 or base64.b64encode(found).decode("ascii") != text:
        raise VoteMalformed("signature is not 64 bytes in base64")
    return found


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(min(seconds, _LATEST), UTC):%Y-%m-%dT%H:%M:%SZ}"
