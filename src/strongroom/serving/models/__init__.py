"""Models and their versions: what lies in folders, what is complete, loaded, warm, labelled, and served.

`manager` all models of a configuration · `registry` one model's versions · `loading`, `completeness`, `warmup` one
version on its way to AVAILABLE.
"""
