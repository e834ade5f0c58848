"""Rules on what the enclave is: switches that weaken it, values that contradict each other, sizes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from strongroom.gramine.lint.findings import Finding, Level, Rule
from strongroom.gramine.lint.places import Path
from strongroom.gramine.lint.subject import Subject
from strongroom.gramine.lint.template import is_open

M01: Final = Rule(id="M01", level=Level.ERROR, title="an insecure__ key is set")
M02: Final = Rule(id="M02", level=Level.ERROR, title="the enclave can be debugged, profiled or counted from outside")
M04: Final = Rule(id="M04", level=Level.ERROR, title="files that are not listed can be read (file_check_policy)")
M05: Final = Rule(id="M05", level=Level.ERROR, title="a key is written into the manifest")
M12: Final = Rule(id="M12", level=Level.ERROR, title="values that Gramine refuses, or that contradict each other")
M13: Final = Rule(id="M13", level=Level.WARNING, title="too few threads, stack or memory for the work")
M14: Final = Rule(id="M14", level=Level.WARNING, title="no product id and SVN, chatty logs, or EDMM without a kernel")
M19: Final = Rule(id="M19", level=Level.WARNING, title="experimental or debugging features")

SERVER_THREADS: Final = 64
STACK_BYTES: Final = 4 << 20
MODEL_FACTOR: Final = 3

_SIZE: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})([KMG]?)\Z", re.ASCII)
_UNIT: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SERVER: Final = re.compile(r"tensorflow_model_server|(rest_api_|grpc_)?port\b|\bserve\b|\bserver\b|gunicorn|uvicorn")
_NUMERICS: Final = re.compile(r"openblas|numpy|tensorflow|torch|scipy", re.IGNORECASE)
_KERNEL: Final = re.compile(r"\b(linux|kernel)\b[^\n]{0,20}?\b[6-9]\.[0-9]", re.IGNORECASE)


def insecure(subject: Subject) -> Iterator[Finding]:
    """M01: a decision is handed to the host, with an unchanged measurement (threat ID-05)."""
    for place, value in subject.walk():
        name = place[-1]
        old_rpc = place == ("sgx", "rpc_thread_num")
        if isinstance(name, str) and (name.startswith("insecure__") or old_rpc) and value:
            yield subject.finding(M01, place, "the host decides what the enclave's author has to decide",
                                  "Remove the key; write what it stands for into the manifest.")  # fmt: skip


def inspectable(subject: Subject) -> Iterator[Finding]:
    """M02: somebody outside can look in."""
    for path in (("sgx", "debug"), ("sgx", "enable_stats"), ("sgx", "vtune_profile")):
        if subject.get(*path):
            yield subject.finding(M02, path, "the host can read the enclave's memory, or watch its execution",
                                  f"Set {'.'.join(path)} = false.")  # fmt: skip
    profile = subject.get("sgx", "profile", "enable")
    if profile not in (None, "none", False):
        yield subject.finding(M02, ("sgx", "profile", "enable"), "the profile tells the host what the enclave executes",
                              'Set sgx.profile.enable = "none".')  # fmt: skip


def unchecked_files(subject: Subject) -> Iterator[Finding]:
    """M04: with another policy, any file of the host can be read as if it were trusted."""
    policy = subject.get("sgx", "file_check_policy")
    if policy not in (None, "strict"):
        yield subject.finding(M04, ("sgx", "file_check_policy"), "files that are not listed are read without a check",
                              'Set it to "strict" and list the files in sgx.trusted_files.')  # fmt: skip


def written_keys(subject: Subject) -> Iterator[Finding]:
    """M05: whoever can read the manifest has the key."""
    places: list[Path] = [("fs", "insecure__keys", name) for name in subject.table("fs", "insecure__keys")]
    old = [(above, "insecure__protected_files_key") for above in ("fs", "sgx")]
    for place in [*places, *(path for path in old if subject.get(*path) is not None)]:
        yield subject.finding(M05, place, "everybody who can read the manifest has this key",
                              "Remove it, seal the files anew, and let the broker release the key.")  # fmt: skip


def contradictions(subject: Subject) -> Iterator[Finding]:
    """M12: Gramine stops at these, or does something else than what is written."""
    size = subject.get("sgx", "enclave_size")
    bytes_ = size_of(size)
    if size is not None and (not bytes_ or bytes_ & (bytes_ - 1)):
        yield subject.finding(M12, ("sgx", "enclave_size"), "the size is not a power of two", 'Write "4G" or the like.')
    if subject.get("sgx", "preheat_enclave") is True and subject.get("sgx", "edmm_enable") is True:
        yield subject.finding(M12, ("sgx", "preheat_enclave"), "with EDMM there are no pages to preheat",
                              "Remove one of sgx.preheat_enclave and sgx.edmm_enable.")  # fmt: skip
    loader = subject.table("loader")
    sources = [name for name in ("insecure__use_cmdline_argv", "argv", "argv_src_file") if loader.get(name)]
    if len(sources) > 1:
        yield subject.finding(M12, ("loader", sources[-1]), f"the arguments come from {' and '.join(sources)}",
                              "Keep loader.argv alone.")  # fmt: skip
    for name, entry in subject.table("loader", "env").items():
        if isinstance(entry, dict) and entry.get("passthrough") is False:
            yield subject.finding(M12, ("loader", "env", name), "passthrough = false is an error in Gramine",
                                  "Remove the variable.")  # fmt: skip


def sizes(subject: Subject) -> Iterator[Finding]:
    """M13: heuristics on what makes servers and numeric libraries fail under load."""
    sgx = subject.table("sgx")
    word = "thread_num" if "thread_num" in sgx and "max_threads" not in sgx else "max_threads"
    if not is_open(sgx.get(word)):
        known = sgx[word] if isinstance(sgx.get(word), int) else 4
        least = SERVER_THREADS if _is_server(subject) else 4
        if known < least:
            yield subject.finding(M13, ("sgx", word), f"{known} threads; {least} are the least for this program",
                                  f"Set sgx.max_threads = {least} or more.")  # fmt: skip
    stack = subject.get("sys", "stack", "size")
    if (size_of(stack) or 256 << 10) < STACK_BYTES and _mentions(subject, _NUMERICS):
        yield subject.finding(M13, ("sys", "stack", "size"), "numeric libraries overflow a stack of less than 4M",
                              'Set sys.stack.size = "4M".')  # fmt: skip
    edmm = subject.get("sgx", "edmm_enable") is True
    enclave = size_of(subject.get("sgx", "enclave_size")) or (1 << 40 if edmm else 256 << 20)
    if subject.model_bytes and enclave < MODEL_FACTOR * subject.model_bytes:
        yield subject.finding(M13, ("sgx", "enclave_size"), f"a model of {subject.model_bytes} bytes needs about thrice"
                              " its size in memory", "Raise sgx.enclave_size.")  # fmt: skip


def identity(subject: Subject) -> Iterator[Finding]:
    """M14: what a policy would like to name, and what logs tell the host."""
    sgx = subject.table("sgx")
    if not sgx.get("isvprodid") and not sgx.get("isvsvn"):
        yield subject.finding(M14, ("sgx", "isvsvn"), "policies by signer cannot tell builds without numbers apart",
                              "Set sgx.isvprodid, and raise sgx.isvsvn with each fix.")  # fmt: skip
    if subject.get("loader", "log_level") not in (None, "error"):
        yield subject.finding(M14, ("loader", "log_level"), "logs tell the host what the enclave does",
                              'Set loader.log_level = "error".')  # fmt: skip
    if subject.get("sgx", "edmm_enable") is True and not _KERNEL.search(subject.plain.text):
        yield subject.finding(M14, ("sgx", "edmm_enable"), "EDMM needs its CPU and Linux 6.0 or later",
                              "State the least kernel in a comment: # Linux 6.0.")  # fmt: skip


def experimental(subject: Subject) -> Iterator[Finding]:
    """M19: features that Gramine itself calls unfinished or for debugging."""
    for place, value in subject.walk():
        name = place[-1]
        mock = place == ("sys", "debug__mock_syscalls")
        if isinstance(name, str) and (name.startswith("experimental__") or mock) and value:
            yield subject.finding(M19, place, "Gramine does not promise how this behaves", "Remove the key.")
    for mount in subject.mounts:
        if mount.kind == "untrusted_shm":
            yield subject.finding(M19, mount.place, "the host reads and writes this memory",
                                  "Remove the mount, or treat all that comes from it as hostile.")  # fmt: skip


def size_of(value: object) -> int:
    """Return the bytes that text as "4G" means; 0 for anything else."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        return 0
    return int(match[1], 16 if match[1][:2] in {"0x", "0X"} else 10) * _UNIT[match[2]]


def _is_server(subject: Subject) -> bool:
    argv = subject.get("loader", "argv")
    words = [each for each in argv if isinstance(each, str)] if isinstance(argv, list) else []
    words.append(str(subject.get("libos", "entrypoint")))
    return any(_SERVER.search(word) for word in words)


def _mentions(subject: Subject, words: re.Pattern[str]) -> bool:
    entrypoint = str(subject.get("libos", "entrypoint"))
    files = (each.uri for each in subject.trusted.entries)
    return bool(words.search(entrypoint)) or "/python" in entrypoint or any(words.search(each) for each in files)


CHECKS: Final[tuple[tuple[Rule, Callable[[Subject], Iterator[Finding]]], ...]] = (
    (M01, insecure), (M02, inspectable), (M04, unchecked_files), (M05, written_keys), (M12, contradictions),
    (M13, sizes), (M14, identity), (M19, experimental),
)  # fmt: skip
