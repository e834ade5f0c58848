"""One-shot calls: a front's requests answered by the model server over REST, with the queue's bodies and replies.

The configuration's rules for images, names and top-n hold here as they do for workers: it is the same `Preparation`.
World: sockets, on threads of its own, for the client of the model server waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from strongroom.client import Client
from strongroom.client.answers import Metadata
from strongroom.client.answers import Signature as Described
from strongroom.client.connection import ServerUnreachable
from strongroom.client.status import ModelNotServed, RequestDenied, RequestNotAccepted, ServerBusy, ServerFailed
from strongroom.clusterserving.faults import (
    BadRecord,
    DeadlineExceeded,
    Internal,
    ModelError,
    NotReady,
    ServingError,
    Unauthorized,
)
from strongroom.clusterserving.values import Array, Inputs, Result
from strongroom.errors import Refused, StrongroomError, Unreachable
from strongroom.streaming.images import Preparation
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.signatures import Signature, TensorSpec

T = TypeVar("T")
THREADS: Final = 16
STATUS_TIMEOUT_S: Final = 5.0


class ModelServerBackend:
    """Answers instances by a model of a model server; `version` None: the server's choice."""

    def __init__(self, client: Client, model: str, version: int | None, preparation: Preparation) -> None:
        self._client, self._model, self._version, self._preparation = client, model, version, preparation
        self._signature: Signature | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="model-server")

    async def predict(
        self, instances: Sequence[Inputs], *, timeout_s: float, idempotency_key: str | None = None
    ) -> list[Result]:
        """Return one result for each instance, in order. A prediction changes nothing: its key is not needed."""
        del idempotency_key
        ends = asyncio.get_running_loop().time() + timeout_s
        return list(await asyncio.gather(*(self._one(each, f"{at}", ends) for at, each in enumerate(instances))))

    async def not_ready_reason(self) -> str | None:
        """Return why the model cannot answer now, None where it can."""
        try:
            found = await asyncio.wait_for(self._call(self._states), STATUS_TIMEOUT_S)
        except TimeoutError:
            return "the model server does not answer"
        except StrongroomError as problem:
            return problem.sentence
        return None if "AVAILABLE" in found else f"the model server has no version of {self._model} that is available"

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _one(self, inputs: Inputs, uri: str, ends: float) -> Result:
        left_s = ends - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(self._call(self._predict, inputs, uri), max(0.001, left_s))
        except TimeoutError:
            return Result(uri, error=DeadlineExceeded("the model server did not answer in time", uri=uri))
        except StrongroomError as problem:
            return Result(uri, error=_as_serving_error(problem, uri))

    async def _call(self, function: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *given)

    def _predict(self, inputs: Inputs, uri: str) -> Result:
        if self._signature is None:
            self._signature = signature_of(self._client.metadata(self._model, version=self._version))
        arrays = self._preparation.prepare([inputs], self._signature)
        outputs = self._client.predict(self._model, arrays, version=self._version)
        answer = self._preparation.answer(outputs if self._preparation.batched else _without_batch(outputs))
        return Result(uri, text=answer) if isinstance(answer, str) else Result(uri, outputs=answer)

    def _states(self) -> set[str]:
        return {each.state for each in self._client.status(self._model, version=self._version)}


def _without_batch(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return outputs as results of the queue have them: without the batch dimension that was added here."""
    return {name: each[0, ...] if each.ndim and each.shape[0] == 1 else each for name, each in outputs.items()}


def signature_of(metadata: Metadata) -> Signature:
    """Return the default signature of a model server's answer as workers have it. Raises UnsupportedType."""
    described: Described = metadata.signature("")

    def specs(infos: Described, side: str) -> dict[str, TensorSpec]:
        return {
            name: TensorSpec(name=name, dtype=_type(each.dtype), shape=each.shape)
            for name, each in getattr(infos, side).items()
        }

    return Signature(inputs=specs(described, "inputs"), outputs=specs(described, "outputs"), method=described.method)


def _type(word: str) -> DataType:
    try:
        return DataType[word]
    except KeyError:
        raise ModelError(f"the model takes {word[:40]!r}, which cannot be sent") from None


def _as_serving_error(problem: StrongroomError, uri: str) -> ServingError:
    """Return what the model server's refusal is to a caller of the front."""
    match problem:
        case ServingError():
            return problem
        case ModelNotServed():
            return NotReady(problem.sentence, uri=uri)
        case RequestNotAccepted():
            return BadRecord(problem.sentence, uri=uri)
        case RequestDenied() | Refused():
            return Unauthorized("the model server does not let this front end ask", uri=uri)
        case ServerFailed():
            return ModelError(problem.sentence, uri=uri)
        case ServerBusy() | ServerUnreachable() | Unreachable():
            return NotReady(problem.sentence, uri=uri)
    return Internal(problem.sentence, uri=uri)
