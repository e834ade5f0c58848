"""The way to Redis: connections over TLS, the scripts, and a Redis of one's own for one machine."""
