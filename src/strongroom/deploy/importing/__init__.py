"""Taking over what users of the reference guides have: their files as settings, commands to run, and what was weak."""

from strongroom.deploy.importing.files import Imported, Kind, NothingToImport, read
from strongroom.deploy.importing.kubernetes_objects import Note
from strongroom.deploy.importing.settings_text import settings_text

__all__ = ["Imported", "Kind", "Note", "NothingToImport", "read", "settings_text"]
