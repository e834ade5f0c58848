"""How the parts log in to Redis: a random password for each client, and what Redis keeps of it. Pure.

Redis asks for a client certificate and a password: certificates say that somebody is a part of this queue, the user
says which one, and so what it may do. Redis' own file holds SHA-256 values, as its ACL has them; 192 random bits
need no slower function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom.pki.authority import Role
from strongroom.pki.keystores.issuing import Made
from strongroom.pki.keystores.parts import REDIS, Part
from strongroom.secret import Secret

FILE: Final = "redis.password"
DIGESTS: Final = "redis.logins"


def users(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts that log in to Redis: its clients, and not who hands jobs to Flink."""
    return tuple(each for each in parts if each.role is Role.CLIENT and not each.apart)


def added(made: Mapping[str, Made], passwords: Mapping[str, Secret]) -> dict[str, Made]:
    """Return the parts' files with the clients' passwords, and with what Redis knows of them."""
    found = dict(made)
    for name, password in passwords.items():
        found[name] = Made(made[name].public, {**made[name].private, FILE: password})
    if REDIS in made:
        redis = made[REDIS]
        found[REDIS] = Made(redis.public, {**redis.private, DIGESTS: Secret(_digests(passwords))})
    return found


def _digests(passwords: Mapping[str, Secret]) -> bytes:
    rows = {}
    for name, password in sorted(passwords.items()):
        with password.reveal() as raw:
            rows[name] = hashlib.sha256(raw).hexdigest()
    return json.dumps(rows, indent=1).encode() + b"\n"
