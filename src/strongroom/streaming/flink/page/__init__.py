"""Flink's web page behind a login: Flink has none of its own, so a proxy holds the client's certificate."""
