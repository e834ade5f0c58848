"""The one table of operations: routes, OpenAPI document, remote client and checks of arguments are made from it.

Pure. An operation has the name of the method of `Administration` that it runs, and its arguments are that method's
keyword arguments: in the path where the path names them, else in the query (GET) or in a JSON body (POST).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final

from strongroom.broker.admin.roles import Role

MAX_TEXT_CHARS: Final = 512
MAX_REASON_CHARS: Final = 400
MAX_LINES: Final = 500
MAX_SECRET_BYTES: Final = 64 * 1024
MAX_POLICY_CHARS: Final = 1024 * 1024
MAX_VOTE_CHARS: Final = 4096
MAX_PEM_CHARS: Final = 64 * 1024
MAX_NUMBER: Final = 2**63 - 1
PREFIX: Final = "/v1"


class Kind(StrEnum):
    """What an argument is."""

    TEXT = "text"
    NUMBER = "number"
    SECRET = "secret"  # noqa: S105  # bytes, as base64 in a JSON body; a Secret everywhere else


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument: its kind and its bounds."""

    name: str
    about: str
    kind: Kind = Kind.TEXT
    required: bool = True
    pattern: str | None = None  # for the whole text; without possessive groups, read alike by Python and ECMAScript
    most: int = MAX_TEXT_CHARS  # characters of a text, bytes of a secret, the value of a number
    least: int = 1
    choices: tuple[str, ...] = ()
    form: str = ""  # the pattern in words


