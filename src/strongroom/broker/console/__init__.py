"""The console: pages for people over the broker's administration, served on the administrative port.

Law of this room: a page is made on the server and whole without scripts; nothing is shown that the role does not have;
what peers said is text, never markup; no secret is ever on a page. `…_views`, `wording` and `facts` are pure.
"""

from strongroom.broker.console.app import console_app

__all__ = ["console_app"]
