"""What the cluster's side says of a job on Kubernetes: images, names, numbers of executors, and nothing else. Pure.

The driver's own words are measured, and an image cannot hold its own digest: so these few settings come from a file
that nobody has to trust. What they name has to prove itself like everything else before it is given anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from strongroom.errors import Refused
from strongroom.sparkjobs import defaults_file

_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?"
_PATH: Final = r"/[A-Za-z0-9_.+/-]{1,1023}"
_NUMBER: Final = r"[1-9][0-9]{0,5}"
_CORES: Final = r"[0-9]{1,6}(\.[0-9]{1,3}|m)?"
_SIZE: Final = r"[1-9][0-9]{0,8}[kmgKMG]?"
_IMAGE: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}"
_VALUE: Final = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"  # of a label
_LABEL: Final = r"([a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_FORMS: Final[Mapping[str, str]] = {
    "spark.kubernetes.namespace": _NAME,
    "spark.kubernetes.container.image": _IMAGE,
    "spark.kubernetes.executor.container.image": _IMAGE,
    "spark.kubernetes.container.image.pullPolicy": "Always|IfNotPresent|Never",
    "spark.kubernetes.container.image.pullSecrets": f"{_NAME}(,{_NAME}){{0,15}}",
    "spark.kubernetes.executor.podNamePrefix": _NAME,
    "spark.kubernetes.executor.podTemplateFile": _PATH,
    "spark.kubernetes.executor.podTemplateContainerName": _NAME,
    "spark.kubernetes.driver.pod.name": _NAME,
    "spark.kubernetes.authenticate.executor.serviceAccountName": _NAME,
    "spark.kubernetes.executor.request.cores": _CORES,
    "spark.kubernetes.executor.limit.cores": _CORES,
    "spark.driver.host": _NAME,
    "spark.executor.instances": _NUMBER,
    "spark.executor.cores": _NUMBER,
    "spark.executor.memoryOverhead": _SIZE,
    "spark.executor.memoryOverheadFactor": r"[0-9]{1,2}(\.[0-9]{1,4})?",
}
_LABELLED: Final = (
    "spark.kubernetes.executor.label.", "spark.kubernetes.executor.node.selector.", "spark.kubernetes.node.selector.",
)  # fmt: skip


class ClusterFileRefused(Refused):
    """The file of a cluster's settings has one that the cluster's side may not choose, or a value that is none."""

    code = "SR-SPARK-CLUSTER-FILE"
    fix = "Take the setting out, or give it as --conf where the driver's words are measured."


def read(data: bytes) -> dict[str, str]:
    """Return the settings of a file in the form of spark-defaults.conf. Raises ClusterFileRefused, BadDefaultsFile."""
    settings = defaults_file.parse(data)
    for name, value in settings.items():
        if not _is_allowed(name, value):
            raise ClusterFileRefused(f"{ascii(name[:100])[1:-1]} is none of the cluster's, or has no such value")
    return settings


def _is_allowed(name: str, value: str) -> bool:
    form = _FORMS.get(name)
    if form is not None:
        return re.fullmatch(form, value, re.ASCII) is not None
    for prefix in _LABELLED:
        if name.startswith(prefix):
            label = re.fullmatch(_LABEL, name.removeprefix(prefix), re.ASCII)
            return label is not None and re.fullmatch(_VALUE, value, re.ASCII) is not None
    return False
