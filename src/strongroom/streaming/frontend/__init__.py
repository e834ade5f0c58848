"""The HTTP front end: the queue for those without Python, with the original's paths, over TLS alone."""
