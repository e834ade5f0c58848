"""BigDL's PPMLContext with the same calls, over keys that attested processes alone are given.

    from strongroom.analytics import CryptoMode, PPMLContext
    context = PPMLContext("sums", {"kms_type": "StrongroomKeyRelease"})
    people = context.read(CryptoMode.AES_GCM_V1, "people").parquet("/data/people")

World: the session that it starts, or the one that runs. Differences: a kms_type without protection is refused by name,
keys are named and never given, and the session is a trusted one unless one runs already.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NoReturn

from strongroom.analytics.context.context import StrongroomContext
from strongroom.analytics.keys.opening import AGENT_VARIABLE
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.errors import BadInput, Refused

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    from strongroom.analytics.submit.session import TrustedSession

KEY_RELEASE: Final = "StrongroomKeyRelease"
FILE_KEYS: Final = "FileKeyService"
_NOT_BUILT: Final = ("EHSMKeyManagementService", "AzureKeyManagementService", "BigDLKeyManagementService")
_NEEDED: Final = {FILE_KEYS: ("primary_key_folder",)}
_KEYS_GIVEN: Final = ("primary_key_plaintext", "api_key", "kms_user_token")


class KmsTypeUnknown(BadInput):
    """A kms_type of PPMLContext is none, is not built here, or lacks an argument."""

    code = "SR-PPML-KMS"
    fix = "Use StrongroomKeyRelease (the default), or FileKeyService with primary_key_folder for a test."


class KmsTypeRefused(Refused):
    """A kms_type or an argument of PPMLContext would give up what the rest protects."""

    code = "SR-PPML-REFUSED"
    fix = "Make the key with strongroom data key, name it, and leave kms_type out."


class PPMLContext(StrongroomContext):
    """`ppml_args`: kms_type and what it needs; `spark_conf`: Spark's settings, without secrets.

    Raises KmsTypeUnknown, KmsTypeRefused, KeyNotGranted, and what TrustedSession raises.
    """

    def __init__(
        self, app_name: str, ppml_args: Mapping[str, str] | None = None, spark_conf: SparkConf | None = None
    ) -> None:
        keys = keys_of(ppml_args or {})
        with ExitStack() as undo:
            spark = _running(app_name, spark_conf)
            if spark is None:
                session = _started(app_name, keys, spark_conf)
                undo.callback(session.stop)
                spark, keys = session.spark, f"agent:{session.agent}"
            super().__init__(spark, keys)
            self._stack.push(undo.pop_all())  # close() ends the session that was started here, and no other


def keys_of(ppml_args: Mapping[str, str]) -> str | None:
    """Return the reference to keys that arguments mean; None for the agent of this process.

    Raises KmsTypeUnknown, KmsTypeRefused.
    """
    for name in _KEYS_GIVEN:
        if ppml_args.get(name):
            raise KmsTypeRefused(f"{name} is a secret: it would lie in the program and in Spark's settings")
    kms_type = ppml_args.get("kms_type") or KEY_RELEASE
    for name in _NEEDED.get(kms_type, ()):
        if not ppml_args.get(name):
            raise KmsTypeUnknown(f"need argument {name}")
    if kms_type == KEY_RELEASE:
        return None
    if kms_type == FILE_KEYS:
        return f"file:{ppml_args['primary_key_folder']}"
    if kms_type == "SimpleKeyManagementService":
        raise KmsTypeRefused("SimpleKeyManagementService is refused: its keys are 16 digits that anybody can try")
    if kms_type in _NOT_BUILT:
        raise KmsTypeUnknown(f"{kms_type} is not built here: the broker releases keys to attested jobs")
    raise KmsTypeUnknown(f"invalid KMS type. ({kms_type[:60]!r})")


def _running(app_name: str, spark_conf: SparkConf | None) -> SparkSession | None:
    """Return the session that runs, or the one that strongroom spark submit has made ready."""
    import pyspark.core.context
    import pyspark.java_gateway
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        return running
    if pyspark.core.context.launch_gateway is pyspark.java_gateway.launch_gateway:  # type: ignore[attr-defined]
        return None  # nobody stands in for PySpark's own gateway (submit.hooks), which is in clear
    builder = SparkSession.builder.appName(app_name)
    return (builder if spark_conf is None else builder.config(conf=spark_conf)).getOrCreate()


def _started(app_name: str, keys: str | None, spark_conf: SparkConf | None) -> TrustedSession:
    from strongroom.analytics.submit.session import TrustedSession

    if keys is None and not os.environ.get(AGENT_VARIABLE):
        raise KeyNotGranted("PPMLContext was started outside of strongroom spark submit, without an agent for its keys")
    settings = dict(spark_conf.getAll()) if spark_conf is not None else {}
    return TrustedSession(app_name, master=settings.pop("spark.master", "local[*]"), keys=keys, extra_conf=settings)


def init_keys(app_id: str, api_key: str, primary_key_path: str) -> NoReturn:
    """BigDL's call, which put a key under SimpleKeyManagementService into a file: always KmsTypeRefused."""
    del app_id, api_key, primary_key_path
    raise KmsTypeRefused("init_keys makes a primary key of 16 digits; strongroom data key NAME makes one of 256 bits")


def generate_encrypted_file(
    kms: object, primary_key_path: str, data_key_path: str, in_path: str, out_path: str
) -> NoReturn:
    """BigDL's call, which encrypted a file without proof of who changed it: always KmsTypeRefused."""
    del kms, primary_key_path, data_key_path, in_path, out_path
    raise KmsTypeRefused("generate_encrypted_file is strongroom data seal here", fix="Run strongroom data seal.")
