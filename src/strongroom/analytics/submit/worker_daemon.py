"""PySpark's daemon of Python workers, silent about a JVM that has hung up.

    python -m strongroom.analytics.submit.worker_daemon pyspark.worker

A JVM that has the rows it wants (limit, show, take) closes a worker's socket, and PySpark's daemon then prints how the
worker failed to write. Nothing has: every other failure is printed as before. What PySpark says of pandas is left out,
as it is in the driver. World: PySpark's process for its workers.
"""

from __future__ import annotations

from strongroom.analytics.session.notices import quiet_daemon, quiet_pandas


def main() -> None:
    """Run the daemon until Spark closes its input."""
    from pyspark import daemon

    quiet_daemon(daemon)
    quiet_pandas()
    daemon.manager()


if __name__ == "__main__":
    main()
