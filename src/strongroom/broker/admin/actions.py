"""Everything an administrator may do, as methods: no HTTP, no command line, no event loop.

Every method takes the actor first, then keyword arguments, and returns plain JSON values (`views`). The table in
`roles` decides who may call it, `operations` names it for the API and the command line.
"""

from __future__ import annotations

from strongroom.broker.admin.keys import KeyActions
from strongroom.broker.admin.overview import OverviewActions
from strongroom.broker.admin.people import PeopleActions
from strongroom.broker.admin.policies import PolicyActions
from strongroom.broker.admin.records import RecordActions
from strongroom.broker.admin.running import RunningActions


class Administration(OverviewActions, PeopleActions, KeyActions, RunningActions, PolicyActions, RecordActions):
    """All actions on one store. Threads may share it; methods wait for the disk, so an event loop uses a thread."""
