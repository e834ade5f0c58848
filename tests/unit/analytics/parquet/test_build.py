"""Our Java classes, compiled where they are needed."""

import hashlib
import os
import zipfile

import pytest

from strongroom.analytics.parquet import build as building
from strongroom.analytics.parquet.build import JavaNotBuilt, NoSpark, build, kms_jar, spark_jars
from strongroom.pki.disk import LoosePermissions

GOOD = "package strongroom.trial; public final class Trial { public static int one() { return 1; } }"


@pytest.fixture
def environ(tmp_path):
    """The environment with a cache of its own."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def sources(tmp_path):
    """Return a folder of one Java file with the given text."""

    def written(text=GOOD):
        folder = tmp_path / "trial" / "java"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Trial.java").write_text(text)
        return folder

    return written


def test_the_jar_has_the_same_bytes_wherever_it_is_made(tmp_path, environ):
    jars = [kms_jar({**environ, "XDG_CACHE_HOME": str(tmp_path / place)}) for place in ("one", "two")]
    digests = {hashlib.sha256(jar.read_bytes()).digest() for jar in jars}
    assert len(digests) == 1
    with zipfile.ZipFile(jars[0]) as jar:
        assert "strongroom/parquet/StrongroomKmsClient.class" in jar.namelist()


def test_a_jar_is_compiled_once_and_its_cache_is_private(environ, sources, monkeypatch):
    made = build(sources(), environ)
    monkeypatch.setattr(building, "_compile", None)
    assert build(sources(), environ) == made
    assert made.parent.stat().st_mode & 0o077 == 0
    assert made.stat().st_mode & 0o077 == 0


def test_another_source_is_another_jar(environ, sources):
    assert build(sources(), environ) != build(sources(GOOD.replace("1", "2")), environ)


def test_a_cache_that_others_can_write_is_refused(environ, sources):
    build(sources(), environ).parent.chmod(0o777)
    with pytest.raises(LoosePermissions, match="other users"):
        build(sources(), environ)


def test_what_the_compiler_does_not_know_is_said_with_its_words(environ, sources):
    with pytest.raises(JavaNotBuilt, match="Trial") as caught:
        build(sources("package strongroom.trial; public final class Trial { int one() { return x; } }"), environ)
    assert caught.value.code == "SR-JAVA-BUILD"


def test_without_java_or_sources_nothing_is_built(tmp_path, environ, sources):
    with pytest.raises(JavaNotBuilt, match="no Java"):
        build(sources(), {**environ, "JAVA_HOME": str(tmp_path)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(JavaNotBuilt, match="nothing to compile"):
        build(tmp_path / "empty", environ)


def test_a_missing_pyspark_is_said_with_the_extra(monkeypatch):
    assert (spark_jars() / "..").resolve().name == "pyspark"
    monkeypatch.setattr(building.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(NoSpark, match="not installed") as caught:
        spark_jars()
    assert caught.value.code == "SR-SPARK-MISSING"
    assert (
        caught.value.fix == "In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[analytics]'."
    )
