"""Spark's history server before there is a JVM: what it is told, and what is refused."""

import io
import shutil

import pytest

from strongroom.analytics.report import history
from strongroom.analytics.report.history import HistoryNotStarted, SameApplication, serving
from strongroom.analytics.report.reading import BadReportInput
from strongroom.analytics.session.folder import SessionFolder


@pytest.fixture
def sessions(monkeypatch):
    """Note the session folders that are made."""
    made, create = [], SessionFolder.create

    def noted(**options):
        made.append(create(**options))
        return made[-1]

    monkeypatch.setattr(SessionFolder, "create", staticmethod(noted))
    return made


def test_folders_without_a_log_or_with_the_same_one_twice_are_refused_before_java_starts(
    job_folder, tmp_path, sessions
):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadReportInput), serving([tmp_path / "empty"]):
        pass
    shutil.copytree(job_folder, tmp_path / "again")
    with pytest.raises(SameApplication) as caught, serving([job_folder, tmp_path / "again"]):
        pass
    assert caught.value.code == "SR-SPARK-HISTORY-TWICE"
    assert [each.path.exists() for each in sessions] == [False, False]


def test_a_server_that_ends_says_its_last_words():
    said = io.StringIO("starting\nBindException: Address already in use\n")
    with pytest.raises(HistoryNotStarted) as caught:
        history._Listener(said).address()
    assert caught.value.code == "SR-SPARK-HISTORY"
    assert "Address already in use" in caught.value.sentence


def test_the_address_is_found_among_other_lines():
    said = io.StringIO("x\n26/01/01 INFO HistoryServer: Bound HistoryServer to 127.0.0.1, and started at https://h:1\n")
    assert history._Listener(said).address() == "https://h:1"


def test_everything_is_over_tls(sessions):
    folder = SessionFolder.create()
    try:
        told = history.settings(folder, 18480, "words")
    finally:
        folder.remove()
    assert told["spark.ssl.historyServer.enabled"] == "true"
    assert told["spark.ssl.historyServer.protocol"] == "TLSv1.3"
    assert told["spark.history.fs.logDirectory"].startswith("file:///")
