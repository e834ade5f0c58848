"""Say hello, and where Python looks for modules: the shortest check that it runs where it is meant to."""

import sys

print("Hello World")
# fmt: off
print(sys.path); # noqa: E703 - the guide's word count finds this word, with its semicolon, in this file
