"""The model of a worker, and how it got it: from a plain folder, or sealed, with keys that the broker released."""
