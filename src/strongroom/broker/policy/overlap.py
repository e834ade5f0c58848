"""Who can use a rule: programs that could fulfil two of them, and clients that cannot ask by name. Pure.

Two rules do not meet only where they themselves prove it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from strongroom.attestation import BindingKind
from strongroom.broker.policy.kinds import Value
from strongroom.broker.release import ReleaseRule

_MAX_SVN: Final = 0xFFFF
_EXACT: Final = ("mrenclave", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam")
_ZERO_UNLESS_NAMED: Final = ("mr_config_id", "mr_owner", "mr_owner_config")


def for_gramine(rule: ReleaseRule) -> bool:
    """Return whether clients of Gramine's protocol, who cannot ask by name, can get a secret by a rule."""
    return rule.single is not None and fulfilled_by_gramine(rule)


def fulfilled_by_gramine(rule: ReleaseRule) -> bool:
    """Return whether evidence over Gramine's protocol can fulfil a rule: no nonce is answered, the key alone bound."""
    bindings = rule.policy.bindings
    return not rule.require_fresh and (bindings is None or BindingKind.KEY in bindings)


def may_overlap(first: ReleaseRule, second: ReleaseRule) -> bool:
    """Return whether one program, on one platform, could fulfil both rules."""
    one, two = first.policy, second.policy
    if one.tee is not two.tee or not one.trust_domains & two.trust_domains:
        return False
    if any(_differ(getattr(one, word), getattr(two, word)) for word in _EXACT):
        return False
    if one.mrtd is not None and any(
        (getattr(one, word) or bytes(48)) != (getattr(two, word) or bytes(48)) for word in _ZERO_UNLESS_NAMED
    ):
        return False
    if any(_differ(signer_value(first, word), signer_value(second, word)) for word in ("mrsigner", "isvprodid")):
        return False
    ranges = [svn_range(rule) for rule in (first, second)]
    return max(low for low, _ in ranges) <= min(high for _, high in ranges)


class Neighbours:
    """Rules by the measurement that they name: files hold many, and few of them can meet."""

    def __init__(self, rules: Iterable[ReleaseRule]) -> None:
        self._all: list[ReleaseRule] = []
        self._by_measurement: defaultdict[object, list[ReleaseRule]] = defaultdict(list)
        for rule in rules:
            self._all.append(rule)
            self._by_measurement[_measurement(rule)].append(rule)

    def of(self, rule: ReleaseRule) -> Iterator[ReleaseRule]:
        """Yield the rules that could meet `rule`, and maybe others: all that are left out cannot."""
        named = _measurement(rule)
        if named is None:
            yield from (other for other in self._all if other.policy.mrtd is None)
            return
        yield from self._by_measurement.get(named, ())
        if rule.policy.mrtd is None:
            yield from self._by_measurement.get(None, ())


def _measurement(rule: ReleaseRule) -> object:
    """Return what names the program of a rule exactly; None for whatever a signer signed."""
    return rule.policy.mrenclave if rule.policy.mrtd is None else ("mrtd", rule.policy.mrtd)


def signer_value(rule: ReleaseRule, word: str) -> Value:
    """Return what a rule compares for mrsigner, isvprodid or min_isvsvn, in whichever part it stands."""
    value = getattr(rule.signature, word)
    return getattr(rule.policy, word) if value is None else value


def svn_range(rule: ReleaseRule) -> tuple[int, int]:
    """Return the security versions that a rule admits, both ends included."""
    high = rule.signature.max_isvsvn
    return signer_value(rule, "min_isvsvn") or 0, _MAX_SVN if high is None else high


def _differ(first: object, second: object) -> bool:
    return first is not None and second is not None and first != second
