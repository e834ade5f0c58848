"""The examples of trusted analytics: which there are, what they work on, how they are run, and what they have to say.

The programs themselves are plain Spark, in `examples/spark` of a clone; nothing in them knows this room.
"""

from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.catalogue import EXAMPLES, find
from strongroom.analytics.examples.entry import Example
from strongroom.analytics.examples.runner import SUBMIT, Outcome, in_memory, run
from strongroom.analytics.examples.sealed import Encryption, fresh_keys

__all__ = ["EXAMPLES", "SUBMIT", "Asked", "Encryption", "Example", "Outcome", "find", "fresh_keys", "in_memory", "run"]
