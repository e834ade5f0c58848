"""The sentence that a person needs, out of traces of two languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.sparkjobs.failures import MAX_SENTENCE_CHARS, Failure, failure

OURS = """\
[PYTHON_DATA_SOURCE_ERROR] Failed to create Python data source instance: Traceback (most recent call last):
  File "/x/opening.py", line 37, in default_keys
    raise KeyNotGranted("this process has no keys")
strongroom.analytics.keys.service.KeyNotGranted: this process has no keys
what to do: Name the key (--key). [SR-DATA-KEY-DENIED]
 SQLSTATE: 38000
"""
JAVA = """\
An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: java.lang.SecurityException: SR-SPARK-SETTING: the program set spark.authenticate, which stays so
\tat strongroom.submit.Guard.refuse(Guard.java:55)
"""
WORKER = """\
An exception was thrown from the Python worker:
Traceback (most recent call last):
  File "/x/worker.py", line 4327, in invoke_udf
    run_process()
  File "/x/app.py", line 4, in f
    raise ValueError(f"no number: {x}")
ValueError: no number: 0
"""
CAUSED = "Job aborted.\n\tat a.B.c(B.java:1)\nCaused by: java.io.IOException: no room\n\tat d.E.f(E.java:2)\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (OURS, Failure("this process has no keys", "Name the key (--key).", "SR-DATA-KEY-DENIED")),
        (JAVA, Failure("the program set spark.authenticate, which stays so",
                       "See strongroom explain SR-SPARK-SETTING.", "SR-SPARK-SETTING")),
        (WORKER, Failure("ValueError: no number: 0")),
        (CAUSED, Failure("java.io.IOException: no room")),
        ("[TABLE_OR_VIEW_NOT_FOUND] The table cannot be found.;\n'Project\n+- Plan", Failure(
            "[TABLE_OR_VIEW_NOT_FOUND] The table cannot be found.;")),
        ("", Failure("it failed")),
    ],
    ids=["ours", "java", "worker", "caused", "analysis", "nothing"],
)  # fmt: skip
def test_the_sentence_is_found(text: str, found: Failure) -> None:
    assert failure(text) == found


@given(st.text(alphabet=st.sampled_from("aE:\n \t[]SR-XERROR.()"), max_size=300))
def test_there_is_always_one_short_line(text: str) -> None:
    sentence = failure(text).sentence
    assert sentence
    assert "\n" not in sentence
    assert len(sentence) <= MAX_SENTENCE_CHARS
