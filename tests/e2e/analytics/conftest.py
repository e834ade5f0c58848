"""One trusted session for all tests of a worker process that only need some Spark: a JVM takes its time to start."""

import importlib.util
from pathlib import Path

import pytest

# What runs for seconds is not worth compiling twice: a third of a JVM's processor time until its first job is over.
LEAN_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SMALL = {
    "spark.driver.memory": "768m",
    "spark.driver.extraJavaOptions": LEAN_JAVA,
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.port": "0",
    "spark.python.worker.memory": "1m",  # Python spills at once
}


def pytest_collection_modifyitems(items):
    """PySpark leaves the sockets of collect() to the garbage collector; all else stays an error."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(scope="session")
def lean_java():
    """Return the options of a JVM that does little: of a driver as --driver-java-options."""
    return LEAN_JAVA


@pytest.fixture(scope="session")
def primary_keys(tmp_path_factory):
    """Return a folder of key files with the primary keys `people` and `other`."""
    from strongroom.analytics.keys.files import write_ring
    from strongroom.datasets.key_ring import KeyRing

    folder = tmp_path_factory.mktemp("keys") / "keys"
    for name in ("people", "other"):
        write_ring(folder, KeyRing.fresh(name))
    return folder


@pytest.fixture(scope="session")
def trusted_session(primary_keys):
    """Return a TrustedSession on local[2] with the file keys of `primary_keys`."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed: pip install 'strongroom[analytics]'")
    from strongroom.analytics.submit.session import TrustedSession

    with TrustedSession("shared", master="local[2]", keys=f"file:{primary_keys}", extra_conf=SMALL) as session:
        yield session
