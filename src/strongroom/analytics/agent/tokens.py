"""A file of Hadoop credentials with Spark's secret in it: where every JVM of Spark's looks first. Pure.

Spark reads `spark.authenticate.secret.file` on Kubernetes alone; elsewhere it would take the secret from a variable of
the environment, which others can read. Sources: Hadoop's `Credentials.writeTokenStorageToStream` (HDTS, version 0:
Writable), Spark's `SecurityManager.getSecretKey`.
"""

from __future__ import annotations

from typing import Final

TOKENS: Final = "tokens"  # the file's name, in the folder of the secret's own file
TOKENS_VARIABLE: Final = "HADOOP_TOKEN_FILE_LOCATION"
MAX_SECRET_BYTES: Final = 127  # lengths are written as one byte up to there
_MAGIC: Final = b"HDTS\x00"
_ALIAS: Final = b"sparkCookie"  # SecurityManager.SECRET_LOOKUP_KEY


def token_file(spark_secret: bytes) -> bytes:
    """Return the file: no tokens, one secret."""
    if not 1 <= len(spark_secret) <= MAX_SECRET_BYTES:
        raise ValueError("Spark's secret has 1 to 127 bytes")
    return _MAGIC + b"\x00\x01" + bytes([len(_ALIAS)]) + _ALIAS + bytes([len(spark_secret)]) + spark_secret
