"""A real Kubernetes cluster of one node on this machine, and the journey of a deployment on it: `make kube`.

Nothing here is part of the product. Everything a cluster makes lies in one temporary folder, or in namespaces and
control groups of its own, so that several may run side by side and none leaves anything behind.
"""
