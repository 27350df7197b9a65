"""Where jobs ran: the tutorial's histogram, by `where` and by its own command line."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from annex_client import distribution, histogram
from annex_client.context import Completed
from annex_client.exits import Exit

if TYPE_CHECKING:
    from world import World

# The tutorial's own picture; its dots stand for 24 jobs elsewhere, one place 13 letters long.
COUNTS = {
    "ec2.internal": 456,
    "uchicago.edu": 422,
    "local": 28,
    "t2.ucsd": 23,
    "phys.uconn": 12,
    "tusker.hcc": 10,
}
PICTURE = """\
Val          |Ct (Pct)     Histogram
ec2.internal |456 (46.77%) +++++++++++++++++++++++++++++++++++++++++++++++++++++
uchicago.edu |422 (43.28%) +++++++++++++++++++++++++++++++++++++++++++++++++
local        |28 (2.87%)   ++++
t2.ucsd      |23 (2.36%)   +++
phys.uconn   |12 (1.23%)   ++
tusker.hcc   |10 (1.03%)   ++
"""


def tutorial_values() -> list[str]:
    values = [name for name, number in COUNTS.items() for _ in range(number)]
    return values + [f"elsewhere{n:04}" for n in range(24)]


def test_the_histogram_is_the_tutorial_s() -> None:
    drawn = histogram.draw(tutorial_values(), height=101)
    assert "\n".join(drawn[:7]) + "\n" == PICTURE
    assert max(map(len, drawn)) == 80


def test_the_tutorial_s_own_command_line_ends_in_the_same_picture(world: World) -> None:
    context = world.context("\n".join([*tutorial_values(), ""]))
    assert distribution.run(["--height=101"], context) == Exit.DONE
    assert isinstance(context.stdout, io.StringIO)
    assert context.stdout.getvalue().startswith(PICTURE)


def test_height_and_width_are_kept_to(world: World) -> None:
    context = world.context("\n".join(tutorial_values()))
    assert distribution.run(["--height=2", "--width", "40", "--char", "#"], context) == Exit.DONE
    assert isinstance(context.stdout, io.StringIO)
    lines = context.stdout.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1] == "ec2.internal|456 (46.77%) " + "#" * 14


def test_nothing_to_count_draws_a_heading() -> None:
    assert histogram.draw(["", ""]) == ["Val|Ct (Pct) Histogram"]


def test_domains_are_cut_as_the_tutorial_cuts_them() -> None:
    cut = {
        "slot1_1@ip-10-0-1-11.ec2.internal@i-01.alice.annex": "ec2.internal",
        "slot1@ip-10-0-1-11.ec2.internal": "ec2.internal",
        "slot1@node.cs.uchicago.edu": "cs.uchicago",
        "slot1@host.local": "local",
        "host.local": "local",
        "slot1@host": "host",
        "": "",
    }
    assert {host: histogram.domain(host) for host in cut} == cut


def test_where_counts_the_user_s_own_jobs(world: World) -> None:
    host = "slot1_1@ip-172-31-0-4.ec2.internal@i-01.alice.annex"
    world.tools.history = f"{host}\n" * 3 + "slot1@a.local\n\n"
    done = world.annex_client("where")
    assert world.tools.calls == [("condor_history", "-format", "%s\\n", "LastRemoteHost", "alice")]
    assert done.out.splitlines()[0] == "Val         |Ct (Pct)   Histogram"
    assert done.out.splitlines()[1].startswith("ec2.internal|3 (75.00%) +++")
    assert done.status == Exit.DONE


def test_where_hands_condor_history_its_arguments(world: World) -> None:
    world.tools.history = "slot1@a.local\n"
    done = world.annex_client("where", "bob", "-constraint", 'AnnexName == "x"')
    assert world.tools.calls[0][-3:] == ("bob", "-constraint", 'AnnexName == "x"')
    assert done.status == Exit.DONE
    assert world.annex_client("where", "-constraint", "x").status == Exit.DONE


def test_where_as_json_and_with_nothing_found(world: World) -> None:
    assert world.annex_client("where").out == "No finished jobs were found.\n"
    world.tools.history = "slot1@a.local\n"
    assert world.annex_client("where", "--json").json() == {"total": 1, "counts": {"local": 1}}


def test_where_without_a_pool_says_so(world: World) -> None:
    world.tools.answers["condor_history"] = Completed(1, "", "No schedd")
    done = world.annex_client("where")
    assert done.status == Exit.POOL_TROUBLE
    assert "No schedd" in done.err