@dataclass(frozen=True)
class Operation:
    """One line of the table."""

    name: str
    method: str  # GET reads, POST changes
    path: str
    summary: str
    parameters: tuple[Parameter, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        """The parameters by their names."""
        return MappingProxyType({each.name: each for each in self.parameters})

    def in_path(self, parameter: Parameter) -> bool:
        """Return whether the path holds this parameter."""
        return f"{{{parameter.name}}}" in self.path


_TENANT_NAME: Final = "[a-z0-9][a-z0-9-]{0,62}"
_TENANT_FORM: Final = "lower-case letters, digits and dashes, at most 63"
_HEX_64: Final = "[0-9a-f]{64}"
_ID: Final = "[A-Za-z0-9_-]{1,128}"

TENANT: Final = Parameter(name="tenant", about="the tenant", pattern=_TENANT_NAME, form=_TENANT_FORM)
ANY_TENANT: Final = Parameter(
    name="tenant", about="the tenant; * for all", pattern=rf"\*|{_TENANT_NAME}", form=_TENANT_FORM
)
ONE_TENANT: Final = Parameter(
    name="tenant", about="only this tenant's", pattern=_TENANT_NAME, required=False, form=_TENANT_FORM
)
KEY: Final = Parameter(name="name", about="model/NAME/VERSION, secret/NAME, tls/NAME or password/NAME", most=256)
VALUE: Final = Parameter(name="value", about="the secret's bytes", kind=Kind.SECRET, most=MAX_SECRET_BYTES)
VERSION: Final = Parameter(name="version", about="the version", kind=Kind.NUMBER, most=MAX_NUMBER)
EXPECTED: Final = Parameter(
    name="expected", about="the newest version as the caller last saw it, 0 for none: a retry then changes nothing",
    kind=Kind.NUMBER, least=0, most=MAX_NUMBER,
)  # fmt: skip
ONE_VERSION: Final = Parameter(name="version", about="default: the one in force", kind=Kind.NUMBER, required=False,
                               most=MAX_NUMBER)  # fmt: skip
REASON: Final = Parameter(name="reason", about="why, for the ledger", most=MAX_REASON_CHARS)
FINGERPRINT: Final = Parameter(name="fingerprint", about="SHA-256 of the certificate, hex", pattern=_HEX_64)
MODEL: Final = Parameter(name="model", about="the model's name", pattern="[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LEASE: Final = Parameter(name="lease", about="the lease's id", pattern=_ID)
REVOCATION: Final = Parameter(name="revocation", about="the revocation's id", pattern=_ID)
POLICY_TEXT: Final = Parameter(name="text", about="the policy, TOML", most=MAX_POLICY_CHARS, least=0)
BEFORE: Final = Parameter(name="before", about="only lines before this number", kind=Kind.NUMBER, required=False,
                          most=MAX_NUMBER, least=0)  # fmt: skip
LIMIT: Final = Parameter(name="limit", about="at most so many (default: 100)", kind=Kind.NUMBER, required=False,
                         most=MAX_LINES)  # fmt: skip
REVOCATION_KINDS: Final = ("measurement", "signer", "platform", "fmspc", "pck", "secret", "model")
_T: Final = "/v1/tenants/{tenant}"


def _number(name: str, about: str, *, least: int = 0) -> Parameter:
    return Parameter(name=name, about=about, kind=Kind.NUMBER, least=least, most=MAX_NUMBER)


_TABLE: Final = (
    Operation("whoami", "GET", "/v1/whoami", "say whom the certificate identifies, in which role"),
    Operation("status", "GET", "/v1/status", "say what the broker stands on and how much there is"),
    Operation("create_login", "POST", "/v1/logins", "make a token that opens the console once"),
    Operation("list_tenants", "GET", "/v1/tenants", "list the tenants"),
    Operation("create_tenant", "POST", "/v1/tenants", "make a tenant", (TENANT,)),
    Operation("suspend_tenant", "POST", f"{_T}/suspend", "release nothing to a tenant's replicas", (TENANT,)),
    Operation("resume_tenant", "POST", f"{_T}/resume", "release to a suspended tenant's replicas again", (TENANT,)),
    Operation("list_admins", "GET", "/v1/admins", "list who may administer"),
    Operation(
        "add_admin", "POST", "/v1/admins", "register a person's client certificate",
        (
            Parameter(name="name", about="the person", pattern="[A-Za-z0-9][A-Za-z0-9.@_-]{0,127}"),
            Parameter(name="role", about="the role", choices=tuple(role.value for role in Role)),
            ANY_TENANT,
            Parameter(name="certificate", about="the certificate, PEM", most=MAX_PEM_CHARS),
        ),
    ),
    Operation("suspend_admin", "POST", "/v1/admins/{fingerprint}/suspend", "refuse a certificate", (FINGERPRINT,)),
    Operation("resume_admin", "POST", "/v1/admins/{fingerprint}/resume", "take it again", (FINGERPRINT,)),
    Operation("remove_admin", "POST", "/v1/admins/{fingerprint}/remove", "refuse it for ever", (FINGERPRINT,)),
    Operation("list_keys", "GET", f"{_T}/keys", "list a tenant's secrets, without their values", (TENANT,)),
    Operation("put_key", "POST", f"{_T}/keys", "keep a secret that was made elsewhere", (TENANT, KEY, VALUE, EXPECTED)),
    Operation("create_key", "POST", f"{_T}/keys/create", "make a secret that nobody has seen", (TENANT, KEY)),
    Operation("rotate_key", "POST", f"{_T}/keys/rotate", "make a new version of a secret", (TENANT, KEY, EXPECTED)),
    Operation("retire_key", "POST", f"{_T}/keys/retire", "release a version no more", (TENANT, KEY, VERSION)),
    Operation("destroy_key", "POST", f"{_T}/keys/destroy", "erase a version for ever", (TENANT, KEY, VERSION)),
    Operation("rewrap_keys", "POST", f"{_T}/keys/rewrap", "give a tenant a new key, all its secrets under it",
              (TENANT,)),
    Operation("list_leases", "GET", "/v1/leases", "list the live leases", (ONE_TENANT,)),
    Operation("end_lease", "POST", "/v1/leases/{lease}/end", "end a lease", (LEASE, REASON)),
    Operation("list_revocations", "GET", "/v1/revocations", "list what is revoked", (ONE_TENANT,)),
    Operation(
        "add_revocation", "POST", "/v1/revocations", "revoke, and end the leases that it touches",
        (
            ANY_TENANT,
            Parameter(name="kind", about="what is revoked", choices=REVOCATION_KINDS),
            Parameter(name="value", about="which of its kind", most=256),
            REASON,
        ),
    ),
    Operation("lift_revocation", "POST", "/v1/revocations/{revocation}/lift", "take a revocation back",
              (REVOCATION, REASON)),
    Operation("list_floors", "GET", "/v1/floors", "list the models' floors", (ONE_TENANT,)),
    Operation("raise_floor", "POST", f"{_T}/floors", "release no version of a model below this one any more",
              (TENANT, MODEL, VERSION)),
    Operation("show_policy", "GET", f"{_T}/policy", "show a version of a tenant's policy", (TENANT, ONE_VERSION)),
    Operation("policy_history", "GET", f"{_T}/policy/history", "list the versions, newest first", (TENANT,)),
    Operation("diff_policy", "GET", f"{_T}/policy/diff", "say what a version newly admits and refuses",
              (TENANT, ONE_VERSION)),
    Operation("put_policy", "POST", f"{_T}/policy", "put a policy in force, or propose it where owners have to agree",
              (TENANT, POLICY_TEXT)),
    Operation("policy_ballot", "GET", f"{_T}/policy/ballot", "give what an owner signs to agree to a proposed policy",
              (TENANT, VERSION)),
    Operation("approve_policy", "POST", f"{_T}/policy/approve", "count an owner's signed vote for a proposed policy",
              (TENANT, VERSION, Parameter(name="vote", about="the vote, as strongroom policy approve writes it",
                                          most=MAX_VOTE_CHARS))),
    Operation("withdraw_policy", "POST", f"{_T}/policy/withdraw", "drop a proposed policy", (TENANT, VERSION)),
    Operation("list_decisions", "GET", "/v1/decisions", "list decisions, newest first", (ONE_TENANT, BEFORE, LIMIT)),
    Operation("ledger_head", "GET", "/v1/ledger/head", "say where the ledger ends"),
    Operation("ledger_checkpoint", "GET", "/v1/ledger/checkpoint", "give the newest signed root"),
    Operation("ledger_lines", "GET", "/v1/ledger/lines", "give lines of the ledger, newest first", (BEFORE, LIMIT)),
    Operation("prove_inclusion", "GET", "/v1/ledger/proofs/inclusion", "prove that a line is in the ledger",
              (_number("seq", "the line"), _number("size", "of the ledger, in lines", least=1))),
    Operation("prove_consistency", "GET", "/v1/ledger/proofs/consistency", "prove that the ledger only grew",
              (_number("old", "size then", least=1), _number("new", "size now", least=1))),
)  # fmt: skip

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({each.name: each for each in _TABLE})
