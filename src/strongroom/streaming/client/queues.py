"""The calls of the original's client: InputQueue and OutputQueue, with typed errors instead of `"[]"` and `"NaN"`.

`compat=True` brings those two words back. Results that `dequeue` takes are those of this process' records, and of what
it forked; `client=` names a set of results that several processes share. Source: spec `cluster-serving.md` section 6.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import numpy as np

from strongroom.clusterserving.arrow_request import encode_inputs
from strongroom.clusterserving.faults import ServingError
from strongroom.clusterserving.result_reading import read_result
from strongroom.clusterserving.values import Array, Input, Inputs, Result, Sparse
from strongroom.streaming.client.client import Client
from strongroom.streaming.client.core import MAX_REPLIES, Submission
from strongroom.streaming.client.frontend import Frontend
from strongroom.streaming.client.inputs import image_of, inputs_of, request_inputs
from strongroom.streaming.client.settings import BadQueueOption, Settings
from strongroom.streaming.client.tickets import ResultTimeout, Wait
from strongroom.streaming.link.queue import now
from strongroom.streaming.link.records import RawFields

Value: TypeAlias = "Array | list[Array] | str"

ABSENT: Final = "[]"
FAILED: Final = "NaN"
MAX_SENT: Final = 100_000
_NAME: Final = uuid.uuid4().hex  # of this process on reply lists; what it forks inherits it
_sent: dict[tuple[str, str], Wait] = {}  # sealed records of this process: what opens their results
_log: Final = logging.getLogger("strongroom.queue.client")


class _Queue:
    def __init__(self, compat: bool, options: Mapping[str, Any]) -> None:
        settings = Settings.of(options, form="raw")
        self._compat = compat
        self._client = Client.with_settings(replace(settings, client=settings.client or _NAME))
        if settings.original:
            now(self._client.engine.make_group())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InputQueue(_Queue):
    """Sends records. With `frontend_url` it speaks to an HTTP front end alone, and only `predict` is there.

    Options: `host`, `port`, `name` as in the original; those of docs/queue-clients.md for TLS, users and sealing.
    """

    def __init__(self, frontend_url: str | None = None, *, compat: bool = False, **options: Any) -> None:  # noqa: ANN401
        """`full_wait_s`: how long `enqueue` tries where the queue is full, before it raises QueueFull.

        Raises BadQueueOption, RedisPlaintext, RedisSetup.
        """
        self._full_wait_s = float(options.pop("full_wait_s", 0.0))
        self._frontend = None if frontend_url is None else Frontend.of(frontend_url, options)
        self._asking: Client | None = None
        if self._frontend is None:
            super().__init__(compat, options)
        self._compat = compat

    def enqueue(self, uri: str, /, **data: Any) -> str:  # noqa: ANN401  # the caller's inputs
        """Send a record and return its entry id. Numbers go as float32; a text is the path of an image.

        Raises what `Client.submit` raises.
        """
        return self._enqueue(uri, data)

    def _enqueue(self, uri: str, data: Mapping[str, Any]) -> str:
        if self._frontend is not None:
            raise BadQueueOption("records need Redis; with frontend_url there is predict alone")
        wait = self._client.send(
            [Submission(inputs=_floats(inputs_of(data)), uri=uri)], wait_s=self._full_wait_s, awaited=False
        )[0]
        if wait.problem is not None:
            raise wait.problem
        if wait.response_key is not None:
            _remember(self._client.settings.job.name, wait)
        _log.debug("enqueued %s", uri)
        return str(wait.entry_id)

    def enqueue_image(self, uri: str, img: str | Path | Array) -> str:
        """Send an image: a file, or pixels as OpenCV has them. Raises BadImage and what `enqueue` raises."""
        return self.enqueue(uri, image=image_of(img))

    def enqueue_tensor(self, uri: str, data: Array | Sequence[Array]) -> str:
        """Send an array, or several; inputs without names. The original deprecates it: use `enqueue`."""
        arrays = [data] if isinstance(data, np.ndarray) else list(data)
        return self._enqueue(uri, {"t" if not place else f"t{place}": each for place, each in enumerate(arrays)})

    def data_to_b64(self, **data: Any) -> str:  # noqa: ANN401  # the caller's inputs
        """Return what the original puts into a record's field `data`: an Arrow stream in base64."""
        import base64

        return base64.b64encode(encode_inputs(inputs_of(data))).decode("ascii")

    def predict(self, request_data: object, timeout: float = 5) -> Value:
        """Send one record and return its result: JSON text with `instances`, a dictionary of inputs, or an array.

        `timeout` in seconds. Raises ResultTimeout, a ServingError; with `compat` returns `"[]"` and `"NaN"` instead.
        """
        try:
            return value_of(self._predict(request_data, timeout))
        except ResultTimeout:
            if self._compat:
                return ABSENT
            raise
        except ServingError:
            if self._compat:
                return FAILED
            raise

    def _predict(self, request_data: object, timeout: float) -> Result:
        if self._frontend is not None:
            return self._frontend.predict(request_data, timeout_s=timeout)
        if self._asking is None:  # its results are told on a list of their own
            self._asking = Client.with_settings(replace(self._client.settings, client=None))
        return self._asking.predict(_floats(inputs_of(request_inputs(request_data))), timeout_s=timeout)

    def close(self) -> None:
        """Close the connections."""
        if self._frontend is not None:
            self._frontend.close()
            return
        if self._asking is not None:
            self._asking.close()
        super().close()


