"""What was written: decisions, the ledger's lines, its signed roots and its proofs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from strongroom.broker.admin.base import Actions, action, visible
from strongroom.broker.admin.problems import BadArgument
from strongroom.broker.admin.roles import Actor
from strongroom.broker.admin.views import CheckpointView, HeadView, LinesView, LineView, ProofView
from strongroom.broker.ledger import chain
from strongroom.broker.ledger.merkle import Proof
from strongroom.broker.names import DEFAULT_TENANT

MAX_WALKED: Final = 20_000  # lines that one question may look at
_STEP: Final = 500
_LIMIT: Final = 100
DECISION: Final = "decision"


class RecordActions(Actions):
    """Actions on the ledger. Nothing here changes it."""

    @action
    def list_decisions(
        self, actor: Actor, *, tenant: str | None = None, before: int | None = None, limit: int | None = None
    ) -> LinesView:
        """Return decisions that the actor may see, newest first; go on with `before` where it is not 0."""
        whose = visible(actor, tenant)

        def wanted(entry: dict[str, Any]) -> bool:
            return entry.get("kind") == DECISION and whose in (None, entry.get("tenant", DEFAULT_TENANT))

        return self._newest(wanted, before, limit or _LIMIT)

    @action
    def ledger_lines(self, actor: Actor, *, before: int | None = None, limit: int | None = None) -> LinesView:  # noqa: ARG002
        """Return lines of any kind, newest first."""
        return self._newest(lambda _: True, before, limit or _LIMIT)

    @action
    def ledger_head(self, actor: Actor) -> HeadView:  # noqa: ARG002  # the table asked who acts
        """Return the end of the ledger. Raises HeadChanged."""
        head = self._parts.ledger.head()
        return HeadView(seq=head.seq, digest=head.digest)

    @action
    def ledger_checkpoint(self, actor: Actor) -> CheckpointView:  # noqa: ARG002
        """Return the newest signed root as a signed note (C2SP tlog-checkpoint), empty before the first."""
        ledger = self._parts.ledger
        signed = ledger.last_root()
        return CheckpointView(
            origin=ledger.origin, key_id=ledger.key_id,
            key=base64.b64encode(ledger.public_key.public_bytes_raw()).decode(),
            checkpoint="" if signed is None else signed.to_text(),
        )  # fmt: skip

    @action
    def prove_inclusion(self, actor: Actor, *, seq: int, size: int) -> ProofView:  # noqa: ARG002
        """Return the proof (RFC 9162, section 2.1.3) that line `seq` is among the first `size`. Raises BadArgument."""
        return self._proof(size, lambda: self._parts.ledger.prove_inclusion(seq, size))

    @action
    def prove_consistency(self, actor: Actor, *, old: int, new: int) -> ProofView:  # noqa: ARG002
        """Return the proof (RFC 9162, section 2.1.4) that `new` lines begin with the `old` ones. Raises BadArgument."""
        return self._proof(new, lambda: self._parts.ledger.prove_consistency(old, new))

    def _proof(self, size: int, prove: Callable[[], Proof]) -> ProofView:
        present = self._parts.ledger.head().seq + 1
        if size > present:
            raise BadArgument(f"the ledger has {present} lines, not {size}")
        try:
            hashes = prove()
        except ValueError as problem:
            raise BadArgument(f"there is no such proof: {str(problem)[:160]}") from None
        return ProofView(size=size, hashes=[each.hex() for each in hashes])

    def _newest(self, wanted: Callable[[dict[str, Any]], bool], before: int | None, limit: int) -> LinesView:
        end = self._parts.ledger.head().seq + 1
        high = end if before is None else min(before, end)
        found: list[LineView] = []
        lowest = high
        for seq, line in self._backwards(high):
            lowest = seq
            entry = chain.read_line(line, seq=seq)
            if wanted(entry):
                found.append(LineView(seq=seq, entry=entry, digest=hashlib.sha256(line).hexdigest()))
            if len(found) >= limit or high - lowest >= MAX_WALKED:
                break
        return LinesView(lines=found, before=lowest)

    def _backwards(self, high: int) -> Iterator[tuple[int, bytes]]:
        while high > 0:
            low = max(0, high - _STEP)
            yield from reversed(list(self._parts.ledger.lines(low - 1, high - low)))
            high = low
