"""What PySpark imports for its name where it looks for data sources: for no data source, but to be quiet there.

World: PySpark's worker for that, which Spark starts once in a session, by its own daemon.
"""

from strongroom.analytics.session.notices import quiet_planner

quiet_planner()
