"""The model server beside its peers, in one run on one machine: `make bench-serving`.

One kind of load for all: HTTP/2 (or HTTP/1.1 for JSON) from one client of ours, `load`, whose cost does not count. What
counts is the CPU time of the server's processes for one request, the least of several runs after a warm-up; every
answer is checked before it is measured.

`models`, `resnet50`, `tls_files` what is served, and how · `requests` what is asked · `h2frames`, `load`, `http_load`
who asks · `processes` what a server costs · `fronts` ours, the reference and the peers, and how each starts · `plan`,
`measure`, `floors`, `memory`, `saturation`, `obvious` what is measured · `results`, `plot`,
`markdown` what is written.
"""
