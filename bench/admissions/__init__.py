"""What the bench of admissions is made of: simulated replicas, how they ask, and the floor beside them."""
