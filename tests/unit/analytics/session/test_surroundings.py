"""What an operator puts around a job: variables and files that would bring code of theirs into the driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.analytics.session.surroundings import environment, spark_home

LIMIT_S = 120


def test_no_variable_brings_code_or_options_into_spark_submits_shell_launcher_or_java(folder, tmp_path):
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "env.sh").write_text(f"touch {seen}/shell\n")
    hostile = {
        "BASH_ENV": str(tmp_path / "env.sh"), "BASH_FUNC_ps%%": f"() {{ touch {seen}/function; }}",
        "SPARK_LAUNCHER_OPTS": f"-Xlog:gc:file={seen}/launcher", "JDK_JAVA_OPTIONS": f"-Xlog:gc:file={seen}/jdk",
        "JAVA_TOOL_OPTIONS": f"-Xlog:gc:file={seen}/tool", "SPARK_SUBMIT_OPTS": f"-Xlog:gc:file={seen}/submit",
    }  # fmt: skip
    words = [str(spark_home() / "bin" / "spark-submit"), "--version"]

    def run(environ):
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr
        return {each.name for each in seen.iterdir()}

    cleaned = environment(folder, {**os.environ, **hostile}, local_dirs=())
    assert run(cleaned) == set()
    assert run({**cleaned, **hostile}) >= {"shell", "function", "launcher", "tool"}  # so much for what they would do


def test_classes_and_settings_of_hadoop_are_not_taken_from_the_environment(folder):
    hostile = dict.fromkeys(("SPARK_DIST_CLASSPATH", "SPARK_PREPEND_CLASSES", "HADOOP_CONF_DIR", "YARN_CONF_DIR"), "/x")
    assert not hostile.keys() & environment(folder, hostile, local_dirs=()).keys()


@pytest.mark.parametrize("flags", [["-I", "-B"], []], ids=["measured", "plain"])
def test_a_measured_job_takes_no_module_from_its_folder_or_its_variables(tmp_path, flags):
    """Without -I, Python's own rules hold: PYTHONPATH is the user's."""
    pytest.importorskip("pyspark")
    seen, path, here = tmp_path / "seen", tmp_path / "path", tmp_path / "here"
    for each in (seen, path, here):
        each.mkdir()
    (path / "sitecustomize.py").write_text(f"open({str(seen / 'path')!r}, 'w').close()\n")
    (here / "wave.py").write_text(f"open({str(seen / 'here')!r}, 'w').close()\n")
    (here / "strongroom.py").write_text(f"open({str(seen / 'strongroom')!r}, 'w').close()\n")
    (here / "helper.py").write_text("word = 'helped'\n")
    (here / "app.py").write_text("import wave, helper\nprint(helper.word)\n")
    words = [sys.executable, *flags, "-c", "import sys; from strongroom.cli import main; sys.exit(main(sys.argv[1:]))",
             "spark", "submit", "--master", "local[1]", "--insecure", "app.py"]  # fmt: skip
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(path)}
    if flags:
        done = subprocess.run(
            words, cwd=here, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert (done.returncode, done.stdout) == (0, "helped\n"), done.stderr
        assert list(seen.iterdir()) == []
    else:
        (here / "strongroom.py").unlink()
        done = subprocess.run(
            words, cwd=here, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert (done.returncode, done.stdout) == (0, "helped\n"), done.stderr
        assert {each.name for each in seen.iterdir()} == {"path", "here"}


def test_a_measured_job_takes_bytecode_of_its_own_session_alone(tmp_path):
    """What an operator compiled lies where Python would look, and is not taken; what the session compiles is."""
    pytest.importorskip("pyspark")
    (tmp_path / "helper.py").write_text("word = 'measured'\n")
    (tmp_path / "app.py").write_text(
        "import helper, os, sys\nprint(helper.word, sys.dont_write_bytecode, os.path.exists(helper.__cached__))\n"
        "print(sys.pycache_prefix)\n"
    )
    changed = tmp_path / "changed.py"
    changed.write_text("word = 'changed!'\n")  # as long as the other
    source = (tmp_path / "helper.py").stat()
    os.utime(changed, ns=(source.st_atime_ns, source.st_mtime_ns))
    for prefix in (None, "operator"):
        environ = {} if prefix is None else {"PYTHONPYCACHEPREFIX": str(tmp_path / prefix)}
        words = (
            "import importlib.util as u, py_compile as p, sys; p.compile(sys.argv[1], u.cache_from_source(sys.argv[2]))"
        )
        subprocess.run([sys.executable, "-c", words, changed, tmp_path / "helper.py"], env=environ, check=True)
    words = [sys.executable, "-c", "import helper; print(helper.word)"]
    environ = {"PYTHONPYCACHEPREFIX": str(tmp_path / "operator")}
    assert (
        subprocess.check_output(words, cwd=tmp_path, env=environ, text=True) == "changed!\n"
    )  # so much for what it does
    measured = ["-I", "-B", "-X", "pycache_prefix=/nonexistent"]
    words = [sys.executable, *measured, "-m", "strongroom", "spark", "submit", "--master", "local[1]", "app.py"]
    environ |= {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    done = subprocess.run(
        words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    first, prefix = done.stdout.splitlines()
    assert first == "measured False True", done.stderr
    assert Path(prefix).name == "compiled"
    assert not Path(prefix).exists()  # it went with the session
