"""The words of spark submit: the original's messages, spark-submit's options, and what is not taken."""

import pytest

from strongroom.sparkjobs.flags import BadSubmission, NotInTrustedMode, parse
from strongroom.sparkjobs.masters import BadMaster, MasterKind
from strongroom.sparkjobs.properties import Rpc


def test_the_first_word_that_is_no_option_is_the_program_and_the_rest_is_its_own() -> None:
    job = parse(["--master", "local[4]", "app.py", "--master", "spark://x:1", "-v"])
    assert (job.program, job.arguments, job.master) == ("app.py", ("--master", "spark://x:1", "-v"), "local[4]")
    assert job.main_class is None


def test_switches_of_spark_submit_do_not_swallow_the_next_word() -> None:
    job = parse(["--verbose", "--class", "org.example.Main", "app.jar", "1"])
    assert job.verbose
    assert (job.main_class, job.program, job.arguments) == ("org.example.Main", "app.jar", ("1",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--master", "k8s://https://h:1", "app.py"], "--deploy-mode should be specified for k8s"),
        (
            ["--master", "k8s://https://h:1", "--deploy-mode", "client", "--driver-memory", "1g", "app.py"],
            "--driver-memory and --executor-memory should be specified for k8s",
        ),
        (
            ["--sgx-enabled", "true", "--sgx-driver-jvm-memory", "1g", "app.py"],
            "--sgx-driver-jvm-memory and --sgx-executor-jvm-memory must be specified when sgx is enabled",
        ),
    ],
    ids=["deploy-mode", "memory", "sgx"],
)
def test_what_is_missing_is_said_in_the_words_of_the_original_with_status_1(words: list[str], message: str) -> None:
    with pytest.raises(BadSubmission) as refused:
        parse(words)
    assert refused.value.sentence == message
    assert (refused.value.code, refused.value.exit_status) == ("SR-SPARK-SUBMIT", 1)


def test_options_of_spark_submit_become_settings() -> None:
    job = parse(
        ["--name", "n", "--driver-memory", "2g", "--executor-memory=3g", "--total-executor-cores", "4",
         "--py-files", "a.zip,b.py", "-c", "spark.x=1", "--conf", "spark.y=a=b", "app.py"]
    )  # fmt: skip
    assert job.settings == {
        "spark.app.name": "n", "spark.driver.memory": "2g", "spark.executor.memory": "3g", "spark.cores.max": "4",
        "spark.submit.pyFiles": "a.zip,b.py", "spark.x": "1", "spark.y": "a=b",
    }  # fmt: skip


def test_our_own_options_are_read() -> None:
    job = parse(["--key", "a", "--key", "b", "--key", "a", "--keys", "file:k", "--rpc", "tls", "--local-dir", "/x,/y",
                 "--secret-file", "s", "--insecure", "--no-ui", "app.py"])  # fmt: skip
    assert job.keys == ("a", "b")
    assert (job.key_source, job.rpc, job.local_dirs, job.secret_file) == ("file:k", Rpc.TLS, ("/x", "/y"), "s")
    assert job.insecure
    assert not job.ui


def test_sizes_for_sgx_are_kept() -> None:
    words = ["--sgx-enabled", "true", "--sgx-driver-jvm-memory", "1g", "--sgx-executor-jvm-memory", "2g", "app.py"]
    assert parse(words).sgx_memory == ("1g", "2g")
    assert parse(["--sgx-enabled", "false", "app.py"]).sgx_memory is None


@pytest.mark.parametrize(
    "words",
    [
        [], ["--master"], ["--unknown", "x", "app.py"], ["app.jar"], ["--class", "C", "app.py"],
        ["--conf", "novalue", "app.py"], ["--conf", "a=b\nspark.x y", "app.py"], ["--rpc", "no", "app.py"],
        ["--driver-memory", "much", "app.py"], ["--deploy-mode", "x", "app.py"], ["--sgx-enabled", "maybe", "app.py"],
        ["--verbose=1", "app.py"], ["-x", "y", "app.py"], ["a.py"] * 5000,
    ],
    ids=range(14),
)  # fmt: skip
def test_words_that_do_not_fit_are_misuse(words: list[str]) -> None:
    with pytest.raises(BadSubmission):
        parse(words)


@pytest.mark.parametrize("option", ["--packages", "--repositories", "--remote", "--keytab", "--proxy-user"])
def test_what_no_trusted_session_can_have_is_refused_with_the_reason(option: str) -> None:
    with pytest.raises(NotInTrustedMode, match=option) as refused:
        parse([option, "x", "app.py"])
    assert refused.value.code == "SR-SPARK-OPTION"


def test_a_driver_that_an_unattested_process_would_start_is_refused() -> None:
    with pytest.raises(NotInTrustedMode, match="cluster"):
        parse(["--master", "spark://h:7077", "--deploy-mode", "cluster", "app.py"])


@pytest.mark.parametrize(
    ("master", "kind"),
    [
        ("local", MasterKind.LOCAL), ("local[*]", MasterKind.LOCAL), ("local[4,2]", MasterKind.LOCAL),
        ("local-cluster[2,1,512]", MasterKind.LOCAL), ("spark://a:7077,b:7077", MasterKind.STANDALONE),
        ("k8s://https://host:6443", MasterKind.KUBERNETES),
    ],
)  # fmt: skip
def test_masters_are_known_by_their_words(master: str, kind: MasterKind) -> None:
    assert MasterKind.of(master) is kind


@pytest.mark.parametrize("master", ["yarn", "k8s://http://host", "spark://", "local[x]", "mesos://x:1", "local\n"])
def test_other_masters_are_refused(master: str) -> None:
    with pytest.raises(BadMaster) as refused:
        MasterKind.of(master)
    assert refused.value.code == "SR-SPARK-MASTER"


K8S = ["--master", "k8s://https://h:6443", "--deploy-mode", "client", "--driver-memory", "1g", "--executor-memory",
       "1g"]  # fmt: skip


def test_what_the_clusters_side_says_is_a_file() -> None:
    assert parse([*K8S, "--cluster-file", "/settings/cluster.conf", "app.py"]).cluster_file == "/settings/cluster.conf"


def test_an_09_tls_whose_password_would_stand_in_pods_is_refused() -> None:
    with pytest.raises(NotInTrustedMode, match="--rpc tls"):
        parse([*K8S, "--rpc", "tls", "app.py"])


def test_a_slip_in_an_options_name_is_answered_with_the_nearest_one():
    with pytest.raises(BadSubmission) as refused:
        parse(["--executor-memry", "2g", "app.py"])
    assert refused.value.fix.startswith("Did you mean --executor-memory? ")
    with pytest.raises(BadSubmission) as refused:
        parse(["--xyzzy", "2g", "app.py"])
    assert refused.value.fix == BadSubmission.fix
