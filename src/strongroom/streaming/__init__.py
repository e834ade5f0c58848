"""Cluster Serving: a queue in Redis, attested workers, clients of the original and our own, an HTTP front, Flink."""
