"""Spark's own Master and Workers on one host, each behind an agent, with executors that prove themselves."""
