"""What people see of a job: its progress in the terminal, the report and the lineage after it, Spark's history."""
