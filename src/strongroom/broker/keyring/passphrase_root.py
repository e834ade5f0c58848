"""The root key in a file that a passphrase opens: scrypt (RFC 7914) makes the key that wraps it.

World: none; the file's bytes come from and go to the caller. The parameters are in the file and are bounded before any
memory is taken for them: whoever can change the file can make it useless, but neither weak nor a burden.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from strongroom.broker.keyring import envelope
from strongroom.broker.keyring.root_key import ROOT_KEY_BYTES, LocalRoot, RootUnusable
from strongroom.errors import BadInput, Refused
from strongroom.secret import Secret
from strongroom.wire import strict_json

KIND = "passphrase"
FORMAT: Final = "strongroom root key under a passphrase 1"
MAX_FILE_BYTES: Final = 2048
SALT_BYTES: Final = 16
MIN_PASSPHRASE_BYTES: Final = 12
MAX_PASSPHRASE_BYTES: Final = 1024
MAX_MEMORY_BYTES: Final = 512 * 1024 * 1024
_WORDS: Final = frozenset({"format", "id", "n", "r", "p", "salt", "wrapped"})
_ID: Final = re.compile(r"local-[0-9a-f]{16}", re.ASCII)
_SALT: Final = re.compile(rf"[0-9a-f]{{{2 * SALT_BYTES}}}", re.ASCII)
_WRAPPED: Final = re.compile(rf"[0-9a-f]{{{2 * (envelope.OVERHEAD_BYTES + ROOT_KEY_BYTES)}}}", re.ASCII)


class WrongPassphrase(Refused):
    """The passphrase does not open the root key, or its file was changed; the two cannot be told apart."""

    code = "SR-PASSPHRASE"
    fix = "Type the passphrase again, or bring the root key back with strongroom key recover."


class PassphraseNeeded(Refused):
    """The root key is under a passphrase, and none was given."""

    code = "SR-PASSPHRASE-NEEDED"
    fix = "Give --passphrase-file FILE (0600), or run the command on a terminal."
    new = False  # whether it is the passphrase of a key that is to be made


class NewPassphraseNeeded(PassphraseNeeded):
    """A new root key is to be under a passphrase, and none was given."""

    code = "SR-PASSPHRASE-NEW"
    new = True


class PassphraseBeside(Refused):
    """The file of a passphrase, or recovery shares, would lie beside what they open, and be copied with it."""

    code = "SR-PASSPHRASE-BESIDE"
    fix = "Keep it outside of the workspace, best on another medium."


class PassphrasesDiffer(BadInput):
    """A new passphrase was not typed the same way twice."""

    code = "SR-PASSPHRASES-DIFFER"
    fix = "Run the command again."


class WeakPassphrase(Refused):
    """A new passphrase is too easy to try out: wanted are 12 to 1024 bytes that are not all the same."""

    code = "SR-PASSPHRASE-WEAK"
    fix = "Take five or more random words."


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """The parameters of RFC 7914; memory is 128 * n * r bytes."""

    n: int = 2**17
    r: int = 8
    p: int = 1

    def check(self) -> None:
        """Raise `RootUnusable` for parameters that are weak or take more than 512 MiB."""
        if not (2**14 <= self.n <= 2**22 and self.n & (self.n - 1) == 0 and 8 <= self.r <= 32 and 1 <= self.p <= 8):
            raise RootUnusable(f"scrypt with n={self.n}, r={self.r}, p={self.p} is not within the limits")
        if 128 * self.n * self.r > MAX_MEMORY_BYTES:
            raise RootUnusable(f"scrypt with n={self.n}, r={self.r} takes more than {MAX_MEMORY_BYTES >> 20} MiB")


@dataclass(frozen=True, slots=True)
class PassphraseFile:
    """What the file holds; nothing in it is secret but for who guesses the passphrase."""

    id: str
    cost: ScryptCost
    salt: bytes
    wrapped: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the file. Raises RootUnusable."""
        words = strict_json.loads(data, what="the root key's file", error=RootUnusable, max_bytes=MAX_FILE_BYTES)
        if not isinstance(words, dict) or words.keys() != _WORDS or words["format"] != FORMAT:
            raise RootUnusable("the root key's file is not one that a passphrase opens")
        costs = [words[name] for name in ("n", "r", "p")]
        texts = [words[name] for name in ("id", "salt", "wrapped")]
        if not all(type(cost) is int for cost in costs) or not all(isinstance(text, str) for text in texts):
            raise RootUnusable("the root key's file holds a value of the wrong type")
        if not _ID.fullmatch(texts[0]) or not _SALT.fullmatch(texts[1]) or not _WRAPPED.fullmatch(texts[2]):
            raise RootUnusable("the root key's file holds a value of the wrong form")
        cost = ScryptCost(*costs)
        cost.check()
        return cls(texts[0], cost, bytes.fromhex(texts[1]), bytes.fromhex(texts[2]))

    def render(self) -> bytes:
        """Return the file."""
        words = {
            "format": FORMAT, "id": self.id, "n": self.cost.n, "r": self.cost.r, "p": self.cost.p,
            "salt": self.salt.hex(), "wrapped": self.wrapped.hex(),
        }  # fmt: skip
        return json.dumps(words, indent=1).encode() + b"\n"

    def open(self, passphrase: Secret) -> LocalRoot:
        """Return the root key. Raises WrongPassphrase."""
        try:
            key = envelope.unwrap(_stretched(passphrase, self.salt, self.cost), self.wrapped, _context(self.id))
            root = LocalRoot(key, "file under a passphrase")
        except (envelope.EnvelopeTampered, RootUnusable):
            raise WrongPassphrase("the passphrase does not open the root key") from None
        if root.id != self.id:
            raise WrongPassphrase("the passphrase does not open the root key")
        return root


