"""A program on a leash: the one that was asked for, in the process that was started, ended with who began it."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

from strongroom.streaming.leash import leashed

PARENT = """
import subprocess, sys, time
from strongroom.streaming.leash import leashed
child = subprocess.Popen(leashed(["sh", "-c", "echo begun; exec sleep 600"]), stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip(), child.pid, flush=True)
time.sleep(600)
"""


def test_it_becomes_the_program_with_its_words_and_its_status():
    begun = subprocess.Popen(
        leashed(["sh", "-c", 'echo $$ "$1"; exit 7', "sh", "a b"]), stdout=subprocess.PIPE, text=True
    )
    said, _ = begun.communicate(timeout=60)
    assert said == f"{begun.pid} a b\n"
    assert begun.returncode == 7


def test_it_ends_with_who_started_it_whatever_happened_to_that_one():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    begun, child = parent.stdout.readline().split()
    assert begun == "begun"
    handle = os.pidfd_open(int(child))
    try:
        parent.kill()
        parent.wait()
        assert select.select([handle], [], [], 60)[0] == [handle]
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        parent.stdout.close()


def test_it_begins_nothing_where_who_started_it_has_died():
    words = leashed(["echo", "begun"])
    words[words.index(str(os.getpid()))] = "0"  # nobody's number: as where the parent died before the kernel was asked
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_program_that_is_not_there_is_named():
    done = subprocess.run(leashed(["/nowhere/program"]), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "/nowhere/program does not start: No such file or directory\n"


def test_who_started_it_can_end_it():
    begun = subprocess.Popen(leashed(["sh", "-c", "echo begun; exec sleep 600"]), stdout=subprocess.PIPE, text=True)
    assert begun.stdout.readline() == "begun\n"
    begun.terminate()
    assert begun.wait(60) == -signal.SIGTERM
    begun.stdout.close()
