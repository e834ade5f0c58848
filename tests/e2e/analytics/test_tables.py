"""Tables that a program saves, with Hive's metastore: nothing of them reaches the folder that a job was started in."""

import subprocess
import sys

import pytest

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

PROGRAM = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.enableHiveSupport().getOrCreate()
spark.range(3).write.saveAsTable("numbers")
spark.sql("create view few as select * from numbers where id < 2")
print("few", spark.table("few").count(), spark.conf.get("spark.sql.catalogImplementation"), flush=True)
"""


@pytest.mark.full
def test_an_09_saved_tables_and_the_metastore_stay_in_memory(tmp_path, lean_java):
    (tmp_path / "app.py").write_text(PROGRAM)
    started = tmp_path / "started here"
    started.mkdir()
    words = [sys.executable, "-m", "strongroom", "spark", "submit", "--master", "local[1]", "--driver-memory", "768m",
             "--driver-java-options", lean_java, "--no-ui", str(tmp_path / "app.py")]  # fmt: skip
    done = subprocess.run(words, cwd=started, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[0] == "few 2 hive"
    assert not list(started.iterdir())
