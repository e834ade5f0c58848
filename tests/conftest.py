"""Fixtures every room shares: where the shared vectors lie, and what must never happen in a test."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from strongroom import ports

# No timed assertions: a slow machine is not a defect. Tests that want more examples than most ask for a multiple of the
# profile's number, so that STRONGROOM_EXAMPLES=1000 makes all of them look longer. That looks at other examples with
# every run; otherwise they are the same ones, so that a change is not blamed for what an earlier one missed.
EXAMPLES = os.environ.get("STRONGROOM_EXAMPLES")
settings.register_profile(
    "strongroom", deadline=None, print_blob=True, max_examples=int(EXAMPLES or 50), derandomize=EXAMPLES is None
)
settings.load_profile("strongroom")
if EXAMPLES is None:
    # Constants of our modules are among its examples: of those that happen to be imported by then.
    assert hasattr(providers, "_get_local_constants")
    providers._get_local_constants = Constants

# Ports that tests tell to servers: none that the product, run by another test, tells to its own, nor another process of
# tests. Between its choice and the server's start a port belongs to nobody.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_SHARE, _SHARES = 400, 4
ports._CANDIDATES = range(10_300 + _WORKER % _SHARES * _SHARE, 10_300 + (_WORKER % _SHARES + 1) * _SHARE)

# What is compiled is kept, whatever the caller's environment says: to rewrite the assertions of every test module costs
# a process half of its collecting, and each program that a test starts would compile the package once more.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What collecting leaves behind stays for the whole run: tens of thousands of tests and every imported module. Later
# searches for garbage need not look at it again, which took them half a second each, and come less often.
gc.disable()


def pytest_collection_finish():
    """Begin to search for garbage, without what is there by now."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)
    gc.enable()


@pytest.fixture(autouse=True)
def _logs_of_its_own():
    """Take back what a command that ran in this process set for its log: its stream is closed after the test."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
    root.setLevel(level)


REPOSITORY = Path(__file__).resolve().parent.parent
HELM = Path(sys.executable).with_name("helm")


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """Return the folder of the shared vectors (quotes, sealed files, serving cases); skip where it is absent."""
    folder = Path(os.environ.get("STRONGROOM_VECTORS", REPOSITORY.parent / "shared" / "vectors"))
    if not folder.is_dir():
        pytest.skip(f"the shared vectors are not here ({folder}); set STRONGROOM_VECTORS to their folder")
    return folder


def load_tool(name):
    """Return the module `tools/<name>.py`, which is no part of a package."""
    known = f"strongroom_tools_{name.replace('/', '_')}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, REPOSITORY / "tools" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


@pytest.fixture(scope="session")
def tool():
    """Return what loads a module of `tools/` by its path there, without the ending."""
    return load_tool


def redis_tools():
    """Return the module `tests/streaming_redis.py`, which needs the extra `streaming`."""
    known = "strongroom_streaming_redis"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, REPOSITORY / "tests" / "streaming_redis.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


@pytest.fixture(scope="session")
def redis_server():
    """Run a Redis of our own for the whole session (TLS, client certificates, users); skip where none is installed."""
    tools = redis_tools()
    server = tools.start_redis()
    yield server
    tools.end_redis(server)


@pytest.fixture
def redis_job(redis_server, tmp_path_factory):
    """Return a job of this test alone: place(role), queue(role), aio(role), config_yaml(role), admin(words)."""
    folder = tmp_path_factory.mktemp("redis")
    with redis_tools().new_job(redis_server, folder, f"job-{folder.name}") as job:
        yield job


@pytest.fixture
def own_redis(tmp_path_factory):
    """Return what starts a Redis that a test may stop and kill: `own_redis(durable=True)` gives a job on it."""
    tools = redis_tools()
    started = []

    def start(**options):
        server = tools.start_redis(**options)
        started.append(server)
        folder = tmp_path_factory.mktemp("redis")
        return tools.RedisJob(server, tools.Job(f"job-{folder.name}"), folder)

    yield start
    for server in started:
        tools.end_redis(server)


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    """Runs helm in a home of its own."""
    home = tmp_path_factory.mktemp("helm")

    def run(*words, check=True):
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([HELM, *map(str, words)], capture_output=True, text=True, check=False, env=environment)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def postgres_server():
    """Run a PostgreSQL server of our own for the whole session; skip where none is installed."""
    tool = load_tool("chaos/database")
    try:
        tool.program("postgres")
    except tool.NoServer as absent:
        pytest.skip(str(absent))
    with tool.Server() as server:
        yield server


@pytest.fixture
def postgres(postgres_server):
    """Return a fresh database: `.url` by Unix socket, `.loopback_url` by TCP, `.server` to stop and start it."""
    if not postgres_server.running():
        postgres_server.start()
    database = postgres_server.new_database()
    yield database
    if not postgres_server.running():
        postgres_server.start()
    postgres_server.drop(database)
