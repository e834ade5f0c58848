"""Key stores that Java reads, and the folder `keys/` that a queue's parts take their TLS identities from.

`jks` Java's own format · `pkcs12` the standard one · `passwords` which password may protect them · `parts` who gets
which certificate · `generate` the folder, its renewal in one step · `sealing_keys` what of it may enter a cluster, and
how · `opening` how a pod opens it ·
`legacy` the old content of `generate-password.sh`, for who cannot do without.
"""
