"""What opens sealed records in a worker: the queue's keys of the moment, and a memory of what was opened before.

Pure. A record that its sender sealed once is answered for one entry of the stream alone: under another entry id the
same bytes are a replay (threat SV-06). The memory is bounded; what it has forgotten, the sender's check of the entry id
in the result still catches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from strongroom.clusterserving import sealed
from strongroom.clusterserving.faults import UnsealFailed
from strongroom.clusterserving.record import Opened
from strongroom.clusterserving.sealed import ENC_BYTES, Binding, QueueKey, ResultKind, UnknownQueueKey
from strongroom.secret import Secret
from strongroom.streaming.model.predictor import ModelIdentity

REMEMBERED: Final = 100_000  # records: 32 bytes each and their entry ids


class RecordOpener:
    """Opens records of one job for one model, and seals their results. All methods belong to one event loop."""

    def __init__(
        self, job: str, identity: ModelIdentity, *, unknown: Callable[[], None] = lambda: None,
        remembered: int = REMEMBERED,
    ) -> None:  # fmt: skip
        self.unknown = unknown  # told of a key that is not held: the owner may have rotated it meanwhile
        self._job, self._identity, self._remembered = job, identity, remembered
        self._keys: Mapping[str, QueueKey] = {}
        self._newest = ""
        self._seen: OrderedDict[bytes, str] = OrderedDict()

    @property
    def kid(self) -> str:
        """The newest key that is held, empty where there is none."""
        return self._newest

    @property
    def kids(self) -> tuple[str, ...]:
        """Every key that is accepted now, newest first."""
        return tuple(self._keys)

    def hold(self, keys: Sequence[QueueKey]) -> None:
        """Accept these keys, newest first, and no others; none at all lets go of them."""
        self._keys = {key.public.kid: key for key in keys}
        self._newest = next(iter(self._keys), "")

    def open(self, kid: str, data: bytes, uri: str, entry_id: str) -> Opened:
        """Return a record's inner form, its response key and its payload.

        Raises UnknownQueueKey, which is no answer: the record is left to another worker; or UnsealFailed.
        """
        key = self._keys.get(kid)
        if key is None:
            self.unknown()
            raise UnknownQueueKey(f"the record is sealed to queue key {kid[:16]!r}, which this worker does not hold")
        opened = sealed.open_record(data, key=key, binding=self.binding(uri))
        self._first_time(data[:ENC_BYTES], uri, entry_id)
        return Opened(int(opened.serde), opened.response_key, opened.payload)

    def seal(self, kind: int, payload: bytes, *, uri: str, entry_id: str, response_key: Secret) -> bytes:
        """Return the `value` of a sealed record's result."""
        return sealed.seal_result(
            payload, ResultKind(kind), response_key=response_key, binding=self.binding(uri), entry_id=entry_id
        )

    def binding(self, uri: str) -> Binding:
        """Return what a record of this job is bound to here."""
        return Binding(self._job, uri, self._identity.name, self._identity.version)

    def _first_time(self, sent: bytes, uri: str, entry_id: str) -> None:
        """Remember whose record this is; a redelivery of the same entry is none of a replay's doing."""
        if not entry_id:
            return
        if self._seen.setdefault(sent, entry_id) != entry_id:
            raise UnsealFailed("the sealed record was opened before, under another entry: it is a replay", uri=uri)
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
