"""What a Master or Worker of Spark needs besides its secret: TLS for its page, and a token that who looks at it shows.

World: files, in memory. The authority is fresh and its key is never written; its certificate goes where people find it,
and so do links to the token.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from strongroom.analytics.session import folder as session
from strongroom.pki import disk
from strongroom.sparkjobs import defaults_file
from strongroom.sparkjobs.properties import LOOPBACK, TLS_PROTOCOL
from strongroom.sparkjobs.redaction import REDACTION

CONF: Final = "daemon.conf"
HOSTS: Final = (LOOPBACK, "localhost")
_MAX_SECRET_BYTES: Final = 1024
_TOKEN: Final = b"strongroom: token of the pages of Spark's daemons"


def write_page_settings(folder: Path, ca_file: Path, hosts: Iterable[str] = ()) -> Path:
    """Write key stores and settings into a private folder, and the certificate of their authority to `ca_file`.

    `hosts`: what the page is known by besides this machine's own names for itself. Returns the settings' path.
    """
    stores = session.SessionFolder(folder)
    password = stores.write_stores(tuple(dict.fromkeys((*HOSTS, *hosts))))
    prefix = "spark.ssl.standalone."
    settings = {
        f"{prefix}enabled": "true",
        f"{prefix}protocol": TLS_PROTOCOL,
        f"{prefix}keyStore": str(folder / session.KEY_STORE),
        f"{prefix}keyStoreType": "PKCS12",
        f"{prefix}keyStorePassword": password,
        f"{prefix}keyPassword": password,
        f"{prefix}trustStore": str(folder / session.TRUST_STORE),
        f"{prefix}trustStoreType": "PKCS12",
        f"{prefix}trustStorePassword": password,
        "spark.redaction.regex": REDACTION,
        "spark.port.maxRetries": "0",  # a daemon elsewhere than its cluster says is one that nobody finds
    }
    disk.replace_private(folder / CONF, defaults_file.render(settings))
    disk.replace_public(ca_file, (folder / session.CA).read_bytes())
    return folder / CONF


def write_page_token(folder: Path, link: Path, spark_secret: Path | None) -> None:
    """Write the token of a daemon's page into a private folder, and links to it: `link`, and beside it one for curl.

    Daemons of one secret of Spark's have one token, so that a browser follows the Master's links to its Workers.
    """
    if spark_secret is None:
        token = secrets.token_hex(32)
    else:
        with disk.read_secret(spark_secret, limit=_MAX_SECRET_BYTES).reveal() as secret:
            token = hmac.digest(secret, _TOKEN, "sha256").hex()
    for name, text in ((session.PAGE_TOKEN, token), (session.PAGE_HEADER, f"Authorization: Bearer {token}\n")):
        disk.replace_private(folder / name, text.encode())
        shown = link if name == session.PAGE_TOKEN else link.with_suffix(".header")
        shown.unlink(missing_ok=True)
        shown.symlink_to(folder / name)
