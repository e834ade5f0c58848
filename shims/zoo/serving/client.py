"""The original's InputQueue and OutputQueue, by Strongroom; they answer with the old words `"[]"` and `"NaN"`.

Scripts that know no TLS name host and port alone; the file that STRONGROOM_QUEUE_CONFIG points to (a config.yaml of the
queue) says the rest: certificates, user, password file.
"""

import os
from typing import Any

from strongroom.streaming import client

__all__ = ["InputQueue", "OutputQueue"]


def _completed(options: dict[str, Any]) -> dict[str, Any]:
    config = os.environ.get("STRONGROOM_QUEUE_CONFIG")
    return {"compat": True, **({"config": config} if config else {}), **options}


class InputQueue(client.InputQueue):
    """Sends records."""

    def __init__(self, frontend_url: str | None = None, **options: Any) -> None:  # noqa: ANN401  # words of the client
        """Take the options of strongroom.streaming.client.InputQueue."""
        super().__init__(frontend_url, **(_completed(options) if frontend_url is None else {"compat": True, **options}))


class OutputQueue(client.OutputQueue):
    """Takes results."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # words of the client
        """Take the options of strongroom.streaming.client.OutputQueue."""
        super().__init__(**_completed(options))
