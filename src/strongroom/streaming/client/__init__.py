"""Clients of the queue: the calls of the original (InputQueue, OutputQueue), and a typed one (Client)."""