class OutputQueue(_Queue):
    """Takes results."""

    def __init__(self, *, compat: bool = False, **options: Any) -> None:  # noqa: ANN401  # words of Settings.of
        """Raises BadQueueOption, RedisPlaintext, RedisSetup."""
        super().__init__(compat, options)

    def query(self, uri: str, delete: bool = False) -> Value:
        """Return a record's result: an array, a list of arrays, or a filter's text.

        Raises ResultTimeout where there is none yet, the ServingError of a failed record; with `compat` returns `"[]"`
        and `"NaN"` instead.
        """
        uri = self._client.settings.full(uri)
        fields = now(self._client.engine.query(uri, forget=delete))
        if fields is None:
            if self._compat:
                return ABSENT
            raise ResultTimeout(f"{uri} has no result")
        found = self._value(uri, fields)
        if isinstance(found, ServingError):
            if self._compat:
                return FAILED
            raise found
        if delete:
            _sent.pop((self._client.settings.job.name, uri), None)
        return found

    def query_and_delete(self, uri: str) -> Value:
        """As `query`; the result is deleted."""
        return self.query(uri, delete=True)

    def dequeue(self, everything: bool = False) -> dict[str, Value | ServingError]:
        """Return and delete the results of this client's records that are there, by uri.

        A failed record's value is its error, with `compat` `"NaN"`. `everything`: those of all clients of the job, as
        in the original; it goes through Redis' keys, and needs a user who may.
        """
        results: dict[str, Value | ServingError] = {}
        if everything or self._client.settings.original:
            cursor = ""
            while cursor != "0":
                cursor, uris = now(self._client.engine.scan(cursor or "0"))
                results |= self._taken(uris)
        else:
            uris = now(self._client.engine.replies())
            while uris:
                results |= self._taken(uris)
                uris = now(self._client.engine.replies()) if len(uris) >= MAX_REPLIES else []
        return results

    def _taken(self, uris: Sequence[str]) -> dict[str, Value | ServingError]:
        names = list(dict.fromkeys(uris))
        found = now(self._client.engine.query_many(names, forget=True))
        values = {uri: self._value(uri, fields) for uri, fields in zip(names, found, strict=True) if fields is not None}
        for uri in values:
            _sent.pop((self._client.settings.job.name, uri), None)
        short = self._client.settings.short
        return {
            short(uri): FAILED if self._compat and isinstance(each, ServingError) else each
            for uri, each in values.items()
        }

    def _value(self, uri: str, fields: RawFields) -> Value | ServingError:
        wait = _sent.get((self._client.settings.job.name, uri))
        try:
            result = self._client.core.read(wait, fields) if wait is not None else read_result(uri, fields)
            return result.error or value_of(result)
        except ServingError as problem:
            return problem


def value_of(result: Result) -> Value:
    """Return a result as the original does: one array, a list of several, or a text. Raises its ServingError."""
    if result.error is not None:
        raise result.error
    if result.text is not None:
        return result.text
    arrays = list(result.outputs.values())
    return arrays[0] if len(arrays) == 1 else arrays


def _remember(job: str, wait: Wait) -> None:
    _sent[(job, wait.uri)] = wait
    if len(_sent) > MAX_SENT:
        del _sent[next(iter(_sent))]


def _floats(inputs: Inputs) -> dict[str, Input]:
    """Return inputs with their numbers as float32, as the original sends them."""
    return {name: _float(each) for name, each in inputs.items()}


def _float(value: Input) -> Input:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            return value.astype(np.float32, copy=False)
    if isinstance(value, Sparse):
        return Sparse(value.indices, value.values.astype(np.float32, copy=False), value.shape)
    return value
