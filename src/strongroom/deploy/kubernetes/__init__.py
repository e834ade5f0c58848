"""Every Kubernetes object of a deployment, as plain values in the order in which they are applied.

Law of this room: pure; one file a kind of object; names and labels from `naming` alone; what a description does not
ask for is not there. The chart renders the same objects.
"""

from strongroom.deploy.kubernetes.naming import Object
from strongroom.deploy.kubernetes.objects import Group, groups, objects

__all__ = ["Group", "Object", "groups", "objects"]
