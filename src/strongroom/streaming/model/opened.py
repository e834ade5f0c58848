"""A model that is open and warm, as the worker sees it: predictions through the dataplane, readiness, records opened.

All methods belong to the event loop that opened it. The engines, keys and leases behind it go when it is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

import numpy as np

from strongroom.errors import StrongroomError
from strongroom.serving.models.registry import Served
from strongroom.serving.operations.lease import LeaseLost
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.request_checks import check_names
from strongroom.serving.status import BadRequest
from strongroom.streaming.model.opener import RecordOpener
from strongroom.streaming.model.predictor import ModelIdentity
from strongroom.tfserving.datatypes import STORAGE, Array, DataType
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature

MAX_WARM_ELEMENTS: Final = 256 * 1024 * 1024  # of one input; nobody's model, but nothing to allocate for a look
_log: Final = logging.getLogger(__name__)


class OpenedModel:
    """The `Predictor` of a worker. `copies`: the same version, loaded `modelParallelism` times."""

    def __init__(
        self, identity: ModelIdentity, dataplane: Dataplane, copies: list[Served], *, threads: int,
        opener: RecordOpener | None = None, attestation: str = "", sealed: bool = False,
    ) -> None:  # fmt: skip
        self._identity, self._dataplane, self._copies = identity, dataplane, copies
        self.threads = threads  # of one run; 0 = all that there are
        self.opener = opener  # opens sealed records; None where the queue has no key
        self.attestation = attestation  # what vouches for this process, empty where nothing does
        self.sealed = sealed  # the model is a sealed bundle
        self.queue_lost: LeaseLost | None = None
        self._warm = False
        self._closing = False
        self._running = [0] * len(copies)
        self.behind = AsyncExitStack()  # what is ended with it, in reverse order: leases, runners, keys
        self._name, self._signature = chosen_signature(copies[0].signatures)
        self._outputs = list(self._signature.outputs)

    @property
    def identity(self) -> ModelIdentity:
        """The model's name, version and digest."""
        return self._identity

    @property
    def signature(self) -> Signature:
        """What it takes and gives, by name, in the model's order."""
        return self._signature

    @property
    def parallelism(self) -> int:
        """How many runs go on at a time."""
        return len(self._copies)

    @property
    def description(self) -> str:
        """How it runs, in words: threads and batching in force."""
        return self._copies[0].worker.description

    @property
    def batchable(self) -> bool:
        """Whether records may share a run: every input has a free first dimension."""
        specs = self._signature.inputs.values()
        return bool(specs) and all(spec.shape is None or spec.shape[:1] == (-1,) for spec in specs)

    @property
    def not_ready_reason(self) -> str | None:
        """Why it cannot answer now: closing, not warmed up, or a lease that is lost; None where it can."""
        if self._closing:
            return "the model is being closed"
        if self.queue_lost is not None:
            return self.queue_lost.sentence
        return self._dataplane.not_ready_reason or (None if self._warm else "no warm-up prediction has passed yet")

    async def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run on arrays of the model's types and ranks, batch dimension included.

        Raises LeaseLost where the keys may not be used any more, BadRequest, ModelFailed, EngineFailed, Overloaded.
        """
        lost = self._dataplane.suspended or self.queue_lost
        if lost is not None:
            raise lost.with_traceback(None)
        check_names(inputs, self._signature)
        at = min(range(len(self._copies)), key=self._running.__getitem__)
        self._running[at] += 1
        try:
            done = await self._dataplane.run(self._copies[at], self._name, inputs, self._outputs, api="Queue")
        finally:
            self._running[at] -= 1
        return {name: array for name, (_, array) in done.outputs.items()}

    async def warm_up(self) -> None:
        """Run every copy once on zeros, so that nobody's first record waits (defect D12).

        A model whose sizes are all known has to take them; where sizes are free, one of each is a guess, and its
        failure is logged only. Raises what `predict` raises.
        """
        zeros, is_guess = _zeros(self._signature)
        if zeros is not None:
            try:
                for served in self._copies:
                    await self._dataplane.run(served, self._name, zeros, self._outputs, api="Queue")
            except StrongroomError as problem:
                if not is_guess:
                    raise
                _log.warning("the warm-up on zeros was refused, as free sizes were guessed: %s", problem.sentence)
        self._warm = True

    async def close(self) -> None:
        """Let go of the model and of the keys that opened it: runs that were accepted finish first."""
        if self._closing:
            return
        self._closing, self._dataplane.accepting = True, False
        await self.behind.aclose()

    def suspend_records(self, why: LeaseLost | None) -> None:
        """Note why no sealed record may be opened, or None where they may."""
        self.queue_lost = why


def chosen_signature(signatures: Mapping[str, Signature]) -> tuple[str, Signature]:
    """Return the way that records are run: `serving_default`, or the only one. Raises BadRequest."""
    if DEFAULT_SIGNATURE in signatures:
        return DEFAULT_SIGNATURE, signatures[DEFAULT_SIGNATURE]
    if len(signatures) != 1:
        raise BadRequest(
            f"the model has the signatures {', '.join(sorted(signatures)) or 'none'}, and no {DEFAULT_SIGNATURE}",
            fix="Export the model with a signature serving_default.",
        )
    return next(iter(signatures.items()))


def _zeros(signature: Signature) -> tuple[dict[str, Array] | None, bool]:
    """Return one row of zeros for each input, and whether a size was guessed; None where there is nothing to guess."""
    found: dict[str, Array] = {}
    is_guess = False
    for name, spec in signature.inputs.items():
        if spec.shape is None or spec.dtype is DataType.DT_STRING:
            return None, True
        is_guess |= -1 in spec.shape[1:]
        shape = tuple(1 if size == -1 else size for size in spec.shape)
        if int(np.prod(shape, dtype=np.float64)) > MAX_WARM_ELEMENTS:
            return None, True
        found[name] = np.zeros(shape, STORAGE[spec.dtype].dtype)
    return found, is_guess
