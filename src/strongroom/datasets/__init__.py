"""Sealed data sets: their manifests, how data keys are wrapped, and what is asked of a key agent. Pure."""
