"""The keys of a broker: a root key, below it each tenant's keys, below those the secrets.

Law of this room: nothing leaves memory unwrapped but into a file that its owner asked for; what is wrapped says in its
authenticated context where it belongs, so a row moved elsewhere is refused; every change is one transaction of the
store, so a crash leaves old or new and never neither.
"""
