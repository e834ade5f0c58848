"""Programs that ask for contexts without protection: in a JAR, in Python, and through Python in the JVM."""

import os
import subprocess
import sys

import pytest

from strongroom.analytics.parquet.build import build

SUBMIT = (sys.executable, "-m", "strongroom", "spark", "submit", "--master", "local[1]", "--no-ui",
          "--driver-memory", "512m")  # fmt: skip
LIMIT_S = 240
IN_A_JAR = """
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;

/** Asks for contexts without protection before one that is in order, and after it. */
public final class Loose {
    public static void main(String[] words) throws Exception {
        System.setProperty("spark.extraListeners", "");
        String folder = System.getProperty("spark.strongroom.folder");
        System.setProperty("spark.strongroom.folder", words[0]);
        tried("spark.io.encryption.enabled", "false");
        System.setProperty("spark.strongroom.folder", folder);
        tried("spark.io.encryption.enabled", "false");
        tried("spark.ssl.ui.enabled", "false");
        tried("spark.plugins", "org.apache.spark.sql.connect.SparkConnectPlugin");
        SparkContext context = new SparkContext(new SparkConf().set("spark.app.name", "ours"));
        System.out.println("open " + context.getConf().get("spark.app.name"));
        context.stop();
        tried("spark.eventLog.dir", "file:" + words[0]);
    }

    private static void tried(String name, String value) {
        try {
            new SparkContext(new SparkConf().set("spark.extraListeners", "").set(name, value)).stop();
            System.out.println("open " + name);
        } catch (SecurityException problem) {
            System.out.println(problem.getMessage().split(",")[0]);
        }
    }
}
"""
REFUSED = "SR-SPARK-SETTING: the program set spark."


def run(*words):
    done = subprocess.run([*SUBMIT, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                          timeout=LIMIT_S)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_an_09_a_program_in_a_jar_cannot_begin_a_context_without_the_sessions_settings(tmp_path, lean_java):
    pytest.importorskip("pyspark")
    sources = tmp_path / "app" / "java"
    sources.mkdir(parents=True)
    (sources / "Loose.java").write_text(IN_A_JAR)
    jar = build(sources, {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "locked.properties").write_text("")
    said = run("--driver-java-options", lean_java, "--class", "Loose", str(jar), str(elsewhere))
    assert said == [
        f"{REFUSED}strongroom.folder", f"{REFUSED}io.encryption.enabled", f"{REFUSED}ssl.ui.enabled",
        f"{REFUSED}plugins", "open ours", f"{REFUSED}eventLog.dir",
    ]  # fmt: skip
    assert sorted(each.name for each in elsewhere.iterdir()) == ["locked.properties"]


IN_PYTHON = """
from pyspark import SparkConf, SparkContext

def tried(what, begin):
    try:
        begin().stop()
        print("open", what, flush=True)
    except Exception as problem:
        print(what, "SR-SPARK-SETTING" in str(problem), flush=True)

def loose(jvm):
    conf = jvm.org.apache.spark.SparkConf().set("spark.extraListeners", "").set("spark.authenticate", "false")
    return jvm.org.apache.spark.api.java.JavaSparkContext(conf)

tried("conf", lambda: SparkContext(conf=SparkConf().set("spark.ui.threadDumpsEnabled", "true")))
tried("JVM", lambda: loose(SparkContext._jvm))
server = "org.apache.spark.sql.connect.SparkConnectPlugin"  # what builder.remote("local") sets
tried("connect", lambda: SparkContext(conf=SparkConf().set("spark.plugins", server)))
print("sum", SparkContext().parallelize(range(4), 1).sum(), flush=True)
"""


def test_an_09_a_python_program_cannot_either_by_itself_in_the_jvm_or_as_a_server(tmp_path, lean_java):
    pytest.importorskip("pyspark")
    (tmp_path / "app.py").write_text(IN_PYTHON)
    said = run("--driver-java-options", lean_java, str(tmp_path / "app.py"))
    assert said == ["conf True", "JVM True", "connect True", "sum 6"]
