"""The program that runs on each instance: sets HTCondor up, watches, and ends the machine.

It is sent as a zipapp inside the user data (`chalicelib/userdata.py`), so it is plain
standard-library Python for 3.9 and newer, imports nothing else of the project, and is kept small:
comments and docstrings are stripped before it is sent, code is not.
"""
