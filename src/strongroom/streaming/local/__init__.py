"""A whole queue on one machine: Redis, workers and the HTTP front as processes of one parent (`queue up`)."""
