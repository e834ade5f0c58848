"""What the JVM's side of the agent's socket makes of an agent that is another user's."""

import os
import shutil
import subprocess
import sys

import pytest

from strongroom.analytics.agent.server import listening
from strongroom.analytics.parquet.build import SOURCES, build, spark_jars

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")
NOBODY = 65534
ASK = """package strongroom.trial;

public final class Ask {
    public static void main(String[] words) throws Exception {
        System.out.println(strongroom.parquet.AgentChannel.ask(words[0], "names", "", ""));
    }
}
"""
PRETEND = f"""
import os, socket, sys
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); os.umask(0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
connection, _ = listener.accept()
print(len(connection.recv(100)), flush=True)
"""


@pytest.fixture
def ask(tmp_path):
    """Ask an agent for its names in a JVM; return what it printed, and what it said of a failure."""
    shutil.copytree(SOURCES, tmp_path / "trial" / "java")
    (tmp_path / "trial" / "java" / "Ask.java").write_text(ASK)
    jar = build(tmp_path / "trial" / "java", {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    path = ":".join(map(str, [jar, *spark_jars().glob("parquet-*.jar")]))

    def run(socket):
        command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "strongroom.trial.Ask", socket]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        return done.stdout.strip(), done.stderr

    return run


def test_the_jvm_asks_an_agent_of_its_user(ask, keys, tmp_path):
    with listening(keys, tmp_path / "s") as agent:
        agent.start()
        assert ask(tmp_path / "s")[0] == "pay people"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_jvm_tells_another_users_agent_nothing(ask, tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for each in (tmp_path, *tmp_path.parents):
        if each.owner() == tmp_path.owner() and not each.stat().st_mode & 0o001:
            each.chmod(0o711)
    os.chown(folder, NOBODY, NOBODY)
    command = [sys.executable, "-I", "-S", "-c", PRETEND, str(folder / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "listening\n"
        out, err = ask(folder / "s")
        assert other.stdout.readline() == "0\n"
    assert out == ""
    assert "SR-AGENT-OF-ANOTHER" in err
