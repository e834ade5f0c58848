"""What the processes below an agent are given: paths in memory, and a secret that both sides derive alike."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from strongroom.analytics.agent import child
from strongroom.analytics.agent.admission import Asked, NotAdmitted, admitted
from strongroom.analytics.agent.agent import attested, serving
from strongroom.analytics.agent.daemon import write_page_settings, write_page_token
from strongroom.analytics.agent.tokens import TOKENS_VARIABLE, token_file
from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.session import places
from strongroom.analytics.session.places import NoMemoryFolder
from strongroom.analytics.session.storage import is_in_memory
from strongroom.analytics.session.surroundings import SECRET_FILE_VARIABLE
from strongroom.broker import BrokerRefused, BrokerUnreachable
from strongroom.datasets.wrapping import application_secret
from strongroom.pki import disk
from strongroom.platforms import PlatformAbsent
from strongroom.secret import Secret

JOB_SECRET = Secret(bytes(range(32)))


@pytest.fixture
def memory():
    """A folder in memory, or no test."""
    try:
        with places.private_folder() as folder:
            yield folder
    except NoMemoryFolder:
        pytest.skip("this machine has no folder in memory")


def test_what_is_handed_down_are_paths_in_memory_that_go_with_the_agent(keys, memory):
    with serving(keys, job_secret=JOB_SECRET, application="app-1", memory=memory) as held:
        assert held.secret_file.read_text() == application_secret(JOB_SECRET, "app-1")
        assert {stat.S_IMODE(each.stat().st_mode) for each in held.folder.iterdir()} == {0o600}
        assert stat.S_IMODE(held.folder.stat().st_mode) == 0o700
        assert is_in_memory(held.folder)
        with contextlib.closing(AgentKeys(held.variables["STRONGROOM_AGENT"])) as asking:
            assert asking.names() == ("cities", "people")
        assert set(held.variables) == {"STRONGROOM_AGENT", SECRET_FILE_VARIABLE, TOKENS_VARIABLE}
    assert not held.folder.exists()


KILLED = """
import sys
from pathlib import Path
from strongroom.analytics.agent.agent import serving
from strongroom.analytics.keys.rings import RingKeys
from strongroom.secret import Secret
with serving(RingKeys([]), job_secret=Secret(bytes(range(32))), application="app-1", memory=Path(sys.argv[1])) as held:
    print(held.folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_agent_left_goes_with_the_next_ones_start_and_a_living_ones_stays(keys, memory):
    started = [subprocess.Popen([sys.executable, "-c", KILLED, str(memory)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True) for _ in range(2)]  # fmt: skip
    with started[0] as killed, started[1] as living:
        left, stays = (Path(each.stdout.readline().strip()) for each in started)
        killed.kill()
        killed.wait()
        assert {each.name for each in left.iterdir()} == {"agent.sock", "spark", "tokens"}
        others = memory / f"{places.PREFIX}others"
        others.symlink_to(memory.parent)
        with serving(keys, memory=memory) as held:
            assert not left.exists()
            assert (stays / "spark").exists()
            assert held.folder.exists()
        living.stdin.close()
        assert living.wait() == 0
    assert list(memory.iterdir()) == [others]


def test_an_09_what_is_handed_down_holds_no_secret(keys, memory):
    with serving(keys, job_secret=JOB_SECRET, application="app-1", memory=memory) as held:
        assert application_secret(JOB_SECRET, "app-1") not in str(held)
        assert all(os.sep in each for each in held.variables.values())


def test_a_job_without_a_secret_gets_none(keys, memory):
    with serving(keys, memory=memory) as held:
        assert held.secret_file is None
        assert set(held.variables) == {"STRONGROOM_AGENT"}


def test_an_08_nothing_is_asked_without_a_platform(tmp_path, monkeypatch):
    monkeypatch.delenv("STRONGROOM_QUOTE_FD", raising=False)
    asked = Asked(broker="https://localhost:1", ca=tmp_path / "none")
    with pytest.raises(PlatformAbsent), attested(asked, {}):
        pass


@pytest.mark.parametrize("problem", [BrokerRefused("403"), KeyNotGranted("no")], ids=["broker", "key"])
def test_a_refusal_is_final_and_says_where_the_reason_is(problem):
    calls = []

    def ask():
        calls.append(1)
        raise problem

    with pytest.raises(NotAdmitted) as refusal:
        admitted(ask, wait_s=60)
    assert (refusal.value.code, len(calls)) == ("SR-AGENT-REFUSAL", 1)
    assert "ledger show" in refusal.value.fix


def test_a_broker_that_is_not_reached_is_asked_again():
    answers = iter([BrokerUnreachable("not yet"), "found"])

    def ask():
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    assert admitted(ask, wait_s=60) == "found"
    with pytest.raises(BrokerUnreachable):
        admitted(lambda: (_ for _ in ()).throw(BrokerUnreachable("no")), wait_s=0)


def test_hadoop_credentials_hold_the_secret_where_spark_looks():
    assert token_file(b"s" * 64) == b"HDTS\x00\x00\x01\x0bsparkCookie\x40" + b"s" * 64
    with pytest.raises(ValueError, match="127"):
        token_file(b"s" * 128)


def test_a_daemons_page_has_a_certificate_of_the_authority_that_is_shown(memory, tmp_path):
    conf = write_page_settings(memory, tmp_path / "ui_ca.pem")
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600
    assert b"BEGIN CERTIFICATE" in (tmp_path / "ui_ca.pem").read_bytes()
    assert b"PRIVATE" not in (tmp_path / "ui_ca.pem").read_bytes()
    settings = conf.read_text().replace("=", " ").split()
    assert settings[settings.index("spark.port.maxRetries") + 1] == "0"  # on another port nobody would find it


def test_an_09_the_token_of_daemons_pages_stays_in_memory_and_is_one_for_those_of_one_secret(memory, tmp_path):
    tokens = []
    for number, secret in enumerate((b"a" * 64, b"a" * 64, b"b" * 64, None, None)):
        folder, link = memory / str(number), tmp_path / f"page{number}.token"
        folder.mkdir()
        if secret is not None:
            disk.replace_private(folder / "spark", secret)
        for _ in range(2):  # a restart
            write_page_token(folder, link, None if secret is None else folder / "spark")
        assert link.readlink() == folder / "page.token"
        assert link.with_suffix(".header").read_text() == f"Authorization: Bearer {link.read_text()}\n"
        assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
        tokens.append(link.read_text())
    assert tokens[0] == tokens[1]
    assert len(set(tokens)) == 4
    assert {len(bytes.fromhex(each)) for each in tokens} == {32}


CRASHING = """\
import os
from strongroom.analytics.agent.agent import keep_memory_private
keep_memory_private()
print(open("/proc/self/limits").read())
print(flush=True)
os.abort()
"""


def test_kd_22_an_agent_that_crashes_leaves_no_memory(tmp_path):
    words = [sys.executable, "-c", CRASHING]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGABRT
    assert re.search(r"Max core file size +0 +0 ", done.stdout)
    assert not list(tmp_path.iterdir())


def test_a_childs_exit_status_is_the_agents():
    assert child.run([sys.executable, "-c", "raise SystemExit(7)"], {}) == 7
    assert child.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], {}) == 137


def test_a_program_that_is_none_is_said_so():
    with pytest.raises(child.ProgramNotStarted) as refusal:
        child.run(["/nonexistent/java"], {})
    assert refusal.value.code == "SR-AGENT-PROGRAM"


def test_signals_are_passed_on_also_those_that_come_early(tmp_path):
    started = tmp_path / "started"
    os.mkfifo(started)
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        f"open({str(started)!r}, 'w').close()\n"
        "signal.pause()\n"
    )

    def end():
        started.open().close()  # waits until the program is there
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=end)
    thread.start()
    assert child.run([sys.executable, "-c", program], {}) == 5
    thread.join()


def test_what_would_put_another_secret_in_the_agents_place_is_dropped():
    found = child.variables({"_SPARK_AUTH_SECRET": "x", "PATH": "/bin"}, ("_SPARK_AUTH_SECRET",), {"A": "b"})
    assert found == {"PATH": "/bin", "A": "b"}
