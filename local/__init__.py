"""An AWS account and an HTCondor pool on this machine, for the demo and the tests.

Imports neither the control plane nor the client: it knows only what AWS knows.
"""
