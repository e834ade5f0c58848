"""The model server: TensorFlow Serving's gRPC, REST, flags and files, over TLS that ends in this process.

Law of this room: fronts convert, call the dataplane, and convert back; they never see an engine. The event loop never
waits for a file, the broker, or an engine that is not quick. Nothing listens before it has key and certificate (but for
probes), and nothing readable reaches a disk.

`server` start to stop · `options`, `flags` what was asked for · `assembly` what follows · `fronts` listeners and
connections · `http2` HTTP/2 without I/O · `requests` from a message to its answer · `models` versions and their lives ·
`batching` which requests run together · `engines` how they run · `operations` keys, readiness, metrics, processes.
"""
