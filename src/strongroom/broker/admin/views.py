"""What the actions answer: plain JSON objects, typed once; the API's schemas are made from these types. Pure.

Times (`…_ms`) are milliseconds since 1970, in UTC, by the store's clock. No member holds a secret.
"""

from __future__ import annotations

from typing import Any, TypedDict


class ActorView(TypedDict):
    """Who acts."""

    name: str
    role: str
    tenant: str
    fingerprint: str


class BrokerView(TypedDict):
    """One broker of the store."""

    id: str
    address: str
    version: str
    started_ms: int
    seen_ms: int


class CollateralView(TypedDict):
    """How long the reference data of one platform family still serves."""

    family: str
    tee: str
    part: str
    source: str
    ends_ms: int | None
    standing: str
    problem: str
    fix: str


class HeadView(TypedDict):
    """The end of the ledger: the last line's number and SHA-256, hex."""

    seq: int
    digest: str


class StatusView(TypedDict):
    """What the broker stands on, and how much there is of what the actor may see."""

    version: str
    now_ms: int
    store: str
    shared: bool
    root: str
    brokers: list[BrokerView]
    collateral: list[CollateralView]
    head: HeadView
    tenants: int
    live_leases: int
    revocations: int


class TenantView(TypedDict):
    """One tenant."""

    name: str
    state: str
    created_ms: int


class AdminView(TypedDict):
    """One registered certificate, and whose it is."""

    fingerprint: str
    name: str
    role: str
    tenant: str
    state: str
    created_ms: int
    not_after_ms: int


class LoginView(TypedDict):
    """A login for the console: the token works once, until it expires."""

    token: str
    expires_ms: int


class KeyView(TypedDict):
    """One version of a secret, without its value."""

    tenant: str
    name: str
    version: int
    kind: str
    state: str
    bytes: int
    author: str
    created_ms: int
    until_ms: int


class RewrapView(TypedDict):
    """The generation of a tenant's own key that wraps its secrets now."""

    tenant: str
    generation: int


class LeaseView(TypedDict):
    """A secret lent to a replica until a time."""

    id: str
    tenant: str
    secret: str
    rule: str
    holder: str
    protocol: str
    peer: str
    measurement: str
    platform: str
    tcb_status: str
    broker: str
    state: str
    granted_ms: int
    renewed_ms: int
    expires_ms: int
    renewals: int


class RevocationView(TypedDict):
    """Something that nothing is released to any more."""

    id: str
    tenant: str
    kind: str
    value: str
    reason: str
    author: str
    created_ms: int
    lifted_ms: int | None


class RevokedView(TypedDict):
    """A revocation that is in force now, and the ids of the leases that it ended."""

    revocation: RevocationView
    ended: list[str]


class FloorView(TypedDict):
    """The least version of a model that may still be released."""

    tenant: str
    model: str
    min_version: int
    author: str
    set_ms: int


class PolicyVersionView(TypedDict):
    """One version of a tenant's policy; `votes` are the keys of the owners who signed it while it waits."""

    tenant: str
    version: int
    digest: str
    author: str
    created_ms: int
    state: str
    votes: list[str]
    votes_needed: int


class PolicyView(PolicyVersionView):
    """The same with its text."""

    text: str


class PolicyChangeView(TypedDict):
    """What a change came to: the version in force, or the one that waits as `proposed`, and what it admits."""

    tenant: str
    version: int | None
    digest: str
    rules: int
    proposed: int | None
    problem: str | None
    wider: list[str]
    narrower: list[str]
    voters: list[str]


class BallotView(TypedDict):
    """What an owner signs: digests of the policy and of the one that it replaces, SHA-256, hex."""

    tenant: str
    version: int
    policy: str
    replaces: str


class WordView(TypedDict):
    """One word of a rule that says something else."""

    word: str
    change: str | None
    before: str
    after: str


class FindingView(TypedDict):
    """What one rule newly admits or refuses."""

    rule: str
    sentence: str
    words: list[WordView]


class PolicyDiffView(TypedDict):
    """What a version of a policy (0: there is none) admits and refuses that the one before it did not."""

    tenant: str
    version: int
    admits: list[FindingView]
    refuses: list[FindingView]


class LineView(TypedDict):
    """One line of the ledger, and its SHA-256, hex, where it was computed."""

    seq: int
    entry: dict[str, Any]
    digest: str


class LinesView(TypedDict):
    """Some lines, newest first; `before` is where to go on, 0 where nothing is left."""

    lines: list[LineView]
    before: int


class CheckpointView(TypedDict):
    """The newest signed root as a signed note, empty before the first; the key is Ed25519, base64."""

    origin: str
    key_id: str
    key: str
    checkpoint: str


class ProofView(TypedDict):
    """A proof about the first `size` lines: hashes, hex, in the order of RFC 9162."""

    size: int
    hashes: list[str]
