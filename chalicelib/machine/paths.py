"""Where the program keeps its things; the shell parts of the user data know the same names."""

from __future__ import annotations

HOME = "/usr/local/lib/htcondor-annex"
PARAMETERS = HOME + "/parameters.json"
# By the annex's id: an image made of another annex's machine has that one's program.
PROGRAM = HOME + "/{}.pyz"
DEAD_MAN = HOME + "/dead-man"
# Survives a reboot: the lease's end as last renewed (the dead man's script reads it at each boot).
STATE = "/var/lib/htcondor-annex"
# Is gone after a reboot: what holds for this boot only.
RUN = "/run/htcondor-annex"
# The dead man's boot timer spares a machine that has this file.
JOINED = RUN + "/joined"
CONFIGURED = RUN + "/configured"
CLOCKS = RUN + "/clocks.json"
# By the instance's id: an image made of an annex's machine has that machine's events.
EVENTS = STATE + "/events-{}.json"
# The configuration object as last read: secret.
KEPT = STATE + "/configuration.json"
