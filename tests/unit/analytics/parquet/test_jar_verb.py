"""strongroom spark jar: what it writes is what sessions use, once."""

import argparse
import hashlib
import json

import pytest

from strongroom.analytics.parquet.build import kms_jar
from strongroom.cli import spark_jar
from strongroom.pki.disk import AlreadyThere


def asked(*words):
    """Return the verb's arguments."""
    parser = argparse.ArgumentParser()
    spark_jar.arguments(parser)
    return parser.parse_args(list(words))


def test_the_jar_is_written_with_its_digest(tmp_path, capsys):
    out = tmp_path / "client.jar"
    assert spark_jar.run(asked(str(out), "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "file": str(out),
        "bytes": out.stat().st_size,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }
    assert out.read_bytes() == kms_jar().read_bytes()


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "client.jar").write_bytes(b"mine")
    with pytest.raises(AlreadyThere):
        spark_jar.run(asked(str(tmp_path / "client.jar")))
    assert spark_jar.run(asked(str(tmp_path / "other.jar"))) == 0
    assert "SHA-256" in capsys.readouterr().out
