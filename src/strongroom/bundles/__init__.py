"""Bundles: a model version sealed under its own key, signed by its owner, useless without a release.

Law of this room: what is published is sealed files, a manifest and a signature, looked at again before anybody else
sees it; what is opened is complete, pinned and signed, or refused. It knows nothing of workspaces and brokers: keys
and signers are handed in.
"""

from strongroom.bundles.engines import NotAModel, detect, signatures_of
from strongroom.bundles.intake import Unpublishable
from strongroom.bundles.leak_scan import LeakFound
from strongroom.bundles.manifest import (
    BadModelName,
    BundleMalformed,
    BundleManifest,
    BundleSignatureInvalid,
    FileEntry,
    Signature,
    TensorSpec,
    WrongBundle,
    check_model,
    stored_path,
)
from strongroom.bundles.opening import BundleIncomplete, NoSuchFile, NotABundle, OpenBundle, WrongBundleKey, open_bundle
from strongroom.bundles.publish import publish
from strongroom.bundles.ssl_config import open_ssl_config, seal_ssl_config

__all__ = [
    "BadModelName",
    "BundleIncomplete",
    "BundleMalformed",
    "BundleManifest",
    "BundleSignatureInvalid",
    "FileEntry",
    "LeakFound",
    "NoSuchFile",
    "NotABundle",
    "NotAModel",
    "OpenBundle",
    "Signature",
    "TensorSpec",
    "Unpublishable",
    "WrongBundle",
    "WrongBundleKey",
    "check_model",
    "detect",
    "open_bundle",
    "open_ssl_config",
    "publish",
    "seal_ssl_config",
    "signatures_of",
    "stored_path",
]
