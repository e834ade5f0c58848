"""The examples of trusted analytics: which there are, what they work on, how they are run, and what they have to say.

The programs themselves are plain Spark, in `examples/spark` of a clone; nothing in them knows this room.
"""

from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.catalogue import EXAMPLES, find
from strongroom.analytics.examples.entry import Example
from strongroom.analytics.examples.runner import SUBMIT, Outcome, run

__all__ = ["EXAMPLES", "SUBMIT", "Asked", "Example", "Outcome", "find", "run"]
