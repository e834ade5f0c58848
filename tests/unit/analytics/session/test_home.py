"""Spark's folder as a session's JVM sees it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.analytics.session.home import home_of
from strongroom.analytics.session.surroundings import spark_home

LOOK = "import pyspark, py4j, os; print(*(e.__file__ for e in (pyspark, py4j)), os.path.exists(pyspark.__cached__))"


def test_it_has_all_of_spark_and_packages_in_place_of_archives(folder):
    home = home_of(folder)
    assert (home / "bin" / "spark-class").samefile(spark_home() / "bin" / "spark-class")
    assert (home / "jars").samefile(spark_home() / "jars")
    archives = sorted((spark_home() / "python" / "lib").glob("*.zip"))
    assert len(archives) == 2
    path = [home / "python" / "lib" / archive.name for archive in reversed(archives)]  # as Spark composes it
    environ = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", LOOK], env=environ, capture_output=True, text=True, check=True)
    pyspark, py4j, cached = done.stdout.split()
    assert Path(pyspark).is_relative_to(path[0])
    assert Path(py4j).is_relative_to(path[1])
    assert cached == "True"


def test_what_executors_print_is_not_kept_in_sparks_own_folder(folder, tmp_path, monkeypatch):
    real = tmp_path / "spark"
    for name in ("jars", "work", "python/lib"):
        (real / name).mkdir(parents=True)
    monkeypatch.setattr("strongroom.analytics.session.home.spark_home", lambda: real)
    home = home_of(folder)
    assert (home / "jars").is_symlink()
    assert not os.path.lexists(home / "work")


def test_a_second_session_of_a_program_finds_it_made(folder):
    assert home_of(folder) == home_of(folder)


def test_it_goes_with_the_session_and_what_it_leads_to_stays(folder):
    home = home_of(folder)
    folder.remove()
    assert not home.exists()
    assert (spark_home() / "jars").is_dir()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_where_no_links_can_be_made_it_is_sparks_own(folder, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert home_of(folder) == spark_home()


def test_any_other_error_is_told(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(OSError, match="No space"):
        home_of(folder)
