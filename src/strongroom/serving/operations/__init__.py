"""What the operator and the owner are concerned with: keys and leases, readiness, metrics, several processes."""
