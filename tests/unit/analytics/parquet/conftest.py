"""Keys and rows that are written and read below."""

import pyarrow as pa
import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.datasets.key_ring import KeyRing


@pytest.fixture
def rings():
    """Two owners' primary keys."""
    return {name: KeyRing.fresh(name) for name in ("people", "pay")}


@pytest.fixture
def keys(rings):
    """A KeyService with both."""
    return RingKeys(rings.values())


@pytest.fixture
def table():
    """Three rows."""
    return pa.table({"name": ["Ada-Lovelace", "Bob-Beamon", "Cyd-Charisse"], "salary": [1, 2, 3]})
