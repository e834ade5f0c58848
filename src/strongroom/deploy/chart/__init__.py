"""The Helm chart: its files as package data, and the values that make it render one description."""

from strongroom.deploy.chart.chart import chart_files, values

__all__ = ["chart_files", "values"]
