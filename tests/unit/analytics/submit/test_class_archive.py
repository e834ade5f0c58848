"""How a driver is started from a file of Spark's classes, and when it is not."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.surroundings import environment, spark_home
from strongroom.analytics.submit import class_archive, gateway, warming
from strongroom.analytics.submit.class_archive import NoCommand
from strongroom.pki.disk import LoosePermissions

pytest.importorskip("pyspark")
OWN = Path("/own/submit-1.jar")
WORDS = ("--class", "Main", "spark-internal")


@pytest.fixture
def folder():
    made = SessionFolder.create(insecure=True)
    yield made
    made.remove()


@pytest.fixture
def cached(tmp_path):
    """Return an environment with a cache of its own, and the file in it."""
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    place = class_archive.place(environ)
    (tmp_path / "made").write_bytes(b"classes")
    class_archive.keep(tmp_path / "made", place, class_archive.origin_of(environ, OWN))
    return environ, place


def test_it_is_found_for_the_jars_it_was_made_with_alone(cached):
    environ, place = cached
    assert class_archive.found(environ, OWN) == place
    assert class_archive.found(environ, Path("/own/submit-2.jar")) is None
    place.unlink()
    assert class_archive.found(environ, OWN) is None


@pytest.fixture
def jars(tmp_path, monkeypatch):
    """Return the folder of a Spark of one jar."""
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / "spark-core.jar").write_bytes(b"one")
    monkeypatch.setattr(class_archive, "spark_jars", lambda: folder)
    return folder


def test_jars_that_were_installed_anew_want_a_file_made_anew_in_the_same_place(jars, cached):
    environ, place = cached
    jar = jars / "spark-core.jar"
    before = jar.stat()
    os.utime(jar, ns=(before.st_atime_ns, before.st_mtime_ns + 2 * 10**9))
    assert class_archive.found(environ, OWN) is None  # the JVM compares times, and would take the jars in silence
    assert class_archive.place(environ) == place
    os.utime(jar, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert class_archive.found(environ, OWN) == place
    (jars / "spark-sql.jar").write_bytes(b"two")
    assert class_archive.found(environ, OWN) is None


@pytest.mark.parametrize("by", ["JAVA_HOME", "PATH"])
def test_another_java_wants_a_file_of_its_own(cached, tmp_path, by):
    environ, place = cached
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    other = {**environ, by: str(tmp_path / "jdk" if by == "JAVA_HOME" else java.parent)}
    assert class_archive.found(other, OWN) is None
    assert class_archive.found(environ, OWN) == place


def test_a_file_that_was_cut_is_not_used_for_a_jvm_dies_of_it(cached):
    environ, place = cached
    place.write_bytes(b"class")
    assert class_archive.found(environ, OWN) is None
    place.write_bytes(b"CLASSES")
    assert class_archive.found(environ, OWN) == place
    class_archive.label_of(place).unlink()
    assert class_archive.found(environ, OWN) is None


def test_a_link_and_another_users_file_are_refused(cached, tmp_path, monkeypatch):
    environ, place = cached
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(LoosePermissions):
        class_archive.found(environ, OWN)
    monkeypatch.undo()
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LoosePermissions, match="is a link"):
        class_archive.found(environ, OWN)


@pytest.mark.parametrize("flags", [["-I"], ["-P"], ["-X", "pycache_prefix=/nonexistent"], []], ids=str)
def test_what_is_measured_takes_no_classes_that_nobody_measured(cached, flags):
    environ, place = cached
    words = (
        "import os, pathlib; from strongroom.analytics.submit import class_archive as archive; "
        f"print(archive.found(os.environ, pathlib.Path({str(OWN)!r})))"
    )
    said = subprocess.check_output([sys.executable, *flags, "-c", words], env=environ, text=True).strip()
    assert said == ("None" if flags else str(place))


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java")
def test_the_class_path_is_the_same_in_every_session_and_a_writing_jvm_has_no_agent(folder):
    folder.write_settings({"spark.driver.extraJavaOptions": "-javaagent:/own/submit-1.jar=x -Da=b"}, {})
    environ = environment(folder, os.environ, local_dirs=())
    using = class_archive.command(WORDS, folder, environ, class_archive.using(Path("/cache/classes.jsa")))
    classes = using[using.index("-cp") + 1].split(os.pathsep)
    assert classes[-2:] == [f"{spark_home()}/jars/*", str(folder.conf)]  # behind what the file's classes are from
    assert not [each for each in (*classes, *using) if each.startswith(str(folder.path / "home"))]
    assert not [each for each in using if each.startswith("-Dlog4j")]  # a program may bring its own
    assert {"-XX:SharedArchiveFile=/cache/classes.jsa", "-javaagent:/own/submit-1.jar=x", "-Da=b"} <= set(using)
    assert using[-3:] == list(WORDS)
    making = class_archive.command(WORDS, folder, environ, class_archive.making(Path("/cache/classes.jsa")))
    assert {"-XX:ArchiveClassesAtExit=/cache/classes.jsa", "-Da=b"} <= set(making)
    assert not [each for each in making if each.startswith("-javaagent")]
    assert f"-Dlog4j2.configurationFile={folder.conf}/log4j2.properties" in making
    assert str(folder.conf) not in making[making.index("-cp") + 1].split(os.pathsep)


@pytest.mark.parametrize("home", ["/nonexistent", None])
def test_a_launcher_that_says_no_command_is_told(folder, tmp_path, home):
    if home is None:
        (tmp_path / "bin").mkdir()
        java = tmp_path / "bin" / "java"
        java.write_text("#!/bin/sh\necho nothing\n")
        java.chmod(0o755)
    environ = {**os.environ, "JAVA_HOME": home or str(tmp_path)}
    with pytest.raises(NoCommand):
        class_archive.command(WORDS, folder, environ, ())


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java")
@pytest.mark.parametrize("content", [b"", b"no classes", bytes(1 << 16)], ids=["empty", "words", "zeros"])
def test_a_file_that_suits_no_jvm_is_passed_over_in_silence(tmp_path, content):
    archive = tmp_path / "classes.jsa"
    archive.write_bytes(content)
    words = ["java", *class_archive.using(archive), "-version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    plain = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    assert done.stderr.splitlines()[0] == plain.stderr.splitlines()[0]


def test_without_the_file_spark_s_own_script_starts_the_driver(folder, tmp_path):
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = gateway._command(folder, environ, None)
    assert command == [f"{spark_home()}/bin/spark-submit", "--class", gateway.MAIN_CLASS, "spark-internal"]


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java")
def test_a_program_in_a_jar_has_the_file_too(folder, cached, monkeypatch):
    base, place = cached
    folder.write_settings({}, {})
    environ = environment(folder, base, local_dirs=())
    monkeypatch.setattr(gateway, "own_jar", lambda: OWN)
    command = gateway.java_command("Main", "/programs/app.jar", ("7",), folder, environ)
    assert f"-XX:SharedArchiveFile={place}" in command
    assert command[-4:] == ["--class", "Main", "/programs/app.jar", "7"]
    place.unlink()
    command = gateway.java_command("Main", "/programs/app.jar", ("7",), folder, environ)
    assert command == [f"{spark_home()}/bin/spark-submit", "--class", "Main", "/programs/app.jar", "7"]


def test_what_a_killed_run_left_goes_and_what_is_being_made_stays(tmp_path):
    for name, seconds in ((".warm-up-old", 7200), (".warm-up-new", 0), ("classes-1.jsa", 7200)):
        (tmp_path / name).mkdir()
        at = time.time() - seconds
        os.utime(tmp_path / name, (at, at))
    warming.sweep(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".warm-up-new", "classes-1.jsa"]


def test_every_drivers_jvm_sees_spark_through_its_session(folder):
    found = gateway.variables(folder, {"A": "b", "SPARK_HOME": "/elsewhere"})
    assert found == {
        "A": "b",
        "SPARK_HOME": str(folder.path / "home"),
        "PYTHONHASHSEED": "0",
        "SPARK_SCALA_VERSION": "2.13",
    }
