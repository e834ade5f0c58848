"""Sealed data sets on any file system: written so that nothing half-done has a name, read so that nothing changed passes."""
