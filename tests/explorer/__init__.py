"""Bounded model checking of the control plane: its real code, through every order of its port calls.

`search` says how. `python -m tests.explorer` runs all of it.
"""
