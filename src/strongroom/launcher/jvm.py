"""Check the words before the main class: class path, sizes, switches, properties. Pure.

Everything is refused that is not listed. Sizes are brought down to what the enclave can hold, since Spark and Flink
compute them from configuration that lies outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.launcher import refusals
from strongroom.launcher.properties import check_system_property
from strongroom.launcher.roles import LaunchArgumentRefused, Settings, name_of
from strongroom.launcher.values import number, path_below, size_bytes

MAX_ENTRIES: Final = 2000  # of a class path
_MIB: Final = 1 << 20
_CLASS_PATH: Final = frozenset({"-cp", "-classpath", "--class-path"})
_SWITCHES: Final = frozenset(
    {
        "-server", "-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UseG1GC", "-XX:+UseParallelGC", "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError", "-XX:+CrashOnOutOfMemoryError", "-XX:+DisableAttachMechanism",
        "-XX:-HeapDumpOnOutOfMemoryError", "-XX:-CreateCoredumpOnCrash",
        "-XX:-UsePerfData", "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
    }
)  # fmt: skip
# Access of the program to packages of the JDK, as Spark's and Flink's scripts ask for it: no code is added by it.
_OPENS: Final = re.compile(r"--add-(opens|exports)=(java|jdk)\.[a-z.]{1,40}/[a-z0-9.]{1,80}=ALL-UNNAMED", re.ASCII)
_COUNTS: Final[Mapping[str, int]] = {  # the most each may say
    "-XX:ActiveProcessorCount": 256,
    "-XX:ParallelGCThreads": 256,
    "-XX:ConcGCThreads": 256,
    "-XX:TieredStopAtLevel": 4,
}
_SIZED: Final[Mapping[str, int | None]] = {  # MiB; None: as much as the heap may have
    "-Xmx": None,
    "-Xms": None,
    "-Xmn": None,
    "-Xss": 16,
    "-XX:MaxDirectMemorySize=": None,
    "-XX:MaxMetaspaceSize=": 512,
    "-XX:MetaspaceSize=": 512,
    "-XX:ReservedCodeCacheSize=": 256,
    "-XX:CompressedClassSpaceSize=": 256,
}
_MIN_BYTES: Final = 64 << 10
# After the host's words, so that these win: nobody attaches, nothing is written where others read.
_FIXED: Final = ("-XX:+DisableAttachMechanism", "-XX:-UsePerfData", "-XX:-CreateCoredumpOnCrash")
_SPARK_FIXED: Final = (
    "-Dspark.authenticate=true",
    "-Dspark.network.crypto.enabled=true",
    "-Dspark.network.crypto.saslFallback=false",
)


@dataclass(frozen=True, slots=True)
class Options:
    """The words before the main class, checked; the main class with what follows it; what was changed."""

    words: tuple[str, ...]
    rest: tuple[str, ...]
    notices: tuple[str, ...]


def check_options(words: Sequence[str], settings: Settings) -> Options:
    """Check words up to the main class. Raises LaunchArgumentRefused."""
    checked: list[str] = []
    notices: list[str] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if not word.startswith(("-", "@")):
            return Options(
                (*_with_heap(checked, settings), *_fixed(settings)), (word, *reversed(waiting)), tuple(notices)
            )
        if word in _CLASS_PATH:
            if not waiting:
                raise LaunchArgumentRefused(f"{word} has no value")
            checked += ["-cp", class_path(waiting.pop(), settings)]
        elif word in refusals.DROPPED:
            notices.append(f"{name_of(word)} is left out: {refusals.DROPPED[word]}")
        else:
            kept = _option(word, settings)
            checked.append(kept)
            if kept != word:
                notices.append(f"{word} is {kept} here: more does not fit into the enclave")
    raise LaunchArgumentRefused("the command line names no main class")


def _fixed(settings: Settings) -> Iterator[str]:
    yield from (*_FIXED, f"-Djava.io.tmpdir={settings.temporary}")
    yield f"-XX:ErrorFile={settings.temporary}/java_error.log"  # what a crash writes has bits of memory
    yield f"-XX:ReplayDataFile={settings.temporary}/java_replay.log"
    if settings.role.is_spark:
        yield from (*_SPARK_FIXED, f"-Dspark.authenticate.secret.file={settings.secret}")


def class_path(value: str, settings: Settings) -> str:
    """Return a class path whose every entry is a trusted file or folder; empty entries, the working folder, go."""
    entries = [entry for entry in value.split(":") if entry]
    if not entries or len(entries) > MAX_ENTRIES:
        raise LaunchArgumentRefused(f"the class path has {len(entries)} entries; 1 to {MAX_ENTRIES} are allowed")
    for entry in entries:
        if not path_below(entry.removesuffix("*") if entry.endswith("/*") else entry, settings.home):
            raise LaunchArgumentRefused(f"the class path names {entry[:100]!a}, which is not in {settings.home}")
    return ":".join(entries)


def _option(word: str, settings: Settings) -> str:
    if word in _SWITCHES or _OPENS.fullmatch(word):
        return word
    if word.startswith("-D"):
        check_system_property(word[2:], settings)
        return word
    for name, most in _SIZED.items():
        if word.startswith(name):
            return _sized(word, name, min(most or settings.max_heap_mib, settings.max_heap_mib))
    name, equals, value = word.partition("=")
    if equals and number(value) and 1 <= int(value) <= _COUNTS.get(name, 0):
        return word
    why = refusals.reason(refusals.JVM, word) or "it is not among those allowed"
    raise LaunchArgumentRefused(f"{name_of(word)} is refused: {why}")


def _sized(word: str, name: str, most_mib: int) -> str:
    """Return the option with a size that fits."""
    size = size_bytes(word[len(name) :])
    if size is None or size < _MIN_BYTES:
        raise LaunchArgumentRefused(f"{name_of(word[:40])} is no size in bytes, or with k, m or g")
    return word if size <= most_mib * _MIB else f"{name}{most_mib}m"


def _with_heap(words: Sequence[str], settings: Settings) -> Iterator[str]:
    """Yield the words with a largest heap among them, and with no smallest one above it."""
    largest = settings.max_heap_mib * _MIB
    for word in words:
        if word.startswith("-Xmx"):
            largest = size_bytes(word[4:]) or largest
    for word in words:
        smallest = size_bytes(word[4:]) if word.startswith(("-Xms", "-Xmn")) else None
        yield word if smallest is None or smallest <= largest else f"{word[:4]}{largest}"
    if not any(word.startswith("-Xmx") for word in words):
        yield f"-Xmx{settings.max_heap_mib}m"
