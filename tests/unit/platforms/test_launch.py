"""Launching: what a program gets, what it never gets, how it is quoted for, and that it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys

import pytest

from strongroom.attestation import parse_quote

QUOTING = "import os, sys\nfrom strongroom.platforms import detect\nplatform = detect(os.environ)\n"


def finish(process, timeout=60):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody collected yet counts as ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123  # it may vanish at any moment
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        assert select.select([handle], [], [], 30)[0], f"process {pid} is still there"
    finally:
        os.close(handle)


def test_id_07_the_program_gets_what_its_manifest_declares_and_nothing_else(start):
    program = """
import json, os, stat, sys
entries = {int(name): os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) > 2
           and os.path.exists(f"/proc/self/fd/{name}")}
print(json.dumps({
    "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
    "argv": sys.argv, "stdin": os.readlink("/proc/self/fd/0"), "cwd": os.getcwd(), "read": sys.stdin.read(),
    "descriptors": [target for target in entries.values() if target.startswith("socket")],
    "others": [target for target in entries.values() if not target.startswith(("socket", "/proc"))],
    "group": os.getpgrp() == os.getpid(),
}))
"""
    manifest = 'loader.env.MODE = "strict"\nloader.env.TZ = { passthrough = true }\nsgx.remote_attestation = "dcap"\n'
    hostile = {
        **os.environ, "TZ": "UTC", "LD_PRELOAD": "", "PYTHONPATH": "/evil", "SSL_CERT_FILE": "/evil",
        "HTTPS_PROXY": "http://evil", "TF_X": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    process = start(program, manifest, ', "--port", ""', env=hostile)
    status, out, err = finish(process)
    assert status == 0, err
    seen = json.loads(out)
    descriptor = seen["environment"].pop("STRONGROOM_QUOTE_FD")
    assert seen["environment"] == {"MODE": "strict", "TZ": "UTC"}
    assert int(descriptor) > 2
    assert seen["argv"] == ["program.py", "--port", ""]
    assert (seen["stdin"], seen["read"]) == ("/dev/null", "")
    assert len(seen["descriptors"]) == 1
    assert seen["others"] == []
    assert seen["group"]
    assert "SIMULATED PLATFORM - NOT A TEE" in err


def test_the_program_is_quoted_for_with_its_own_measurement(start, world):
    program = QUOTING + "sys.stdout.write(platform.quote(bytes(range(64))).hex())"
    manifest = (
        'sgx.remote_attestation = "dcap"\nsgx.isvprodid = 4\nsgx.isvsvn = 9\nsgx.trusted_files = ["file:program.py"]'
    )
    status, out, err = finish(start(program, manifest))
    assert status == 0, err
    body = parse_quote(bytes.fromhex(out)).body
    assert body.report_data == bytes(range(64))
    assert (body.isv_prod_id, body.isv_svn, body.debug) == (4, 9, False)
    assert body.mr_signer == world.mr_signer
    assert any(body.mr_enclave)


def test_threads_of_one_program_each_get_their_own_quote(start):
    program = (
        QUOTING
        + """
from concurrent.futures import ThreadPoolExecutor
asked = [bytes([n]) * 64 for n in range(40)]
with ThreadPoolExecutor(8) as pool:
    quotes = list(pool.map(platform.quote, asked))
print(all(quote[368:432] == data for quote, data in zip(quotes, asked, strict=True)))
"""
    )
    status, out, err = finish(start(program, 'sgx.remote_attestation = "dcap"'))
    assert (status, out) == (0, "True\n"), err


def test_without_remote_attestation_there_is_no_platform(start):
    program = QUOTING.replace("platform = ", "") + "print('never')"
    status, out, err = finish(start(program))
    assert (status, out) == (1, "")
    assert "PlatformAbsent" in err


@pytest.mark.parametrize("number", [0, 7, 255])
def test_the_exit_status_is_the_programs_own(start, number):
    assert finish(start(f"raise SystemExit({number})"))[0] == number


def test_a_program_that_a_signal_ends_counts_as_shells_count(start):
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert finish(start(program))[0] == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_are_passed_on_and_the_launcher_waits(start, number):
    program = """
