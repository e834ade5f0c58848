"""Learning inside a trusted Spark job: Keras over barrier tasks, XGBoost, and models that leave the job sealed."""
