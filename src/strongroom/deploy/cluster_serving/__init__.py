"""The queue in Kubernetes: its Helm chart, and what the images of its parts start. Pure but for reading package data.

The chart has the shape of the reference guide's (job manager, task managers, master, Redis, two Secrets), without what
that one left open: docs/queue-chart.md.
"""

from strongroom.deploy.cluster_serving.chart import chart_files, values
from strongroom.deploy.cluster_serving.parts import PartOf, app_files, manifest_name

__all__ = ["PartOf", "app_files", "chart_files", "manifest_name", "values"]
