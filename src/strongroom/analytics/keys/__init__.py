"""Where data keys come from: a file, the broker by attestation, or the agent that already asked it."""
