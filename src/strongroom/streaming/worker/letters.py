"""Dead letters: records that no worker could finish, looked at, dropped, or given to the queue once more.

A record that was sealed is sealed to its entry in the stream, so only its sender can send it again. Source: spec
`cluster-serving.md` section 11.1; threats AN-05.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from strongroom.clusterserving.scripts import DEADLINE_FIELD, SIZE_FIELD
from strongroom.errors import BadInput, Refused
from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.link.records import DeadLetter

PAGE: Final = 100
_OF_ITS_ENTRY: Final = frozenset({SIZE_FIELD.encode(), DEADLINE_FIELD.encode()})  # the script writes them anew


class NoDeadLetter(BadInput):
    """There is no dead letter of this id."""

    code = "SR-QUEUE-NO-LETTER"
    fix = "List them with strongroom queue dead list; the oldest are forgotten when there are more than maxDeadLetters."


class SealedLetter(Refused):
    """A dead letter is sealed, which binds it to its entry: under another one no worker opens it."""

    code = "SR-QUEUE-SEALED-LETTER"
    fix = "Have its sender seal and send it again."


async def letters(queue: AsyncQueue) -> AsyncIterator[DeadLetter]:
    """Yield all, oldest first. Raises RedisAway, RedisRefused."""
    after: str | None = None
    while page := await queue.dead_letters(count=PAGE, after=after):
        for letter in page:
            yield letter
        after = page[-1].letter_id


async def letter_of(queue: AsyncQueue, letter_id: str) -> DeadLetter:
    """Return one. Raises NoDeadLetter."""
    async for letter in letters(queue):
        if letter.letter_id == letter_id:
            return letter
    raise NoDeadLetter(f"there is no dead letter {letter_id[:64]!r}")


async def requeue(queue: AsyncQueue, letter: DeadLetter) -> str:
    """Take a record in again, without its old deadline, and forget the letter; return its new entry id.

    A repetition does no harm: the letter's id is its idempotency key. Needs a user that may admit records and delete
    dead letters. Raises SealedLetter, QueueFull, RedisRefused.
    """
    if letter.fields.get(b"serde") == b"sealed":
        raise SealedLetter(f"the dead letter {letter.letter_id} is sealed")
    fields = {
        name.decode("utf-8", "replace"): value for name, value in letter.fields.items() if name not in _OF_ITS_ENTRY
    }
    entry_id = await queue.admit(fields, idempotency_key=f"dead-{letter.letter_id}")
    await queue.forget_dead([letter.letter_id])
    return entry_id
