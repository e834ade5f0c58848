"""Where a job runs, by the words of Spark's --master. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Self

from strongroom.errors import BadInput

_LOCAL: Final = re.compile(
    r"local(\[([0-9]{1,4}|\*)(,[0-9]{1,4})?\])?|local-cluster\[[0-9]{1,3},[0-9]{1,3},[0-9]{1,6}\]"
)
_STANDALONE: Final = re.compile(r"spark://[A-Za-z0-9.\-]{1,253}:[0-9]{1,5}(,[A-Za-z0-9.\-]{1,253}:[0-9]{1,5}){0,9}")
_KUBERNETES: Final = re.compile(r"k8s://https://[A-Za-z0-9.\-\[\]:]{1,260}(/[\x21-\x7e]{0,200})?")


class BadMaster(BadInput):
    """The words of --master name no place where a trusted job can run."""

    code = "SR-SPARK-MASTER"
    fix = "Use local[N], spark://HOST:PORT or k8s://https://HOST:PORT."


class MasterKind(Enum):
    """What starts the executors."""

    LOCAL = "local"  # the driver itself, or for tests processes beside it
    STANDALONE = "spark"  # Spark's own Master and Workers
    KUBERNETES = "k8s"

    @classmethod
    def of(cls, master: str) -> Self:
        """Return the kind of a master. Raises BadMaster."""
        for kind, form in ((cls.LOCAL, _LOCAL), (cls.STANDALONE, _STANDALONE), (cls.KUBERNETES, _KUBERNETES)):
            if form.fullmatch(master):
                return kind
        raise BadMaster(f"{master[:100]!r} is no master of a trusted job")
