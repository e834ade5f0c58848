"""What a Master or Worker of Spark needs besides its secret: TLS for its page, in a settings file in memory.

World: files. The authority is fresh and its key is never written; its certificate goes where people find it.
"""

from __future__ import annotations

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
    }
    disk.replace_private(folder / CONF, defaults_file.render(settings))
    disk.replace_public(ca_file, (folder / session.CA).read_bytes())
    return folder / CONF
