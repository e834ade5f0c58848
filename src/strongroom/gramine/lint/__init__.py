"""Find what weakens a Gramine manifest before it is signed (spec gramine.md section 7.5; threats ID-05 to 08, 17).

Pure: text in, findings out. Templates are judged as far as their text goes, with either end of each condition; what an
expression stands for is left open. `lint` is the one entry; each rule lives in the module of its subject.
"""

from __future__ import annotations

from typing import Final

from strongroom.gramine import toml_text
from strongroom.gramine.lint import files, identity, keys, secrets
from strongroom.gramine.lint.files import M16
from strongroom.gramine.lint.findings import Finding, Level, Rule
from strongroom.gramine.lint.places import lines_of
from strongroom.gramine.lint.subject import Subject
from strongroom.gramine.lint.template import Plain, is_template, plain
from strongroom.gramine.manifest import ManifestMalformed
from strongroom.gramine.measure import MAX_EXPANDED_BYTES
from strongroom.gramine.versions import LATEST, GramineVersion

__all__ = ["M16", "RULES", "Finding", "Level", "Rule", "is_template", "lint", "subject_of"]

_CHECKS: Final = (*identity.CHECKS, *files.CHECKS, *secrets.CHECKS)
RULES: Final = tuple(sorted([*(rule for rule, _ in _CHECKS), files.M20, keys.M10, keys.M11], key=lambda rule: rule.id))


def lint(text: str, *, version: GramineVersion = LATEST, model_bytes: int | None = None) -> tuple[Finding, ...]:
    """Return what the rules find in a manifest or template, by line; raise ManifestMalformed if it is not TOML.

    `model_bytes` is the size of the model that the enclave will hold, for the rule on memory.
    """
    if len(text) > MAX_EXPANDED_BYTES:
        raise ManifestMalformed(f"the manifest has more than {MAX_EXPANDED_BYTES} bytes")
    first = plain(text)
    variants = [first, plain(text, last_branch=True)] if first.has_branches else [first]
    found = {finding: None for variant in variants for finding in _lint_plain(variant, version, model_bytes)}
    return tuple(sorted(found, key=lambda finding: (finding.line or 0, finding.rule.id, finding.place)))


def subject_of(text: str, *, version: GramineVersion = LATEST) -> Subject:
    """Return the manifest as the rules see it, with the first branch of every condition. Raises ManifestMalformed."""
    return _subject(plain(text), version, None)


def _subject(variant: Plain, version: GramineVersion, model_bytes: int | None) -> Subject:
    document = toml_text.loads(variant.text, max_bytes=MAX_EXPANDED_BYTES, error=ManifestMalformed)
    return Subject.of(document, variant, lines_of(variant.text), version, model_bytes)


def _lint_plain(variant: Plain, version: GramineVersion, model_bytes: int | None) -> list[Finding]:
    subject = _subject(variant, version, model_bytes)
    found = list(keys.check(subject))
    for _, check in _CHECKS:
        found += check(subject)
    return found
