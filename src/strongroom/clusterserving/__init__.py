"""BigDL Cluster Serving's contract as values: names, records, results, configuration, to and from numpy. Pure.

What `tfserving` is to TensorFlow Serving's messages, this room is to the queue: no sockets, no files, no clock. Needs
numpy and pyarrow (extra `streaming`); also runs under the older ones that Apache Flink's Python environment pins.
"""
