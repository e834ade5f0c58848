"""Apache Flink: a cluster with TLS on one machine, jobs on any cluster, the worker as a job, its page after a login."""
