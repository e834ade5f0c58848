"""Sealed data sets on any file system: nothing half-done gets a name, nothing that was changed is read."""
