"""One simulated world for the room's tests, the second opinion of `dcap-qvl`, and a way to launch programs."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl
import pytest

from strongroom.attestation import INTEL, Anchor, Collateral, Tee, Verdict, verify
from strongroom.platforms.simulated import EnclaveIdentity, QuoteFormat, TdIdentity, World

PROGRAM = f'libos.entrypoint = "{sys.executable}"\n'


@pytest.fixture(scope="session")
def doubles():
    """Return the module of the doubles beside this file; in importlib mode siblings cannot be imported."""
    name = "strongroom_tests_doubles"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("doubles.py"))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory, now) -> Path:
    folder = tmp_path_factory.mktemp("worlds") / "one"
    World.create(folder, now=now)
    return folder


@pytest.fixture(scope="session")
def world(world_folder) -> World:
    return World.open(world_folder)


@pytest.fixture(scope="session")
def other_world(tmp_path_factory, now) -> World:
    return World.create(tmp_path_factory.mktemp("worlds") / "two", now=now)


@pytest.fixture
def identity(world) -> EnclaveIdentity:
    return EnclaveIdentity(mr_enclave=bytes(range(32)), mr_signer=world.mr_signer, isv_prod_id=3, isv_svn=7)


@pytest.fixture
def trust_domain() -> TdIdentity:
    return TdIdentity(mr_td=bytes(range(48)), rtmrs=tuple(bytes([number]) * 48 for number in range(4)))


@pytest.fixture
def sign_sgx(world, identity) -> Callable[[bytes], bytes]:
    enclave = world.quoting_enclave()
    return lambda report_data: enclave.quote(identity, report_data)


@pytest.fixture
def sign_tdx(world, trust_domain) -> Callable[[bytes], bytes]:
    enclave = world.quoting_enclave(QuoteFormat(tee=Tee.TDX, version=4))
    return lambda report_data: enclave.quote(trust_domain, report_data)


@pytest.fixture
def second_opinion(world, now) -> Callable[..., tuple[str, list[str]]]:
    """Return (status, advisories) as `dcap-qvl` sees a quote; it raises ValueError for what it refuses."""

    def judge(quote: bytes, collateral: Collateral, root: bytes = world.root_der, at: datetime = now):
        parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
        report = dcap_qvl.verify_with_root_ca(quote, parsed, root, int(at.timestamp()))
        return report.status, report.advisory_ids

    return judge


@pytest.fixture
def anchors(world) -> list[Anchor]:
    return [INTEL, Anchor.from_certificate(world.root_der)]


@pytest.fixture
def accepted(anchors, second_opinion, now) -> Callable[[bytes, Collateral], Verdict]:
    """Return our verdict on evidence after the other verifier came to the same status and advisories."""

    def judge(quote: bytes, collateral: Collateral) -> Verdict:
        verdict = verify(quote, collateral, anchors=anchors, at=now)
        assert second_opinion(quote, collateral) == (verdict.status.value, list(verdict.advisories))
        return verdict

    return judge


@pytest.fixture
def start(tmp_path, world_folder) -> Callable[..., subprocess.Popen[str]]:
    """Start `strongroom sim run` on a Python program given as text; every process is gone afterwards."""
    running: list[subprocess.Popen[str]] = []

    def launch(program: str, manifest: str = "", arguments: str = "", **options) -> subprocess.Popen[str]:
        (tmp_path / "program.py").write_text(program, encoding="utf-8")
        argv = f'loader.argv = ["{sys.executable}", "-I", "-B", "program.py"{arguments}]\n'
        (tmp_path / "app.manifest").write_text(PROGRAM + argv + manifest, encoding="utf-8")
        command = [sys.executable, "-m", "strongroom", "sim", "run", "--beside-real-tee", "--world", str(world_folder)]
        process = subprocess.Popen(
            [*command, str(tmp_path / "app.manifest")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        running.append(process)
        return process

    yield launch
    for process in running:
        process.kill()
        process.communicate()
