"""OpenCV, loaded when the first image needs it and held to one thread: workers bring threads of their own."""

from __future__ import annotations

import functools
from typing import Any

from strongroom.errors import BadInput


class NoOpenCv(BadInput):
    """Images are to be read or made, and OpenCV is not installed."""

    code = "SR-QUEUE-NO-OPENCV"
    fix = "Install the extra: pip install 'strongroom[streaming]'."


@functools.cache
def opencv() -> Any:  # noqa: ANN401  # its stubs differ from release to release; 4.10 and 5 are both spoken to
    """Return the module cv2. Raises NoOpenCv."""
    try:
        import cv2
    except ImportError:
        raise NoOpenCv("OpenCV (cv2) is not installed") from None
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # damaged images are told as errors of ours
    return cv2
