"""What Redis calls things: the stream of a job, its group, the keys of results, replies, idempotency and workers.

Pure. The names of the original are kept, so that its clients find their results. Source: spec `cluster-serving.md`
sections 3 and 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.clusterserving.faults import InvalidUri
from strongroom.errors import BadInput

DEFAULT_JOB: Final = "serving_stream"
GROUP: Final = "serving"
MAX_URI_BYTES: Final = 512
MAX_JOB_BYTES: Final = 128
_FORBIDDEN: Final = frozenset("\0\r\n")
_TAKEN: Final = ("cs-dead_", "cs-bytes_", "cs-workers_")  # with a job's name behind, keys of that job


class BadJobName(BadInput):
    """A job's name cannot be part of Redis' keys and access rules."""

    code = "SR-QUEUE-JOB-NAME"
    fix = (
        "Name the job (jobName) with 1 to 128 printable ASCII characters without blanks and none of : * ? [ ] \\ ~ %,"
        " and none that begins like a key of another job (cs-dead_, cs-bytes_, cs-workers_)."
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One queue: everything that belongs to it in Redis. Two jobs share no key."""

    name: str = DEFAULT_JOB

    def __post_init__(self) -> None:
        """Raises BadJobName: the name stands in key patterns of access rules, where some characters mean more.

        A colon would make the results of job `a:b` ones of job `a` whose uri begins with `b:`.
        """
        odd = [each for each in self.name if not "!" <= each <= "~" or each in ":*?[]\\~%"]
        if odd or self.name.startswith(_TAKEN) or not 1 <= len(self.name) <= MAX_JOB_BYTES:
            raise BadJobName(f"{self.name[:MAX_JOB_BYTES]!r} cannot be a job's name")

    @property
    def stream(self) -> str:
        """The stream of requests."""
        return self.name

    @property
    def result_prefix(self) -> str:
        """What every result's key begins with."""
        return f"cluster-serving_{self.name}:"

    @property
    def dead(self) -> str:
        """The stream of records that no worker could finish."""
        return f"cs-dead_{self.name}"

    @property
    def workers(self) -> str:
        """The hash of workers' names that were seen, so that nobody has to search keys."""
        return f"cs-workers_{self.name}"

    @property
    def bytes(self) -> str:
        """The counter of bytes that wait in the stream."""
        return f"cs-bytes_{self.name}"

    @property
    def reply_prefix(self) -> str:
        """What every reply list's key begins with."""
        return f"cs-reply_{self.name}:"

    def result(self, uri: str) -> str:
        """Return the key of a record's result. Raises InvalidUri."""
        return self.result_prefix + check_uri(uri)

    def uri_of(self, result_key: str) -> str:
        """Return the uri in a result's key, colons and all."""
        return result_key.removeprefix(self.result_prefix)

    def idempotency(self, key: str) -> str:
        """Return the key that remembers a client's idempotency key. Raises InvalidUri."""
        return f"cs-idem_{self.name}:{check_uri(key)}"

    def reply(self, client: str) -> str:
        """Return the list that tells a client which of its records are done. Raises InvalidUri."""
        return self.reply_prefix + check_uri(client)

    def worker(self, consumer: str) -> str:
        """Return the key of a worker's heartbeat."""
        return f"cs-worker_{self.name}:{consumer}"


def check_uri(uri: str) -> str:
    """Return a record's name as it is. Raises InvalidUri for one that is empty, too long or holds NUL, CR or LF."""
    if uri.isascii() and uri.isprintable() and 1 <= len(uri) <= MAX_URI_BYTES:  # nearly all, in a tenth of the time
        return uri
    size = len(uri.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_URI_BYTES or _FORBIDDEN & set(uri) or any("\ud800" <= each <= "\udfff" for each in uri):
        raise InvalidUri(f"a uri has 1 to {MAX_URI_BYTES} bytes of UTF-8 without NUL, CR and LF")
    return uri
