"""What runs in the pods of the queue's chart beside workers and front end: Redis under the keys of its part."""
