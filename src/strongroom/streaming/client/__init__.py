"""Clients of the queue: the calls of the original (InputQueue, OutputQueue), and typed ones (Client, AsyncClient)."""

from strongroom.streaming.client.client import Client, Ticket
from strongroom.streaming.client.core import Submission
from strongroom.streaming.client.tickets import ResultTimeout

__all__ = ["Client", "ResultTimeout", "Submission", "Ticket"]
