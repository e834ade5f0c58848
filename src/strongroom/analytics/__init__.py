"""Trusted analytics: Spark on data that nobody else can read, with keys for attested processes alone."""
