"""Ask a model about a photograph, after its replica has proved what program it is.

Run it against what `strongroom demo --keep` leaves running (it prints folder and ports):

    cd FOLDER && python .../examples/classify_photo.py https://localhost:PORT photo.jpg
"""

import sys
from pathlib import Path

from strongroom.client import Client, read_image, read_labels, top_classes


def main(url: str, photo: str, model: str = "efficientnet-lite0") -> None:
    """Print the best classes, and what was not proved."""
    with Client(
        url,
        ca="client/ca_cert.pem",
        certificate="client/cert.pem",
        key="client/key.pem",
        trust="client/trust",  # policy.toml, anchors/, collateral/: nothing is sent before these accept the evidence
    ) as client:
        outputs = client.predict(model, {"input": read_image(Path(photo))})
        for ranked in top_classes(outputs["predict"], read_labels("imagenet"), count=3):
            print(f"{100 * ranked.probability:5.1f} %  {ranked.name}")
        for topic, sentence in client.proof(model).not_proved():
            print(f"not proved: {topic}: {sentence}")


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit(__doc__)
    main(*sys.argv[1:])
