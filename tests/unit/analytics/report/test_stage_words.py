"""A stage is told in a person's words, and where in the program it comes from."""

import pytest

from strongroom.analytics.report.stage_words import described


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("collect at app.py:12", "bring rows to the driver (app.py line 12)"),
        ("collect at /home/ada/app.py:12", "bring rows to the driver (app.py line 12)"),
        ("javaToPython at NativeMethodAccessorImpl.java:0", "hand rows to Python"),
        ("$anonfun$withThreadLocalCaptured$1 at CompletableFuture.java:1768", "part of a query"),
        ("withThreadLocalCaptured at FutureTask.java:264", "part of a query"),
        ("treeAggregate at RDDLossFunction.scala:61", "bring rows together (RDDLossFunction.scala:61)"),
        ("parallelPersonalizedPageRank at Graph.scala:3", "parallel personalized page rank (Graph.scala:3)"),
        ("(removed)", "work under a name of the program's own, which is left out"),
        ("sums of the month", "sums of the month"),
        ("", ""),
    ],
)
def test_a_name_of_spark_s_becomes_words(name, said):
    assert described(name) == said
