"""The model server: TensorFlow Serving's gRPC and REST over TLS that ends in this process.

Law of this room: fronts convert, call the dataplane, and convert back; they never see an engine. The event loop never
waits for an engine, a file or the broker. Nothing listens before it has key and certificate, and nothing readable
reaches a disk.

`flags`, `options` what was asked for · `assembly` what follows from it · `identity`, `tls` who this is · `versions`,
`completeness`, `loading`, `registry`, `model`, `manager` which models · `engines` how they run · `dataplane` the one
way to them · `grpc_front`, `rest_front`, `rest_routes`, `http1` the fronts · `evidence` what this process can prove ·
`status` what requests end in · `server` start to stop.
"""
