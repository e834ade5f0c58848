"""Measure a queue from end to end, with the lines of the original's `e2e_throughput.py` and what they leave out."""
