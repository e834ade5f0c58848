"""Drive a cluster: apply, status, scale, rollout, delete, doctor.

What Kubernetes and the broker say is read into frozen values (`objects`, `nodes`); decisions about them are pure
(`changes`, `reasons`, `replicas`, `rollout_plan`, `preflight`). `kubectl` is the one place that starts kubectl or helm.
"""
