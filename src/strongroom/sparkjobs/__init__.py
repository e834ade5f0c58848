"""What Spark is told: the secured configuration, and the words of those who submit jobs. Pure."""
