"""What the driver does with a data set before any row is read: its manifest, its list of files, its key and schema.

Names and wrapped keys travel to the workers; a data key never does.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache

from strongroom.analytics.keys.opening import default_keys, open_keys
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.read import OpenDataset, check_named
from strongroom.analytics.session import events
from strongroom.analytics.source.faults import with_remedy
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.places import folder_of


@contextmanager
def keys_of(options: Options) -> Iterator[KeyService]:
    """Give the keys that an option refers to, or this process's agent's. Raises BadKeysReference, KeyNotGranted.

    What goes wrong while they are used, which is whatever can go wrong, is raised with what to do.
    """
    _spare_modules()
    with with_remedy(), closing(open_keys(options.keys) if options.keys else default_keys(os.environ)) as keys:
        yield keys


@contextmanager
def planned(options: Options) -> Iterator[OpenDataset]:
    """Give a data set that was checked as a whole: all but the content of its files, which whoever opens them checks.

    Raises OtherDataSet, and as OpenDataset, BadDataPlace and `keys_of` do.
    """
    with (
        keys_of(options) as keys,
        OpenDataset(folder_of(options.path), keys, min_generation=options.min_generation) as found,
    ):
        check_named(found.manifest, key=options.key, name=options.name)
        yield found


def _spare_modules() -> None:
    """Let Spark's worker, which collects garbage after every task, leave alone what was imported by now: 0.01 s each.

    Most is imported while the first task reads, so this looks again.
    """
    if os.environ.get("SPARK_PYTHON_RUNTIME") == "PYTHON_WORKER":
        _freeze_once_with(len(sys.modules))


@cache
def _freeze_once_with(modules: int) -> None:  # noqa: ARG001  # what is remembered
    gc.collect()
    gc.freeze()


def tell_read(found: OpenDataset) -> None:
    """Say in the job's events that a data set is read."""
    events.data_set_read(found.manifest, str(found.folder))
