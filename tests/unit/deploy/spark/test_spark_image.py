"""The image of a Spark job: what goes into it, and what is measured of it."""

import argparse
import sys
import types
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.cli import deploy_build
from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Flavour, Role, SparkJob, Tee
from strongroom.deploy.images.build import JobProgramMissing, Made, Source, app, job_program, launched
from strongroom.deploy.images.containerfile import role_files
from strongroom.deploy.images.program import _built
from strongroom.deploy.images.roles import system_packages
from strongroom.deploy.spark.words import executor_words


@pytest.fixture
def source(described, tmp_path):
    """Makes what an image is made of, with a workspace in a folder."""

    def make(tee=Tee.SIMULATED, **words):
        return Source(
            description=described(tee, **words), profile=GENERIC, workspace=tmp_path / "workspace",
            public_files={"ca_cert.pem": "ca", "owner_public.pem": "owner"},
            owner=Ed25519PrivateKey.generate().public_key(),
        )  # fmt: skip

    return make


def test_both_programs_and_the_owners_public_files_are_in_app(source):
    found = app(Role.SPARK, source())
    assert {"spark-driver.manifest", "spark-executor.manifest", "ca_cert.pem", "owner_public.pem"} <= found.keys()
    assert launched(Role.SPARK, source().description) == ("/app/spark-driver.manifest", "/app/spark-executor.manifest")


def test_an_enclaves_image_has_the_launchers_template_and_the_measured_words_of_the_job(source):
    found = app(Role.SPARK, source(Tee.SGX))
    assert {"spark-driver.manifest.template", "spark-program.argv"} <= found.keys()
    assert b"/app/job/count.jar" in found["spark-program.argv"]
    assert b'"file:/app/job/"' in found["spark-driver.manifest.template"]
    assert b"/app/job/" not in found["spark-executor.manifest.template"]
    assert launched(Role.SPARK, source(Tee.SGX).description) == ()


@pytest.mark.parametrize("folder", ["workspace", "."], ids=["in the workspace", "beside it"])
def test_a_jobs_program_comes_from_the_owners_folder(source, tmp_path, folder):
    (tmp_path / "workspace").mkdir()
    (tmp_path / folder / "jobs").mkdir()
    (tmp_path / folder / "jobs/count.py").write_bytes(b"print()")
    assert job_program(Role.SPARK, source()) == {"count.py": b"print()"}
    assert job_program(Role.BROKER, source()) == {}
    assert job_program(Role.SPARK, source(spark=SparkJob())) == {}


def test_a_program_that_is_not_there_is_sr_image_job(source):
    with pytest.raises(JobProgramMissing) as missing:
        job_program(Role.SPARK, source())
    assert missing.value.code == "SR-IMAGE-JOB"


def test_java_classes_are_compiled_when_the_image_is_made_and_measured_with_the_program(described):
    text = role_files(Role.SPARK, described())["Containerfile"].decode()
    (line,) = [line for line in text.splitlines() if "prebuild" in line]
    assert line.endswith('"strongroom.analytics.parquet.prebuild", "/opt/strongroom/share/strongroom/java"]')
    assert text.index("JAVA_HOME") < text.index("prebuild") < text.index("COPY app/")
    (jar,) = [word for word in executor_words(described()) if word.startswith("--jar=")]
    assert jar == "--jar=/opt/strongroom/share/strongroom/java/parquet.jar"


def test_jars_that_came_with_the_installation_are_taken(monkeypatch, tmp_path):
    from strongroom.analytics.parquet import build

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    jar = tmp_path / build.PREBUILT / "parquet.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"jar")
    assert build.kms_jar({}) == jar


def test_spark_alone_is_built_from_its_sources_and_with_locked_packages(tmp_path):
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("numpy==2.0 \\\n    --hash=sha256:aa\npyspark==4.3.0 \\\n    --hash=sha256:bb\npy4j==0.10 ; x\n")
    words = _built(Role.SPARK, wanted)
    assert words[:4] == ("--only-binary", "numpy", "--only-binary", "py4j")
    assert words[4] == "--build-constraints"
    assert Path(words[5]).is_file()
    assert _built(Role.BROKER, wanted) == ("--only-binary", ":all:")


@pytest.mark.parametrize(("flavour", "java"), [(Flavour.DEFAULT, "openjdk-17-jre-headless"),
                                               (Flavour.ANOLISOS, "java-17-openjdk-headless")])  # fmt: skip
def test_java_comes_from_the_distribution(described, flavour, java):
    assert java in system_packages(Role.SPARK, described(flavour=flavour))


def test_what_is_released_is_released_to_driver_and_executors(tmp_path):
    made = Made(role=Role.SPARK, reference="spark", archive=tmp_path / "x", size=1, looked_at=1, bill=b"",
                measurement=b"{}", more={"spark-executor": b"{}"})  # fmt: skip
    args = argparse.Namespace(out=tmp_path)
    words = deploy_build.trust_words(args, made, types.SimpleNamespace(folder=tmp_path / "workspace"))
    assert [Path(each[0]).name for each in words] == ["measurement.json", "measurement-spark-executor.json"]
    assert all(each[-2:] == ["--trust-domain", "simulated"] for each in words)
