"""Write what the learning examples learn from into a folder, before it is sealed. Needs no Spark.

usage: learning_data.py pictures|mails|houses|diabetes OUT [--fetched FOLDER] [--size ROWS] [--seed N]

FOLDER has MNIST's four files, or SpamAssassin's mails; without it, stand-ins are made.
"""

import argparse
from pathlib import Path

from strongroom.analytics.learning.prepare import WRITERS

parser = argparse.ArgumentParser(description="Write what the learning examples learn from.")
parser.add_argument("what", choices=sorted(WRITERS))
parser.add_argument("out", type=Path)
parser.add_argument("--fetched", type=Path)
parser.add_argument("--size", type=int)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

source = WRITERS[args.what](args.out, fetched=args.fetched, size=args.size, seed=args.seed)
print(f"{args.out}: {args.what} from {source}")
