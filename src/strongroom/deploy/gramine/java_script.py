"""What stands where Spark or Flink expects `java`, outside of the enclave. Pure: text.

Nobody has to trust it: it hands the words over, one a line ended by NUL, on standard input; the launcher inside checks
them. A replacement could only send other words, which are checked as well.
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.gramine.places import APP

_SCRIPT: Final = """\
#!/bin/sh
# In the place of `java`, outside of the enclave: hands its words to the launcher inside, which checks each of them.
set -eu
words=$(mktemp)
for word in "$@"; do printf '%s\\0' "$word"; done > "$words"
exec < "$words"
rm -f "$words"
cd /
exec {command}
"""


def java_script(name: str, command: str | None = None) -> str:
    """Return the script for one JVM program; `command` starts the launcher (in Gramine unless it is given)."""
    return _SCRIPT.format(command=command or f"gramine-sgx {APP}/{name}")
