"""Gramine manifests of our programs, for each release that runs them. Pure."""
