"""Confidential machine learning on machines nobody has to trust."""

__version__ = "0.1.0"
