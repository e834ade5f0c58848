"""The streaming worker for Occlum instead of Gramine: Occlum.json, and a program that takes no words from outside.

Pure. What is written here was checked against Occlum's documented fields (its page "Occlum Configuration"), and that
is all that was checked: nothing of it was built or run. `occlum run PATH WORDS` lets the host choose the words, so
the one entry point is a program of fixed words: with an interpreter as entry point, the host could run anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from strongroom.deploy.description import Description
from strongroom.deploy.gramine.places import APP, PythonPlaces
from strongroom.deploy.gramine.programs import PYTHON_WORDS, streaming_worker

ENTRY: Final = f"{APP}/streaming-worker"
CHECKED: Final = (
    "Only the fields of Occlum.json were checked, against Occlum's documentation. Nothing was built or run."
)
_KERNEL_HEAP_MIB: Final = 512
_MIB: Final = {"K": 2**-10, "M": 1, "G": 1024}
_SIZE: Final = re.compile(r"[1-9][0-9]{0,8}(B|KB|MB|GB|TB)", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\0]*", re.ASCII)
_SIZES: Final = ("kernel_space_heap_size", "kernel_space_stack_size", "user_space_size")
_SIZES_EDMM: Final = ("kernel_space_heap_max_size", "user_space_max_size")
_PROCESS: Final = ("default_stack_size", "default_heap_size", "default_mmap_size")
_TOP: Final = ("resource_limits", "process", "entry_points", "env", "metadata", "mount")
_METADATA: Final = ("product_id", "version_number", "debuggable", "pkru")
_MOUNT: Final = frozenset({"target", "type", "source", "options"})
_TYPES: Final = frozenset({"unionfs", "sefs", "ramfs", "procfs", "devfs"})  # hostfs is the host's, and left out
MAX_LAYERS: Final = 8


def occlum(description: Description, python: PythonPlaces) -> dict[str, bytes]:
    """Return Occlum.json, the entry point and a word on both, by file name."""
    document = occlum_json(description, python)
    return {
        "Occlum.json": (json.dumps(document, indent=2) + "\n").encode(),
        "README.md": _readme().encode(),
        "streaming-worker": entry_point(description, python).encode(),
    }


def occlum_json(description: Description, python: PythonPlaces) -> dict[str, Any]:
    """Return the configuration of an Occlum instance whose image holds the worker."""
    program = streaming_worker(description, python)
    size = description.resources.enclave_size
    whole = max(int(int(size[:-1]) * _MIB[size[-1]]), 2 * _KERNEL_HEAP_MIB)
    return {
        "resource_limits": {
            "kernel_space_heap_size": f"{_KERNEL_HEAP_MIB}MB",
            "kernel_space_stack_size": "1MB",
            "user_space_size": f"{whole - _KERNEL_HEAP_MIB}MB",
            "max_num_of_threads": program.enclave.threads,
        },
        "process": {"default_stack_size": "8MB", "default_heap_size": "256MB", "default_mmap_size": "1024MB"},
        "entry_points": [ENTRY],
        "env": {"default": [f"{name}={value}" for name, value in sorted(program.env.items())], "untrusted": []},
        "metadata": {
            "product_id": program.enclave.isvprodid,
            "version_number": program.enclave.isvsvn,
            "debuggable": False,
            "pkru": 0,
        },
        "mount": _mounts(),
    }


def entry_point(description: Description, python: PythonPlaces) -> str:
    """Return the program that starts the worker with the words of its manifest, and with no other."""
    argv = streaming_worker(description, python).argv
    words = ", ".join(json.dumps(word) for word in argv[1 + len(PYTHON_WORDS) :])
    return "\n".join(
        [
            f"#!{python.interpreter} -IBu",
            '"""Start the streaming worker; words from outside are refused, since the host would choose them."""',
            "",
            "import sys",
            "",
            "from strongroom.cli import main",
            "",
            "if len(sys.argv) > 1:",
            '    sys.exit("streaming-worker takes no arguments: they would come from the untrusted host")',
            f"sys.exit(main([{words}]))",
            "",
        ]
    )


def _mounts() -> list[dict[str, Any]]:
    layers = [
        {"target": "/", "type": "sefs", "source": "./build/mount/__ROOT", "options": {"MAC": ""}},
        {"target": "/", "type": "sefs", "source": "./run/mount/__ROOT"},
    ]
    return [
        {"target": "/", "type": "unionfs", "options": {"layers": layers}},
        {"target": "/tmp", "type": "ramfs"},  # noqa: S108  # memory of the enclave
        {"target": "/proc", "type": "procfs"},
        {"target": "/dev", "type": "devfs"},
    ]


def problems(document: object) -> tuple[str, ...]:
    """Return what keeps a parsed Occlum.json from being one, or from keeping the host out; nothing for a sound one."""
    if not isinstance(document, dict):
        return ("Occlum.json is not an object",)
    found = [f"{name} is missing" for name in _TOP if name not in document]
    found += [f"{str(name)[:60]} is not a documented field" for name in document if name not in _TOP]
    parts = {name: document[name] for name in _TOP if name in document}
    checks = {
        "resource_limits": _limits, "process": _process, "entry_points": _entry_points,
        "env": _environment, "metadata": _metadata, "mount": _mount_problems,
    }  # fmt: skip
    for name, part in parts.items():
        found += [f"{name}: {each}" for each in checks[name](part)]
    return tuple(found)


def _fields(part: object, wanted: tuple[str, ...], also: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(part, dict):
        yield "is not an object"
        return
    yield from (f"{name} is missing" for name in wanted if name not in part)
    yield from (f"{str(name)[:60]} is not a documented field" for name in part if name not in (*wanted, *also))


def _sizes(part: object, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = part.get(name) if isinstance(part, dict) else None
        if value is not None and not (isinstance(value, str) and _SIZE.fullmatch(value)):
            yield f"{name} is no size such as 256MB"


def _limits(part: object) -> Iterator[str]:
    yield from _fields(part, (*_SIZES, "max_num_of_threads"), (*_SIZES_EDMM, "init_num_of_threads"))
    yield from _sizes(part, (*_SIZES, *_SIZES_EDMM))
    threads = part.get("max_num_of_threads") if isinstance(part, dict) else None
    if threads is not None and (type(threads) is not int or threads < 1):
        yield "max_num_of_threads is no number of threads"


def _process(part: object) -> Iterator[str]:
    yield from _fields(part, _PROCESS)
    yield from _sizes(part, _PROCESS)


def _entry_points(part: object) -> Iterator[str]:
    if not isinstance(part, list) or not part or not all(isinstance(each, str) for each in part):
        yield "is no list of paths"
        return
    for each in part:
        if not each.startswith("/") or re.search(r"(^|/)(bin|python[0-9.]*|sh|bash|java)/?$", each):
            yield f"{each[:60]} lets the host choose what runs"


def _environment(part: object) -> Iterator[str]:
    yield from _fields(part, ("default", "untrusted"))
    values = part.get("default") if isinstance(part, dict) else None
    if not isinstance(values, list) or not all(isinstance(each, str) and _VARIABLE.fullmatch(each) for each in values):
        yield "default is no list of NAME=VALUE"
    if isinstance(part, dict) and part.get("untrusted") != []:
        yield "untrusted is not empty: such variables override the trusted ones"


def _metadata(part: object) -> Iterator[str]:
    yield from _fields(part, _METADATA)
    if not isinstance(part, dict):
        return
    for name in ("product_id", "version_number"):
        if type(part.get(name)) is not int or not 0 <= part[name] <= 0xFFFF:
            yield f"{name} is no number from 0 to 65535"
    if part.get("debuggable") is not False:
        yield "debuggable is not false: the host could read the enclave's memory"
    if part.get("pkru") not in (0, 1, 2) or isinstance(part.get("pkru"), bool):
        yield "pkru is none of 0, 1 and 2"


def _mount_problems(part: object, depth: int = 0) -> Iterator[str]:
    if not isinstance(part, list) or not part or len(part) > MAX_LAYERS:
        yield f"is no list of 1 to {MAX_LAYERS} mounts"
        return
    for each in part:
        if not isinstance(each, Mapping) or not set(each) <= _MOUNT or not isinstance(each.get("target"), str):
            yield "holds an entry with other fields than target, type, source and options"
            continue
        kind, options = each.get("type"), each.get("options", {})
        if not isinstance(kind, str) or kind not in _TYPES:
            yield f"{each['target'][:60]} is of the type {str(kind)[:40]}, which is not one that keeps the host out"
        if kind == "unionfs" and depth == 0:
            yield from _mount_problems(options.get("layers") if isinstance(options, Mapping) else None, 1)


def _readme() -> str:
    return f"""# Streaming worker in Occlum

{CHECKED}

`Occlum.json` is the instance's configuration; `streaming-worker` is its one entry point, for `image{ENTRY}`
(mode 0755). Copy Python and the package into `image/` at the same paths as in the container image, then:

    occlum build --sign-key KEY && occlum run {ENTRY}

Words after the entry point are refused: the host would choose them.
"""
