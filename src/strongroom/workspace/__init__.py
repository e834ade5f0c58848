"""The owner's folder: CA, signing key, secrets, policy, ledger, trust anchors, settings.

Law of this room: secrets are 0600 in 0700 folders and are never overwritten; a name from outside never becomes a path
unchecked; a folder that others can read is refused. It knows where things lie, not what the broker or a bundle does.
"""

from strongroom.workspace.secret_store import BadSecretName, SecretStore, UnknownSecret
from strongroom.workspace.settings import BrokerSettings, Settings, SettingsMalformed, TokenSettings
from strongroom.workspace.workspace import DEFAULT_FOLDER, NotAWorkspace, Workspace

__all__ = [
    "DEFAULT_FOLDER",
    "BadSecretName",
    "BrokerSettings",
    "NotAWorkspace",
    "SecretStore",
    "Settings",
    "SettingsMalformed",
    "TokenSettings",
    "UnknownSecret",
    "Workspace",
]
