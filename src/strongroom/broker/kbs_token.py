"""The attestation token: what was proved, for others to read; and the claims behind it, as a session keeps them. Pure.

An EAR (KBS specification section 8), signed by the brokers of one store. It carries no name of the platform, which is
for the owner alone (threat PL-07): a broker that is shown a token looks up the session that it names, and decides on
the claims that are kept there, under the rules of that moment.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, get_type_hints

from strongroom.attestation import Claims, TcbStatus, Tee, TrustDomain
from strongroom.attestation.claims import EvidenceSource
from strongroom.broker.kbs import Bound
from strongroom.pki.jose import RecipientKey, TokenUnsound

LIFETIME_S: Final = 300
PROFILE: Final = "tag:github.com,2024:confidential-containers/Trustee"
DEVELOPER: Final = "https://confidentialcontainers.org"
ISSUER: Final = "Strongroom"
SESSION: Final = "strongroom_session"
DEPLOYMENT: Final = "strongroom_deployment"
EVIDENCE: Final = "ear.veraison.annotated-evidence"
AFFIRMING: Final = 2  # an EAR's values: 2 affirms, 32 and 33 are the edge to a warning, 97 says no such hardware
WARNING: Final = 33
CONTRAINDICATED: Final = 97
_PLATFORM: Final = frozenset(
    {"pck_ppid", "platform_instance_id", "pck_serial", "attestation_key", "platform_provider_id", "report_data"}
)
_READERS: Final[dict[object, Any]] = {
    bytes | None: bytes.fromhex, datetime | None: datetime.fromisoformat, TcbStatus | None: TcbStatus,
    Tee | None: Tee, EvidenceSource: EvidenceSource, TrustDomain: TrustDomain, tuple[str, ...] | None: tuple,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a session has proved: the claims, the key that secrets are sealed to, and what the evidence is bound to."""

    claims: Claims
    key: RecipientKey
    report_data: bytes
    bound: Bound | None
    tenant: str | None  # the only one that init-data lets this TEE ask for

    def to_json_object(self) -> dict[str, Any]:
        """Return what the session keeps."""
        return {
            "claims": self.claims.to_json_object(), "key": self.key.members, "report_data": self.report_data.hex(),
            "bound": None if self.bound is None else self.bound.to_json_object(), "tenant": self.tenant,
        }  # fmt: skip

    @classmethod
    def from_json_object(cls, value: dict[str, Any]) -> Proven:
        """Return what `to_json_object` wrote, once the seal of its session holds."""
        bound = value["bound"]
        if bound is not None:
            bound = Bound(
                deployment=bound["deployment"], purpose=bound["purpose"], paths=tuple(bound["paths"]),
                kbs=bound["kbs"], lease_id=bound.get("lease"),
            )  # fmt: skip
        return cls(
            claims=claims_from(value["claims"]), key=RecipientKey.parse(value["key"]), bound=bound,
            report_data=bytes.fromhex(value["report_data"]), tenant=value["tenant"],
        )  # fmt: skip


def claims_from(value: dict[str, Any]) -> Claims:
    """Return the claims that `Claims.to_json_object` spelled."""
    types = get_type_hints(Claims)
    known = {field.name for field in fields(Claims)}
    return Claims(**{
        name: _READERS.get(types[name], lambda item: item)(member) for name, member in value.items() if name in known
    })  # fmt: skip


def payload(
    proven: Proven, *, session: str, tee: str, nonce: str, now_s: int, deployment: str, build: str,
    init_data: dict[str, str] | None,
) -> dict[str, Any]:  # fmt: skip
    """Return a token's claims; it counts from `now_s` (seconds since 1970) for five minutes."""
    said = {name: value for name, value in proven.claims.to_json_object().items() if name not in _PLATFORM}
    runtime: dict[str, Any] = {"tee-pubkey": proven.key.members, "nonce": nonce, "additional-evidence": ""}
    if proven.bound is not None:
        runtime["strongroom"] = proven.bound.to_json_object()
    hardware = _hardware(proven.claims)
    return {
        "eat_profile": PROFILE,
        "ear.verifier-id": {"developer": DEVELOPER, "build": build},
        "iat": now_s,
        "exp": now_s + LIFETIME_S,
        "iss": ISSUER,
        SESSION: session,
        DEPLOYMENT: deployment,
        "submods": {
            "cpu0": {
                "ear.status": _status(hardware),
                "ear.trustworthiness-vector": {"hardware": hardware},
                "ear.appraisal-policy-id": "evidence",
                EVIDENCE: {
                    tee: said,
                    "report_data": proven.report_data.hex(),
                    "runtime_data_claims": runtime,
                    "init_data_claims": init_data,
                },
            }
        },
    }


def session_of(claims: dict[str, Any], *, now_s: int, deployment: str) -> str:
    """Return the session that a token whose signature held speaks of. Raises TokenUnsound."""
    issued, expires, session = claims.get("iat"), claims.get("exp"), claims.get(SESSION)
    if type(issued) is not int or type(expires) is not int or not isinstance(session, str):
        raise TokenUnsound("the token has no times, or names no session")
    if now_s >= expires or expires > issued + LIFETIME_S:
        raise TokenUnsound("the token has expired, or counts for longer than tokens do")
    if claims.get(DEPLOYMENT) != deployment:
        raise TokenUnsound("the token is of another deployment")
    return session


def _hardware(claims: Claims) -> int:
    """Say what the evidence alone says of the hardware; what a program may have is the policy's to say."""
    if claims.trust_domain is not TrustDomain.INTEL or claims.tcb_status is TcbStatus.REVOKED:
        return CONTRAINDICATED
    return AFFIRMING if claims.tcb_status is TcbStatus.UP_TO_DATE and not claims.debug else WARNING


def _status(value: int) -> str:
    return {AFFIRMING: "affirming", WARNING: "warning"}.get(value, "contraindicated")
