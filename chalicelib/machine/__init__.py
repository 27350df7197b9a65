"""The program that runs on each instance: sets HTCondor up, watches, and ends the machine.

Plain standard-library Python for 3.9 and newer; it imports nothing else of the project. The user
data holds `fetch` and what that imports, which gets the whole program out of the annex's
configuration object: EC2's user data has no room for it (`chalicelib/program.py`).
"""
