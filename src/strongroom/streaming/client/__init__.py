"""Clients of the queue: the calls of the original (InputQueue, OutputQueue), and typed ones (Client, AsyncClient)."""

from strongroom.streaming.client.aio import AsyncClient, AsyncTicket
from strongroom.streaming.client.client import Client, Ticket
from strongroom.streaming.client.core import Submission
from strongroom.streaming.client.queues import InputQueue, OutputQueue
from strongroom.streaming.client.tickets import ResultTimeout

__all__ = ["AsyncClient", "AsyncTicket", "Client", "InputQueue", "OutputQueue", "ResultTimeout", "Submission", "Ticket"]
