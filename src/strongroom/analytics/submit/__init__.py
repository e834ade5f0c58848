"""Trusted sessions: Spark started with everything encrypted, its files in memory, and no secret in sight."""
