"""e2e_throughput.py of bigdl-serving imports this from another package of BigDL's, for `recordEncrypted` alone."""


def encrypt_with_AES_GCM(*_):  # noqa: N802  # the original's name
    """Refuse: nobody asks for it here."""
    raise NotImplementedError
