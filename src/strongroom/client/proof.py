"""Say what was proved about who answered, and what was not; nothing here decides anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom.attestation import Body, SgxReport, TrustDomain
from strongroom.client.evidence import EvidenceProof

Line = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelProof:
    """What the TLS handshake established. `tls` is empty for plaintext; gRPC does not tell version and cipher."""

    url: str
    tls: str
    server_name: str
    issuer: str
    certificate_sha256: str
    pinned: bool
    mutual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The channel, the evidence behind it if any was asked for, and whether another protocol carried the request."""

    channel: ChannelProof
    evidence: EvidenceProof | None
    carried_by: str = ""

    def proved(self) -> tuple[Line, ...]:
        """Return what holds, as (topic, sentence)."""
        return (*self._channel_lines(), *self._evidence_lines())

    def not_proved(self) -> tuple[Line, ...]:
        """Return what nobody proved, as (topic, sentence); the simulated domain comes first and loud."""
        return tuple(self._gaps())

    def card(self) -> Iterator[str]:
        """Yield the lines of the card that a person reads."""
        yield f"who answered: {self.channel.url}"
        for title, lines in (("proved", self.proved()), ("NOT proved", self.not_proved())):
            for index, (topic, says) in enumerate(lines):
                yield f"  {title if index == 0 else '':<10}  {topic:<13} {says}"

    def to_json_object(self) -> dict[str, object]:
        """Return both lists and the verdict."""
        return {
            "url": self.channel.url,
            "certificate_sha256": self.channel.certificate_sha256,
            "trust_domain": str(self.evidence.evidence.verdict.trust_domain) if self.evidence else None,
            "proved": [{"topic": topic, "says": says} for topic, says in self.proved()],
            "not_proved": [{"topic": topic, "says": says} for topic, says in self.not_proved()],
            "quoted_by": self.evidence.evidence.quoted_by if self.evidence else None,
            "rule": self.evidence.rule if self.evidence else None,
            "verdict": self.evidence.evidence.verdict.to_json_object() if self.evidence else None,
        }

    def _channel_lines(self) -> Iterator[Line]:
        channel = self.channel
        if not channel.tls:
            return
        if channel.pinned:
            yield "server", f"showed exactly the certificate you pinned ({channel.certificate_sha256[:16]}…)"
        else:
            yield "server", f"has a certificate for {channel.server_name} that chains to {channel.issuer}"
        yield "channel", f"{channel.tls}: nobody on the way reads or changes a byte"
        if channel.mutual:
            yield "client", "you showed your certificate (mutual TLS)"
        if self.carried_by:
            yield "protocol", self.carried_by

    def _evidence_lines(self) -> Iterator[Line]:
        if self.evidence is None:
            return
        verdict, at = self.evidence.evidence.verdict, self.evidence.evidence.verified_at
        yield (
            "program",
            (
                f"{_measured(verdict.body)}, "
                f"debug {'ON' if verdict.debug else 'off'}, accepted by your rule {self.evidence.rule!r}"
            ),
        )
        yield "key", "the key of this TLS connection is held by that program: its quote binds it"
        yield "fresh", "the quote answers a nonce made for this connection"
        yield (
            "platform",
            (
                f"TCB {verdict.status}{_advisories(verdict.advisories)}, trust domain {verdict.trust_domain}, "
                f"root {verdict.root_key_id[:16]}…"
            ),
        )
        yield "time", f"verified {at:%Y-%m-%d %H:%M:%S} UTC with collateral issued {verdict.collateral_issued:%Y-%m-%d}"

    def _gaps(self) -> Iterator[Line]:
        if not self.channel.tls:
            yield "CHANNEL", "PLAINTEXT: anyone on the way reads and changes inputs and answers"
        if self.evidence is None:
            yield "program", "no evidence was asked for (--trust): whoever holds the server's key may read your input"
        elif self.evidence.evidence.verdict.trust_domain is TrustDomain.SIMULATED:
            yield (
                "SECRECY",
                (
                    "SIMULATED PLATFORM: this proves the protocol and the code path, no secrecy; "
                    "whoever runs that machine can read everything"
                ),
            )
        else:
            yield "physical attacks", "who can open the machine may read its memory or steal its attestation key"
        if self.evidence is not None:
            yield "sole key", "that nobody else holds the TLS key: with a sealed ssl.cfg, the owner who made it does"
        yield "model quality", "that the answer is right; only which program gave it"


def _measured(body: Body) -> str:
    if isinstance(body, SgxReport):
        return f"MRENCLAVE {body.mr_enclave.hex()}, product {body.isv_prod_id}, SVN {body.isv_svn}"
    rtmrs = " ".join(rtmr.hex() for rtmr in (body.rtmr0, body.rtmr1, body.rtmr2, body.rtmr3))
    return f"MRTD {body.mr_td.hex()}, RTMR0 to 3 {rtmrs}"


def _advisories(advisories: tuple[str, ...]) -> str:
    return f" ({', '.join(advisories)})" if advisories else ""
