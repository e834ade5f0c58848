"""Images in, top-n out: how a worker turns a record's inputs into a model's arrays, and its outputs into an answer.

`Preparation` is the whole of it for a worker; `encode` is what clients use. The rules of decoding are fixed, so that
an image means the same numbers on either side. Source: spec `cluster-serving.md` sections 2, 3.2, 3.3 and 5.
"""

from strongroom.streaming.images.preparation import Preparation

__all__ = ["Preparation"]
