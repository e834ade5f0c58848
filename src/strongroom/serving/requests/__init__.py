"""Requests on their way through the server: checked in the interface's order, run, answered. No sockets here.

`dataplane` the one way to a model · `inference` examples · `rpc` the table of gRPC methods · `rest_routes` REST paths.
"""