def protect(key: Secret, passphrase: Secret, *, cost: ScryptCost | None = None) -> PassphraseFile:
    """Wrap a root key under a new passphrase. Raises WeakPassphrase."""
    check_new(passphrase)
    cost = cost or ScryptCost()
    cost.check()
    salt = secrets.token_bytes(SALT_BYTES)
    root = LocalRoot(key, "a new root key")
    nonce = secrets.token_bytes(envelope.NONCE_BYTES)
    wrapped = envelope.wrap(_stretched(passphrase, salt, cost), key, _context(root.id), nonce=nonce)
    return PassphraseFile(root.id, cost, salt, wrapped)


def check_new(passphrase: Secret) -> None:
    """Raise `WeakPassphrase` unless this may become a passphrase."""
    with passphrase.reveal() as raw:
        if not MIN_PASSPHRASE_BYTES <= len(raw) <= MAX_PASSPHRASE_BYTES or len(set(raw)) < 5:
            raise WeakPassphrase(
                f"a passphrase has {MIN_PASSPHRASE_BYTES} to {MAX_PASSPHRASE_BYTES} bytes, this does not"
            )


def passphrase_of(content: Secret) -> Secret:
    """Return the passphrase in a file's content: its one line, without the line's end."""
    with content.reveal() as raw:
        line = raw.removesuffix(b"\n").removesuffix(b"\r")
        if not line or b"\n" in line or b"\0" in line:
            raise WeakPassphrase("the file of the passphrase does not hold exactly one line")
        return Secret(line)


def _stretched(passphrase: Secret, salt: bytes, cost: ScryptCost) -> Secret:
    if len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise WrongPassphrase("the passphrase does not open the root key")
    with passphrase.reveal() as raw:
        return Secret(Scrypt(salt=salt, length=envelope.KEY_BYTES, n=cost.n, r=cost.r, p=cost.p).derive(raw))


def _context(root_id: str) -> bytes:
    return envelope.Context(purpose="root-key", name=root_id).encode()
