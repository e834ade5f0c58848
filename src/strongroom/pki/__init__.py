"""Keys and certificates: the owner's CA, TLS sets in the seeds' layout, ssl.cfg, RA-TLS certificates.

Law of this room: every certificate it makes has a name, a role and a random serial, and dies before its issuer; no
private key is written that need not leave. `ratls` and `tagged_evidence` are pure; `disk` is the one module of the
lower floors that writes secret files, and `ssl_configure` the one that reads a folder.
"""
