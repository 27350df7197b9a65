"""Bounded model checking of the control plane: its real code, in every order of its calls.

`search` says how. `python -m tests.explorer` runs all of it.
"""
