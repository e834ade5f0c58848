"""A client of an image classifier, as TensorFlow Serving's users write one: Google's stubs, tf.make_tensor_proto.

Run as a process by `test_reference_clients.py`; flags, TLS rule and lines are the reference client's
(spec `seed-workflow.md` section 3.5).
"""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

WARM_UP_LOOPS = 5


def parse():
    parser = argparse.ArgumentParser()
    for name, default in (("url", "localhost:8500"), ("ca", None), ("key", None), ("crt", None)):
        parser.add_argument(f"-{name}", default=default)
    for name, default in (("batch", 1), ("cnum", 16), ("loop", 200)):
        parser.add_argument(f"-{name}", default=default, type=int)
    return parser.parse_args()


def open_channel(args):
    """Neither -ca nor -crt: clear text. -crt alone: that is the root. All three: mutual TLS."""
    if not (args.ca or args.crt):
        return grpc.aio.insecure_channel(args.url)
    read = {name: Path(file).read_bytes() if (file := getattr(args, name)) else None for name in ("ca", "key", "crt")}
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read["ca"] or read["crt"],
        private_key=read["key"],
        certificate_chain=read["crt"] if read["ca"] else None,
    )
    return grpc.aio.secure_channel(args.url, credentials)


def random_request(batch):
    pixels = np.random.default_rng().integers(0, 255, (batch, 224, 224, 3), np.uint8).astype(np.float32)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "resnet50-v15-fp32"
    request.model_spec.signature_name = "serving_default"
    request.inputs["input"].CopyFrom(tf.make_tensor_proto(pixels, shape=pixels.shape))
    return request


async def task(args, number, loops):
    """Ask `loops` times over a channel of its own; return the first answer and the latencies in seconds."""
    kind = "secure" if args.ca or args.crt else "insecure"
    request, first, latencies = random_request(args.batch), None, []
    async with open_channel(args) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for index in range(loops):
            begun = time.perf_counter()
            answer = await stub.Predict(request)
            latencies.append(time.perf_counter() - begun)
            first = first or answer
            print(
                f"query: {kind} channel, task {number}, batch {args.batch}, loop_idx {index}, "
                f"latency(ms) {1000 * latencies[-1]:.1f}, tps: {args.batch / latencies[-1]:.1f}"
            )
    return first, latencies


async def run(args, loops):
    begun = time.perf_counter()
    results = await asyncio.gather(*[task(args, number, loops) for number in range(args.cnum)])
    took = time.perf_counter() - begun
    print(json.loads(json_format.MessageToJson(results[0][0])))
    latencies = [latency for _, several in results for latency in several]
    print(
        f"summary: cnum {args.cnum}, batch {args.batch}, e2e time(s) {took}, "
        f"average latency(ms) {1000 * sum(latencies) / len(latencies)}, tps: {len(latencies) * args.batch / took}"
    )


if __name__ == "__main__":
    words = parse()
    asyncio.run(run(words, WARM_UP_LOOPS))
    asyncio.run(run(words, words.loop))
