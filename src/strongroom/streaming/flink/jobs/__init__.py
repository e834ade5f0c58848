"""Programs that run inside Flink's environment: nothing outside it imports them."""