import os, signal, sys
def ended(number, frame):
    os.write(1, f"told {number}\\n".encode())  # print is not reentrant
    sys.exit(40)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, ended)
print("ready", flush=True)
while True:
    signal.pause()
"""
    process = start(program)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    status, out, _ = finish(process)
    assert (status, out) == (40, f"told {int(number)}\n")


def test_a_program_does_not_outlive_a_launcher_that_was_killed(start):
    program = "import os, signal\nprint(os.getpid(), flush=True)\nwhile True:\n    signal.pause()"
    process = start(program)
    pid = int(process.stdout.readline())
    assert not gone(pid)
    process.kill()
    process.wait()
    wait_until_gone(pid)


def test_what_a_program_started_ends_with_it(start):
    program = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal\\nwhile True: signal.pause()"])
print(child.pid, flush=True)
"""
    process = start(program)
    pid = int(process.stdout.readline())
    assert process.wait(timeout=60) == 0
    wait_until_gone(pid)


@pytest.mark.parametrize("message", ["b'\\xff' * 4", "b'\\x00' * 4", "(65).to_bytes(4, 'little') + bytes(65)"])
def test_a_message_that_is_none_costs_the_program_its_channel_and_nothing_more(start, message):
    program = f"""
import os
descriptor = int(os.environ["STRONGROOM_QUOTE_FD"])
os.write(descriptor, {message})
print(os.read(descriptor, 100))
"""
    status, out, err = finish(start(program, 'sgx.remote_attestation = "dcap"'))
    assert (status, out) == (0, "b''\n")
    assert "quote channel is closed" in err


def test_a_request_in_pieces_and_two_requests_at_once_are_both_answered(start):
    program = """
import os
descriptor = int(os.environ["STRONGROOM_QUOTE_FD"])
def answer():
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "little"):
        data += os.read(descriptor, 1 if len(data) < 4 else 4 + int.from_bytes(data[:4], "little") - len(data))
    return data[4:]
one, two = ((64).to_bytes(4, "little") + bytes([n]) * 64 for n in (1, 2))
for piece in (one[:2], one[2:30], one[30:]):
    os.write(descriptor, piece)
print(answer()[368])
os.write(descriptor, one + two)
print(answer()[368], answer()[368])
"""
    status, out, err = finish(start(program, 'sgx.remote_attestation = "dcap"'))
    assert (status, out) == (0, "1\n1 2\n"), err


def test_a_program_that_closes_its_channel_runs_on(start):
    program = "import os\nos.close(int(os.environ['STRONGROOM_QUOTE_FD']))\nprint('on')"
    status, out, err = finish(start(program, 'sgx.remote_attestation = "dcap"'))
    assert (status, out) == (0, "on\n")
    assert "channel" not in err


def test_a_changed_trusted_file_stops_the_launch(start):
    manifest = f'sgx.trusted_files = [{{ uri = "file:program.py", sha256 = "{"0" * 64}" }}]'
    status, out, err = finish(start("print('never')", manifest))
    assert (status, out) == (3, "")
    assert "SR-TRUSTED-FILE-CHANGED" in err


@pytest.mark.parametrize(
    ("name", "content", "mode"), [("plain", "data", 0o600), ("scrambled", "\x7fELF nonsense", 0o700)]
)
def test_a_program_that_does_not_start_is_one_sentence(tmp_path, world_folder, name, content, mode):
    (tmp_path / name).write_text(content)
    (tmp_path / name).chmod(mode)
    (tmp_path / "app.manifest").write_text(f'libos.entrypoint = "{name}"')
    command = [sys.executable, "-m", "strongroom", "sim", "run", "--beside-real-tee", "--world", str(world_folder)]
    done = subprocess.run([*command, str(tmp_path / "app.manifest")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "SR-LAUNCH]" in done.stderr
    assert "Traceback" not in done.stderr
