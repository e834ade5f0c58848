"""What a client demands of the program that answers: rules, trust anchors and collateral, from one folder.

    FOLDER/policy.toml       rules in the broker's own grammar; a rule's `release` names the model it speaks for
    FOLDER/anchors/*.der     roots besides Intel's, which is built in (a simulated platform has its own)
    FOLDER/collateral/*.json collateral by FMSPC, in the nine-string shape
    FOLDER/collateral.toml   instead of those files: where live collateral comes from (the words of [collateral])

It holds nothing secret: an owner hands it to clients, who may write rules of their own into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from strongroom.attestation import INTEL, Anchor, Verifier
from strongroom.broker.policy import file as policy_file
from strongroom.broker.release import ReleaseRule
from strongroom.client.answers import ModelSpec
from strongroom.collateral import CollateralSource, Folder, open_sources
from strongroom.collateral.settings import MAX_SETTINGS_BYTES, parse_file
from strongroom.errors import BadInput

MAX_POLICY_BYTES: Final = 1 << 20
MAX_ANCHOR_BYTES: Final = 1 << 16


class BadTrustFolder(BadInput):
    """The folder given with --trust does not hold a policy."""

    code = "SR-TRUST-FOLDER"
    fix = "Give a folder with policy.toml, anchors/ and collateral/."


@dataclass(frozen=True, slots=True)
class Trust:
    """Rules, a verifier with its anchors, and collateral that evidence is judged by."""

    rules: tuple[ReleaseRule, ...]
    verifier: Verifier  # one for all connections: what it proved of a platform serves them all
    collateral: CollateralSource

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read a trust folder. Raises BadTrustFolder, or the errors of the policy grammar and of certificates."""
        policy = folder / "policy.toml"
        if not policy.is_file():
            raise BadTrustFolder(f"{folder} has no policy.toml")
        text = _bounded(policy, MAX_POLICY_BYTES).decode("utf-8", "replace")
        files = sorted(path for path in (folder / "anchors").glob("*") if path.suffix in {".der", ".pem", ".crt"})
        anchors = (INTEL, *(Anchor.from_certificate(_bounded(path, MAX_ANCHOR_BYTES)) for path in files))
        return cls(policy_file.parse(text).rules, Verifier(anchors), _collateral(folder, anchors))

    def rules_for(self, spec: ModelSpec) -> tuple[ReleaseRule, ...]:
        """Return the rules that speak for a model: evidence of one model is nothing to a client of another."""
        return tuple(
            rule
            for rule in self.rules
            if any(pattern.speaks_of_model(spec.name, spec.version) for pattern in rule.patterns)
        )


def _collateral(folder: Path, anchors: tuple[Anchor, ...]) -> CollateralSource:
    settings = folder / "collateral.toml"
    if not settings.is_file():
        return Folder(folder / "collateral")
    return open_sources(parse_file(_bounded(settings, MAX_SETTINGS_BYTES)), anchors=anchors, base=folder)


def _bounded(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadTrustFolder(f"{path} is larger than {limit} bytes")
    return data
