"""The rules that a linter does not know: purity, sizes, the error catalogue, words that must not appear."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.cli.error_catalogue import all_entries

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCE = REPOSITORY / "src" / "strongroom"

# Rooms of the floors that do no input or output, and the two files of sealing that may.
PURE_ROOMS = (
    "attestation",
    "sealing",
    "gramine",
    "tfserving",
    "clusterserving",
    "datasets",
    "sparkjobs",
    "wire",
    "errors.py",
    "secret.py",
)
PURE_MODULES_ABOVE = (
    *(f"analytics/examples/{name}.py" for name in ("checks", "learning_checks")),
    *(f"analytics/learning/{name}.py" for name in ("linear_onnx", "trees_onnx")),
    "pki/ratls.py",
    "pki/report_data.py",
    "analytics/keys/rings.py",
    "analytics/keys/service.py",
    *(f"analytics/source/{name}.py" for name in ("ddl", "denied", "evolve", "faults", "options")),
    "broker/names.py",
    *(f"pki/jose/{name}.py" for name in ("__init__", "canonical", "jwe", "jwk", "jws")),
    *(f"broker/kbs{name}.py" for name in ("", "_dialogue", "_evidence", "_init_data", "_token")),
    "broker/release.py",
    "broker/policy/measurement_file.py",
    *(
        f"broker/ledger/{name}.py"
        for name in ("audit", "chain", "checkpoint", "faults", "genesis", "merkle", "proofs", "records")
    ),
    *(f"broker/keyring/{name}.py" for name in ("envelope", "rows", "shares")),
    *(
        f"broker/admin/{name}.py"
        for name in ("arguments", "certificates", "openapi", "operations", "problems", "roles", "views")
    ),
    *(
        f"broker/console/{name}.py"
        for name in (
            "collateral_views",
            "decision_views",
            "facts",
            "ledger_views",
            "overview_views",
            "policy_views",
            "views",
            "wording",
        )
    ),
    *(f"broker/policy/{name}.py" for name in ("diff", "file", "kinds", "overlap", "text", "votes", "words")),
    *(
        f"deploy/cluster/{name}.py"
        for name in (
            "canary",
            "changes",
            "kubectl_errors",
            "metrics_reading",
            "nodes",
            "objects",
            "preflight",
            "progress",
            "quantities",
            "reasons",
            "replicas",
            "rollout_plan",
            "rollout_policy",
        )
    ),
    *(f"broker/store/{name}.py" for name in ("address", "errors", "migrating", "rates", "schema", "transactions")),
    "bundles/manifest.py",
    *(f"streaming/flink/{name}.py" for name in ("page/rules", "settings")),
    "deploy/cluster_serving/parts.py",
    *(f"deploy/spark/{name}.py" for name in ("parts", "pods", "policies", "words")),
    *(f"deploy/images/{name}.py" for name in ("containerfile", "expansion", "pins", "recipe", "roles", "signing")),
    *(f"deploy/{name}.py" for name in ("description", "readme", "rendering", "secret_scan", "tree", "yaml_text")),
    *(
        f"deploy/kubernetes/{name}.py"
        for name in (
            "__init__",
            "adapter",
            "alerts",
            "broker",
            "dashboard",
            "front",
            "model_server",
            "naming",
            "network",
            "objects",
            "pods",
            "replica",
            "scaling",
            "space",
        )
    ),
    *(
        f"deploy/gramine/{name}.py"
        for name in (
            "__init__",
            "java_script",
            "jvm",
            "occlum",
            "parts",
            "places",
            "programs",
            "server_words",
            "simulated",
            "tree",
        )
    ),
    *(
        f"launcher/{name}.py"
        for name in ("__init__", "jvm", "launch", "mains", "properties", "refusals", "roles", "values")
    ),
    *(
        f"deploy/fronts/{name}.py"
        for name in ("__init__", "behaviour", "compose", "files", "haproxy", "nginx", "systemd", "upstreams")
    ),
    *(
        f"deploy/lint/{name}.py"
        for name in (
            "__init__",
            "access",
            "exposure",
            "findings",
            "isolation",
            "matching",
            "network",
            "objects",
            "pods",
            "running",
            "secrets",
            "selectors",
        )
    ),
    *(f"streaming/images/{name}.py" for name in ("header", "matching", "preprocess")),
    *(f"streaming/model/{name}.py" for name in ("opener", "predictor")),
    *(f"streaming/frontend/{name}.py" for name in ("bucket", "servables")),
    *(
        f"collateral/{name}.py"
        for name in (
            "answering",
            "api",
            "assemble",
            "checks",
            "freshness",
            "gather",
            "parts",
            "profiles",
            "qcnl",
            "settings",
        )
    ),
    *(f"streaming/worker/{name}.py" for name in ("batching", "counts", "heartbeat", "options", "reports")),
    *(f"streaming/client/{name}.py" for name in ("resp", "compat_commands", "facts", "replies", "tickets")),
    *(
        f"analytics/report/{name}.py"
        for name in ("facts", "lineage", "page", "reading", "spark_log", "wording", "words")
    ),
)
WORLDLY = {"sealing/disk.py", "sealing/files.py"}
WORLD = {"asyncio", "http", "logging", "multiprocessing", "os", "pathlib", "random", "requests", "select", "selectors",
         "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib"}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}


def pure_modules() -> list[Path]:
    found = [SOURCE / name for name in PURE_MODULES_ABOVE]
    for room in PURE_ROOMS:
        path = SOURCE / room
        found += [path] if path.suffix else sorted(path.rglob("*.py"))
    return [path for path in found if path.relative_to(SOURCE).as_posix() not in WORLDLY]


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_a_pure_module_touches_no_world():
    found = pure_modules()
    assert len(found) > 300
    touching = [f"{relative(path)}: {touch}" for path in found for touch in touches(path)]
    assert touching == []


def touches(path: Path) -> Iterator[str]:
    """Yield where a module touches the world."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names) if {alias.name.split(".")[0] for alias in names} & WORLD:
                yield f"line {node.lineno}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in WORLD and module != "urllib.parse":
                yield f"line {node.lineno}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
                yield f"line {node.lineno} reads the clock"
            case ast.Call(func=ast.Name(id="open" | "print" | "input")):
                yield f"line {node.lineno}"


