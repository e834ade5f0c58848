"""The same as `bigdl.serving.client`, under the name that BigDL's ancestor had."""

from bigdl.serving.client import InputQueue, OutputQueue

__all__ = ["InputQueue", "OutputQueue"]
