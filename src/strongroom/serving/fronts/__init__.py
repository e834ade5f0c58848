"""Listeners and what is spoken on their connections. Law of this room: convert, call `requests`, convert back.

Fronts never see an engine. `listening` opens what the options ask for; `front` and `connection` know no protocol;
`http2_front`, `rest_front` and `grpc_front` each speak one.
"""