@pytest.mark.parametrize(
    ("program", "where"),
    [
        ("import json\nimport socket.x", ["line 2"]),
        ("from socket import socket", ["line 1"]),
        ("from urllib.parse import quote", []),
        ("def f(): return datetime.now()", ["line 1 reads the clock"]),
        ("open('x')", ["line 1"]),
    ],
)
def test_what_touches_the_world_is_seen(tmp_path, program, where):
    (tmp_path / "module.py").write_text(program)
    assert list(touches(tmp_path / "module.py")) == where


def test_a_module_is_a_sitting_long():
    long = {relative(path): lines for path in sources() if (lines := len(path.read_text("utf-8").splitlines())) > 400}
    assert long == {}


def test_a_function_fits_a_screen():
    long = [
        f"{relative(path)}: {node.name} at line {node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []


# What stands around the core of the broker: each of these is loaded only by who asks for it.
AROUND_THE_CORE = {
    "broker/web": {"starlette", "uvicorn", "httptools", "jinja2"},
    "broker/admin": {"starlette", "urllib3"},
    "broker/console": {"starlette", "jinja2"},
    "broker/operations": {"prometheus_client", "starlette"},
    "broker/run.py": {"starlette", "uvloop"},
    "broker/store/postgresql.py": {"psycopg"},
    "broker/keyring/pkcs11_root.py": {"pkcs11"},
    "broker/kbs_http.py": {"starlette"},
    "broker/kbs_client.py": {"urllib3"},
}


def around_the_core(module: Path) -> set[str]:
    """Return the packages that a module around the trusted core may import besides."""
    name = relative(module)
    return {each for place, packages in AROUND_THE_CORE.items() if name.startswith(place) for each in packages}


def test_the_trusted_core_depends_on_two_packages():
    allowed = {"strongroom", "cryptography", "OpenSSL"} | set(sys.stdlib_module_names)
    for room in ("errors.py", "secret.py", "wire", "attestation", "sealing", "gramine", "datasets", "pki", "broker"):
        path = SOURCE / room
        for module in [path] if path.suffix else path.rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                imported = {name.split(".")[0] for name in names}
                assert imported <= allowed | around_the_core(module), relative(module)


def test_codes_are_unique():
    codes = [entry.code for entry in all_entries()]
    assert sorted({code for code in codes if codes.count(code) > 1}) == []


def test_every_code_has_meaning_and_fix():
    entries = all_entries()
    assert len(entries) > 500
    assert [each.code for each in entries if not each.meaning.endswith((".", "?"))] == []
    assert [each.code for each in entries if not each.fix.endswith((".", ")"))] == []


def test_every_code_has_a_test_that_names_it():
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("*.py") if path != Path(__file__)
    )
    untested = [entry.code for entry in all_entries() if entry.code not in tests and spelled(entry.code) not in tests]
    assert untested == []


def spelled(code: str) -> str:
    """Evidence codes are asserted under the names of the specification: SR-PCK-REVOKED is PCK_REVOKED there."""
    return code.removeprefix("SR-").replace("-", "_")


def test_the_error_page_is_current():
    subprocess.run([sys.executable, str(REPOSITORY / "tools" / "write_error_docs.py"), "--check"], check=True)


def test_floors_are_kept():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
