"""What both clients do alike, threads or coroutines: make records, know the queue's bounds, read results. No socket.

Source: spec `cluster-serving.md` sections 6 and 11.3 to 11.5.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom.clusterserving.faults import ServingError, Unauthorized
from strongroom.clusterserving.record import request_fields
from strongroom.clusterserving.result_reading import read_result
from strongroom.clusterserving.sealed import new_response_key
from strongroom.clusterserving.values import Result
from strongroom.secret import Secret
from strongroom.streaming.client.facts import Facts
from strongroom.streaming.client.inputs import inputs_of
from strongroom.streaming.client.sealing import Sealer
from strongroom.streaming.client.settings import Settings
from strongroom.streaming.client.tickets import Wait, Waits
from strongroom.streaming.link.queue import Bounds
from strongroom.streaming.link.records import Admission, RawFields, WorkerSeen

FACTS_AGE_S: Final = 5.0  # how long what workers said is believed
BATCH: Final = 256  # records in one round trip
BATCH_BYTES: Final = 16 << 20
LINGER_MS: Final = 60_000  # a result that was read lives on for so long, if deleting it fails
MAX_REPLIES: Final = 1024
REMEMBERED: Final = 10_000  # idempotency keys of sealed records whose results can be opened
SERDES: Final = {"raw": "raw", "arrow": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One record to submit. `deadline_ms`: it is of no use after so long. With a key it may be submitted again."""

    inputs: Mapping[str, Any]
    uri: str | None = None
    deadline_ms: int | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class Draft:
    """A record ready to go, and the wait for its result."""

    admission: Admission
    wait: Wait
    size: int


class Core:
    """The state of one client: its name on reply lists, what it waits for, what it knows of the workers."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadQueueOption, and what reading the public queue key raises."""
        self.settings = settings
        self.name = settings.full(settings.client or uuid.uuid4().hex)
        self.sealer = (
            None if settings.seal_to is None
            else Sealer.of(settings.seal_to, settings.owner_key, job=settings.job.name, version=settings.version)
        )  # fmt: skip
        self.waits = Waits(self.read)
        self._response_keys: dict[str, Secret] = {}
        self.facts = Facts()
        self._facts_at_s: float | None = None

    @property
    def reply(self) -> str | None:
        """The reply list that workers are asked to tell; an original server knows none."""
        return None if self.settings.original else self.settings.job.reply(self.name)

    def facts_are_old(self, now_s: float) -> bool:
        """Return whether the workers should be asked anew."""
        known = self._facts_at_s
        return not self.settings.original and (known is None or now_s - known > FACTS_AGE_S)

    def learn(self, workers: Sequence[WorkerSeen], now_s: float) -> Bounds:
        """Note what workers say, and return the bounds that hold from now on."""
        self.facts, self._facts_at_s = Facts.of(workers, Bounds()), now_s
        self.waits.told = True  # where nobody lives there is nothing to look for, and whoever comes will tell
        return self.facts.bounds

    def draft(self, submission: Submission) -> Draft:
        """Make a record. Raises InvalidUri, UriBusy, BadRecord, BadImage, TooLarge, Unauthorized, KeyFileExpired."""
        if self.facts.requires_sealed and self.sealer is None:
            raise Unauthorized("this queue takes sealed records only", fix="Give seal_to and owner_key.")
        key = submission.idempotency_key
        uri = self.settings.full(submission.uri or (uuid.uuid4().hex if key is None else derived(key, "uri")))
        secret = self._response_key(key)
        self.waits.check_free(uri)
        fields = request_fields(
            uri, inputs_of(submission.inputs), serde=SERDES[self.settings.form] if secret is None else "sealed",
            reply=self.reply, accept_raw=not self.settings.original, seal_to=self.sealer, response_key=secret,
        )  # fmt: skip
        size = sum(len(each) for each in fields.values())
        hidden = None if key is None else self.settings.full(derived(key, "name"))
        admission = Admission(fields, hidden, submission.deadline_ms, digest=self._digest(submission, key, fields))
        wait = Wait(uri, None, secret, kept=key is not None, own_uri=submission.uri is None and key is None)
        return Draft(admission, wait, size)

    def _response_key(self, key: str | None) -> Secret | None:
        """Return the key for a sealed record's result: the same one when a record is submitted again."""
        if self.sealer is None:
            return None
        if key is None:
            return new_response_key()
        name = derived(key, "name")
        secret = self._response_keys.pop(name, None) or new_response_key()
        self._response_keys[name] = secret
        if len(self._response_keys) > REMEMBERED:
            del self._response_keys[next(iter(self._response_keys))]
        return secret

    def _digest(self, submission: Submission, key: str | None, fields: Mapping[str, str | bytes]) -> str | None:
        """Return what an idempotency key is bound to: the record itself, told from others only by who knows the key.

        A sealed record differs each time it is sealed, so what was sealed is bound, not the ciphertext.
        """
        if key is None:
            return None
        if self.sealer is not None:
            fields = request_fields(str(fields["uri"]), inputs_of(submission.inputs), serde="raw")
        digest = hmac.new(key.encode(), b"record", hashlib.sha256)
        for name in sorted(set(fields) - {"reply", "accept", "deadline"}):
            value = fields[name]
            for part in (name.encode(), value if isinstance(value, bytes) else value.encode()):
                digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()

    def read(self, wait: Wait, fields: RawFields) -> Result:
        """Read a result that Redis gave. Raises BadRecord, UnsealFailed."""
        return read_result(
            wait.uri, fields, response_key=wait.response_key, opener=self.sealer, entry_id=wait.entry_id
        )  # fmt: skip


def derived(key: str, what: str) -> str:
    """Return a name made of an idempotency key, which Redis itself never sees."""
    return hmac.new(key.encode(), what.encode(), hashlib.sha256).hexdigest()[:32]


def batches(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """Return drafts in portions that go out together: at most BATCH of them and about BATCH_BYTES."""
    portions: list[list[Draft]] = [[]]
    size = 0
    for draft in drafts:
        if portions[-1] and (len(portions[-1]) == BATCH or size + draft.size > BATCH_BYTES):
            portions.append([])
            size = 0
        portions[-1].append(draft)
        size += draft.size
    return portions if portions[-1] else []


def settled(draft: Draft, outcome: str | ServingError) -> Wait:
    """Note what became of a record: its entry id, or why it was refused."""
    if isinstance(outcome, ServingError):
        outcome.uri = draft.wait.uri
        draft.wait.problem = outcome
    else:
        draft.wait.entry_id = outcome
    return draft.wait
