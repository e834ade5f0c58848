"""Who may do what in Redis: the users file (`aclfile`) of a job, one user a role. Pure.

Every right is bound to the keys it is for: a role may XADD to the stream, but not SET over it. Rights with several keys
(scripts) stand in selectors of their own, since Redis looks for one rule that allows all keys of a command; what a
script then does is judged command by command. Needs Redis 7.0 or newer. Source: spec `cluster-serving.md` section 11.7;
threats DP-04, AN-04.

What these rules cannot hold: whoever may XADD may also trim the stream with it and use up its ids, and may name any uri
and reply list; whoever may run our scripts may run others, with his own rights. docs/queue.md says what follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.clusterserving.names import BadJobName, Job
from strongroom.errors import BadInput

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CLIENT: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
SCRIPTS: Final = "+eval +evalsha +script|load"
# Nobody gets in as the default user: it is off and has no password. But Redis (7.0.15, say) replays the append-only
# file in its name, and drops every transaction there (scripts that write twice) that its rules would not allow.
DEFAULT_USER: Final = "user default off resetpass ~* &* +@all"
HELLO: Final = "+ping +hello +select|0 +time +client|setname"


class BadAccess(BadInput):
    """A user of Redis cannot be written into its users file."""

    code = "SR-QUEUE-ACCESS"
    fix = "Names of users and clients are letters, digits and hyphens; passwords come as SHA-256 in lower-case hex."


class Role(StrEnum):
    """What a user is for."""

    CLIENT = "client"
    WORKER = "worker"
    COMPAT = "compat"
    FRONTEND = "frontend"
    PROBE = "probe"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user: a role, the SHA-256 (hex) of its password, and for a client of its own the name before its uris.

    `client` "ann": the user reads and deletes only results whose uri begins with `ann/`, has reply lists and
    idempotency keys that begin so, and is called `cs-client-ann` unless `name` says otherwise.
    """

    role: Role
    password_sha256: str
    client: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Raises BadAccess."""
        if not _DIGEST.fullmatch(self.password_sha256):
            raise BadAccess(f"the password of {self.user} is not a SHA-256")
        if self.client is not None and (self.role is not Role.CLIENT or not _CLIENT.fullmatch(self.client)):
            raise BadAccess(f"{self.client[:64]!r} is no name of a client of its own")
        if not _USER.fullmatch(self.user):
            raise BadAccess(f"{self.user[:64]!r} is no name of a user")

    @property
    def user(self) -> str:
        """The name that Redis knows."""
        if self.name is not None:
            return self.name
        return user_name(self.role, self.client)


def user_name(role: Role, client: str | None = None) -> str:
    """Return what the user of a role is called."""
    return f"cs-{role}" if client is None else f"cs-{role}-{client}"


def acl_file(job: Job, users: Sequence[User]) -> str:
    """Return the users file of a Redis that serves one job; whoever is not named in it gets nowhere.

    Raises BadJobName for a name that would end a rule, BadAccess for two users of one name.
    """
    if len({each.user for each in users}) != len(users):
        raise BadAccess("two users have the same name")
    return "\n".join([DEFAULT_USER, *(acl_line(job, each) for each in users), ""])


def acl_line(job: Job, user: User) -> str:
    """Return one user's line. Raises BadJobName."""
    if set("()") & set(job.name):
        raise BadJobName(f"{job.name!r} cannot stand in access rules: parentheses end them")
    return f"user {user.user} {' '.join(acl_rules(job, user))}"


def acl_rules(job: Job, user: User) -> list[str]:
    """Return a user's rules as ACL SETUSER takes them, each selector as one."""
    start = ["reset", "on", f"#{user.password_sha256}", "resetchannels", "resetkeys", "-@all"]
    if user.role is Role.ADMIN:
        return [*start, "~*", "&*", "+@all"]
    return [*start, *HELLO.split(), *_RULES[user.role](job, user)]


def _of(keys: str, commands: str) -> str:
    return f"({keys} -@all {commands})"


def _client(job: Job, user: User) -> list[str]:
    own = "*" if user.client is None else f"{user.client}/*"
    idem, reply, result = f"cs-idem_{job.name}:{own}", f"{job.reply_prefix}{own}", f"{job.result_prefix}{own}"
    return [
        _of(f"%RW~{job.stream} %RW~{idem} %RW~{job.bytes}", SCRIPTS),  # ADMIT
        _of(f"%RW~{job.stream}", "+xadd +xlen"),
        _of(f"%RW~{idem}", "+hmget +hset +pexpire"),
        _of(f"%RW~{job.bytes}", "+get +set"),
        _of(f"%RW~{result}", f"+hgetall +hget +hmget +del +unlink +pexpire {SCRIPTS}"),  # TAKE
        _of(f"%RW~{reply}", "+blpop +lpop +unlink"),
        *_heartbeats(job),
    ]


def _heartbeats(job: Job) -> list[str]:
    return [_of(f"%R~{job.workers}", "+hgetall"), _of(f"%R~{job.worker('*')}", "+get +mget")]


def _frontend(job: Job, user: User) -> list[str]:
    return [*_client(job, user), _of(f"%R~{job.stream}", "+xinfo|groups +xpending")]


def _worker(job: Job, _: User) -> list[str]:
    results, replies = f"%RW~{job.result_prefix}*", f"%RW~{job.reply_prefix}*"
    return [
        _of(f"%RW~{job.stream} %RW~{job.bytes} {results} {replies} %RW~{job.dead}", SCRIPTS),  # COMPLETE
        _of(f"%RW~{job.stream}", "+xreadgroup +xautoclaim +xclaim +xack +xdel +xpending +xlen +xrange +xgroup|create "
            "+xgroup|delconsumer +xinfo|consumers +xinfo|groups"),
        _of(f"%RW~{job.bytes}", "+get +decrby"),
        _of(results, "+hset +del +pexpire"),
        _of(replies, "+rpush +ltrim +pexpire"),
        _of(f"%RW~{job.dead}", "+xadd +xlen +xrange +xdel"),
        _of(f"%RW~{job.worker('*')} %RW~{job.workers}", SCRIPTS),  # BEAT
        _of(f"%RW~{job.worker('*')}", "+set +get +mget +del"),
        _of(f"%RW~{job.workers}", "+hset +hdel +hgetall"),
    ]  # fmt: skip


def _compat(job: Job, _: User) -> list[str]:
    # SCAN and INFO have no keys to bind them to: they tell names and numbers of the whole Redis.
    return [
        "+scan", "+info",
        _of(f"%RW~{job.stream} %RW~{job.bytes}", SCRIPTS),  # ADMIT
        _of(f"%RW~{job.stream}", "+xadd +xlen"),
        _of(f"%RW~{job.bytes}", "+get +set"),
        _of(f"%RW~{job.result_prefix}*", "+hgetall +unlink"),
    ]  # fmt: skip


def _probe(job: Job, _: User) -> list[str]:
    return [
        _of(f"%R~{job.stream}", "+xlen +xpending +xinfo|groups +xinfo|consumers"),  # xinfo|stream shows whole records
        _of(f"%R~{job.bytes}", "+get"),
        _of(f"%R~{job.dead}", "+xlen"),
        *_heartbeats(job),
    ]


_RULES: Final = {
    Role.CLIENT: _client,
    Role.FRONTEND: _frontend,
    Role.WORKER: _worker,
    Role.COMPAT: _compat,
    Role.PROBE: _probe,
}
