"""The worker: reads records, runs the model on batches of them, and completes each exactly once."""
