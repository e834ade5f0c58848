"""A Spark job in Kubernetes: its Helm chart and plain manifests, and what its image starts. Pure but for package data.

The driver is a Job; the executors are pods that it makes from a template, each of which proves itself before it gets
Spark's secret and its keys: docs/analytics-kubernetes.md.
"""

from strongroom.deploy.spark.chart import chart_files, render, values
from strongroom.deploy.spark.parts import app_files, manifest_names
from strongroom.deploy.spark.pods import objects

__all__ = ["app_files", "chart_files", "manifest_names", "objects", "render", "values"]
