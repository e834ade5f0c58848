"""What a user of the original's client does, with that client as it was published; prints what it got as JSON.

Runs in .venv-original: story.py STORY HOST PORT JOB [IMAGE]. Nothing of Strongroom is imported here.
"""

import base64
import json
import sys
import time
from pathlib import Path

import numpy as np
from bigdl.serving.client import InputQueue, OutputQueue

PATIENCE_S = 60


def plain(value):
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {"shape": list(value.shape), "data": value.ravel().tolist()} if isinstance(value, np.ndarray) else value


def wait(output, uri, take):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = take(uri)
        if not (isinstance(found, str) and found == "[]"):
            return plain(found)
        time.sleep(0.01)
    raise SystemExit(f"no result for {uri}")


def vectors(send, output, _):
    four = np.array([1.0, 2.0, 3.0, 4.0])
    said = {"absent": output.query("nobody")}
    send.enqueue("my-1", t=four)
    said["query"] = wait(output, "my-1", output.query)
    said["again"] = wait(output, "my-1", output.query_and_delete)
    said["gone"] = output.query("my-1")
    send.enqueue("bad", t=np.array([1.0, 2.0]))
    said["failed"] = wait(output, "bad", output.query_and_delete)
    send.enqueue("sparse", t=[np.array([[1], [3]]), np.array([5.0, 7.0]), np.array([4])])
    said["sparse"] = wait(output, "sparse", output.query_and_delete)
    for at in range(20):
        send.enqueue(f"many-{at}", t=at * four)
    found, end = {}, time.monotonic() + PATIENCE_S
    while len(found) < 20 and time.monotonic() < end:
        found.update(output.dequeue())
    said["dequeued"] = {uri: plain(value) for uri, value in found.items()}
    said["predict"] = []
    for request in (four, {"t": four}, json.dumps({"instances": [{"t": four.tolist()}]})):
        try:
            said["predict"].append(plain(send.predict(request, timeout=2)))
        except ValueError as problem:  # numpy 1.25 and newer: an array has no one truth value
            said["predict"].append(str(problem))
    said["late"] = send.predict(np.array([9.0]), timeout=2)
    return said


def strings(send, output, _):
    send.enqueue("texts", words=["a", "b", "a"])
    return {"texts": wait(output, "texts", output.query_and_delete)}


def images(send, output, path):
    send.enqueue("text", image=path)
    send.enqueue("path", image={"path": path})
    send.enqueue("b64", image={"b64": base64.b64encode(Path(path).read_bytes()).decode()})
    send.enqueue("broken", image={"b64": base64.b64encode(b"no image").decode()})
    return {uri: wait(output, uri, output.query_and_delete) for uri in ("text", "path", "b64", "broken")}


def main(story, host, port, job, path=None):
    options = {"host": host, "port": port, "name": job}
    said = globals()[story](InputQueue(**options), OutputQueue(**options), path)
    print("SAID " + json.dumps(said))


main(*sys.argv[1:])
