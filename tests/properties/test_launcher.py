"""For any command line: it is refused, or every word of what is started is on a list written down here anew."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.launcher.launch import MAX_WORDS, check, read_words
from strongroom.launcher.roles import LaunchArgumentRefused, Role, Settings

HEAP_MIB = 1024
SETTINGS = {
    role: Settings(
        role=role, java="/opt/java/bin/java", home="/opt/home", scratch="/local", max_heap_mib=HEAP_MIB,
        program=("--class", "a.B", "local:///opt/home/a.jar") if role is Role.SPARK_DRIVER else (),
    )
    for role in Role
}  # fmt: skip
MAINS = {
    Role.SPARK_DRIVER: "org.apache.spark.deploy.SparkSubmit",
    Role.SPARK_EXECUTOR: "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    Role.FLINK_JOBMANAGER: "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    Role.FLINK_TASKMANAGER: "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
}
AFTER = {
    Role.SPARK_DRIVER: ["--deploy-mode", "client", "--conf", "spark.driver.port=7078"],
    Role.SPARK_EXECUTOR: ["--driver-url", "spark://a@h:1", "--executor-id", "1", "--app-id", "app-1"],
    Role.FLINK_JOBMANAGER: ["--configDir", "/opt/home/conf", "-D", "rest.port=8081"],
    Role.FLINK_TASKMANAGER: ["--configDir", "/opt/home/conf", "-Dtaskmanager.cpu.cores=2.0"],
}
# What may stand before the main class, said in another way than the launcher says it.
ALLOWED = re.compile(
    r"-(server|cp)|/opt/home(/[\w.+-]+)*(/\*?)?(:/opt/home(/[\w.+-]+)*(/\*?)?)*|-X(mx|ms|mn|ss)[0-9]+[bkmgtBKMGT]?[bB]?"
    r"|-XX:(\+(IgnoreUnrecognizedVMOptions|Use(G1|Parallel|Serial)GC|(Exit|Crash)OnOutOfMemoryError|DisableAttachMechanism)"
    r"|-(UsePerfData|CreateCoredumpOnCrash)|(ErrorFile|ReplayDataFile)=/tmp/java_(error|replay)\.log"
    r"|(MaxDirectMemory|MaxMetaspace|Metaspace|ReservedCodeCache|CompressedClassSpace)Size=[0-9]+[bkmgtBKMGT]?[bB]?"
    r"|(ActiveProcessorCount|ParallelGCThreads|ConcGCThreads)=[0-9]{1,3}"
    r"|TieredStopAtLevel=[1-4])"
    r"|--add-(opens|exports)=(java|jdk)\.[a-z.]+/[a-z0-9.]+=ALL-UNNAMED|--add-modules=jdk\.incubator\.vector"
    r"|--enable-native-access=ALL-UNNAMED|--sun-misc-unsafe-memory-access=allow"
    r"|-Dspark\.(driver|blockManager|port|ui|network|rpc|executor|app|authenticate|io|ssl)(\.\w+)*=[A-Za-z0-9._:\[\]-]+"
    r"|-Dspark\.authenticate\.secret\.file=/data/spark_secret"
    r"|-Dlog4?j?2?(back)?\.\w+=(file:)?/(opt/home/conf|local)(/[\w.+-]+)*/?|-Djava\.net\.preferIP\w+=(true|false)"
    r"|-D(file\.encoding=UTF-8|jdk\.reflect\.useDirectMethodHandle=false|java\.io\.tmpdir=/tmp)"
    r"|-Dio\.netty\.(tryReflectionSetAccessible=true|allocator\.type=pooled|noUnsafe=false)",
    re.ASCII,
)
PIECES = st.sampled_from(
    [
        "-cp",
        "-classpath",
        "/opt/home/jars/*",
        "/tmp/x.jar",
        "-Xmx",
        "1g",
        "9999g",
        "-XX:",
        "+",
        "-",
        "OnError=",
        "@",
        "-D",
        "=",
        "spark.",
        "authenticate",
        "driver.port",
        "java.",
        "log4j.configurationFile=file:",
        "/opt/home/conf/",
        "..",
        "%2e",
        ",",
        ":",
        "-javaagent:",
        "-agentlib:",
        "--add-opens=",
        "java.base/",
        "java.lang",
        "=ALL-UNNAMED",
        "--",
        "class",
        " ",
        "'",
        ";",
        "true",
        "false",
        "$(x)",
        "UseG1GC",
        "Flags",
        "*",
        "/",
        "-jar",
        "-m",
        "7078",
        "javax.net.ssl.trustStore",
    ]
)
WORDS = st.lists(PIECES, min_size=1, max_size=5).map("".join) | st.text(max_size=12)


def judged(words, role):
    try:
        return check(words, SETTINGS[role])
    except LaunchArgumentRefused:
        return None


@pytest.mark.parametrize("role", Role)
@given(words=st.lists(WORDS, max_size=6))
def test_no_unlisted_option_ever_reaches_java(role, words):
    launch = judged([*words, MAINS[role], *AFTER[role]], role)
    if launch is None:
        return
    before = launch.argv[1 : launch.argv.index(MAINS[role])]
    for word in before:
        assert ALLOWED.fullmatch(word), word
        assert ".." not in word.split("/")
    assert launch.argv[launch.argv.index(MAINS[role]) + 1 :][: len(AFTER[role])] == tuple(AFTER[role])


@pytest.mark.parametrize("role", Role)
@given(words=st.lists(WORDS, max_size=8))
def test_any_command_line_starts_java_or_is_refused(role, words):
    launch = judged(words, role)
    assert launch is None or (launch.argv[0] == "/opt/java/bin/java" and MAINS[role].rpartition(".")[0])


@pytest.mark.parametrize("role", Role)
@given(word=WORDS, at=st.integers(0, 20))
def test_a_word_put_in_after_the_main_class_is_a_known_one(role, word, at):
    words = list(AFTER[role])
    words.insert(min(at, len(words)), word)
    launch = judged([MAINS[role], *words], role)
    if launch is not None:  # a value in the place of another, or one of Flink's settings
        assert word.startswith("-D") or word in SETTINGS[role].program
        assert not re.search(r"[\s;'$@%*,]", word)


@given(st.lists(st.sampled_from(["-Xmx", "-Xms", "-Xss", "-Xmn"]), max_size=5).flatmap(
    lambda names: st.tuples(*(st.integers(1, 10**14).map(lambda size, name=name: f"{name}{size}") for name in names))
))  # fmt: skip
def test_no_heap_is_larger_than_the_enclave_holds(words):
    launch = judged([*words, MAINS[Role.SPARK_EXECUTOR], *AFTER[Role.SPARK_EXECUTOR]], Role.SPARK_EXECUTOR)
    if launch is None:
        return
    sizes = [word[4:] for word in launch.argv if word.startswith(("-Xmx", "-Xms", "-Xmn"))]
    assert sizes
    assert all((int(size[:-1]) if size.endswith("m") else int(size) >> 20) <= HEAP_MIB for size in sizes)


@given(st.binary(max_size=200))
def test_any_bytes_are_words_or_refused(data):
    try:
        words = read_words(data)
    except LaunchArgumentRefused:
        return
    assert b"".join(word.encode() + b"\0" for word in words) == data
    assert len(words) <= MAX_WORDS or judged(words, Role.SPARK_EXECUTOR) is None
