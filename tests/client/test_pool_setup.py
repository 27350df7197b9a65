"""What the pool's administrator adds: two files, and a rule that shuts nobody else out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import classad2
import pytest
from annex_client import pool_rules
from annex_client.exits import Exit

if TYPE_CHECKING:
    from world import World

USERS = ("alice@pool.example", "bob@pool.example")


def ad(name: str, identity: str | None, owner: str | None = None, kind: str = "Machine") -> object:
    """An ad as the collector has it."""
    values = {"Name": name, "AuthenticatedIdentity": identity, "AnnexOwner": owner, "MyType": kind}
    return classad2.ClassAd({key: value for key, value in values.items() if value is not None})


ALICE = "alice@pool.example"


@pytest.mark.parametrize(
    ("name", "identity", "owner"),
    [
        ("slot1@ip-10-0-1-11.ec2.internal@i-01.alice.annex", ALICE, ALICE),
        ("ip-10-0-1-11.ec2.internal@i-01.alice.annex", ALICE, ALICE),
        ("slot1@static.pool.example", "condor@pool.example", None),
        ("slot1@static.pool.example", "osg-ep@pool.example", None),
        ("slot1@static.pool.example", "condor@password", None),
        ("slot1@static.pool.example", None, None),
        ("ap.pool.example", "condor@family", None),
        ("slot1@x@i-1.bob.annex", "carol@pool.example", None),
    ],
)
def test_it_lets_in(name: str, identity: str | None, owner: str | None) -> None:
    assert pool_rules.shut_out([ad(name, identity, owner)], USERS) == []


@pytest.mark.parametrize("kind", ["Machine", "Foo", "DaemonMaster"])
@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("slot1@static.pool.example", ALICE),
        ("slot1@x@i-1.bob.annex", ALICE),
        ("slot1@x@i-1.alice.annex", "bob@pool.example"),
        ("slot1@x@i-1.alice.annex", None),
        ("slot1@x@i-1.malice.annex", ALICE),
        ("slot1@x@i-1.bob.alice.annex", ALICE),
        ("slot1@x@i-1.ALICE.annex", ALICE),
        ("i-1.alice.annex", ALICE),
    ],
)
def test_it_shuts_out_what_an_annex_user_forges(name: str, owner: str | None, kind: str) -> None:
    forged = ad(name, ALICE, owner, kind)
    assert pool_rules.shut_out([forged], USERS) == [f"{name} ({ALICE})"]


def test_both_files_are_printed_and_the_rule_is_checked(world: World) -> None:
    world.pool.ads = [ad("slot1@static.pool.example", "condor@pool.example")]
    done = world.annex_client("setup", "--pool", "--pool-users", "alice,bob")
    assert done.status == Exit.DONE
    assert "ANNEX_USERS = alice@pool.example bob@pool.example" in done.out
    for setting in (
        *("SEC_TOKEN_ISSUER_KEY = annex", "SEC_TOKEN_FETCH_ALLOWED_SIGNING_KEYS = annex"),
        *("ALLOW_ADVERTISE_STARTD = $(ALLOW_ADVERTISE_STARTD) $(ANNEX_USERS)", "AnnexGuard"),
        *("ALLOW_ADVERTISE_MASTER = ", "COLLECTOR_REQUIREMENTS = ", "DAEMON_SOCKET_DIR = "),
        *("IMMUTABLE_JOB_ATTRS = $(IMMUTABLE_JOB_ATTRS) Requirements", "SEC_CLIENT_INTEGRITY"),
        "ANNEX_DEFAULT_API_URL = https://abc123.execute-api.us-east-1.amazonaws.com/api",
    ):
        assert setting in done.out
    assert "Checked against 1 ad now in the collector: none would be shut out." in done.out


def test_both_files_are_written_where_they_are_wanted(world: World) -> None:
    folder = world.home / "pool"
    done = world.annex_client("setup", "--pool-dir", str(folder))
    assert done.status == Exit.DONE
    assert sorted(path.name for path in folder.iterdir()) == [
        "60-annex-access-point.config",
        "60-annex-central-manager.config",
    ]


def test_who_would_be_shut_out_is_named(world: World) -> None:
    world.pool.ads = [ad("slot1@old.pool.example", ALICE)]
    done = world.annex_client("setup", "--pool")
    assert done.status == Exit.CONFLICT
    assert "slot1@old.pool.example (alice@pool.example)" in done.err


def test_without_the_collector_the_files_come_with_a_warning(world: World) -> None:
    world.pool.unreachable = "The collector cannot be asked."
    done = world.annex_client("setup", "--pool")
    assert done.status == Exit.DONE
    assert "was not checked" in done.err
    assert "ANNEX_USERS" in done.out


def test_on_a_host_without_a_pool_it_says_where_to_run_it_again(world: World) -> None:
    """The files may well be made there; what is in the collector cannot be asked."""
    from annex_client.errors import PoolTrouble  # noqa: PLC0415 - only here

    class Nowhere:
        def execute_ads(self) -> list[object]:
            raise PoolTrouble("No pool.", code="NoPool")

    del world.macros["COLLECTOR_HOST"]
    done = world.annex_client("setup", "--pool", "--pool-users", ALICE, pool=Nowhere)
    assert (done.status, done.err) == (Exit.DONE, "")
    assert "This host is in no pool" in done.out


def test_a_name_without_a_domain_is_not_guessed_at_where_there_is_no_pool(world: World) -> None:
    del world.macros["COLLECTOR_HOST"]
    done = world.annex_client("setup", "--pool", "--pool-users", "alice,bob@pool.example")
    assert done.status == Exit.BAD_INPUT
    assert "the domain of alice is not known" in done.err


def test_root_says_who_may_use_annexes(world: World) -> None:
    world.environ["USER"] = "root"
    done = world.annex_client("setup", "--pool")
    assert done.status == Exit.BAD_INPUT
    assert "--pool-users" in done.err


def test_an_address_that_is_not_known_yet_is_no_setting(world: World) -> None:
    del world.macros["ANNEX_DEFAULT_API_URL"]
    out = world.annex_client("setup", "--pool").out
    assert "\n# ANNEX_DEFAULT_API_URL = https://...\n" in out
    assert "\nANNEX_DEFAULT_API_URL" not in out


@pytest.mark.parametrize(
    ("before", "allowed"),
    [
        ("ALLOW_DAEMON = condor@pool", "condor@pool alice@pool.example"),
        ("ALLOW_WRITE = *@w", "*@w alice@pool.example"),
        ("ALLOW_ADVERTISE_STARTD = ep@pool\nALLOW_DAEMON = x", "ep@pool alice@pool.example"),
    ],
)
def test_htcondor_itself_reads_the_file_and_keeps_who_was_allowed(
    before: str, allowed: str, world: World
) -> None:
    """In a process of its own: HTCondor's configuration is the process's."""
    import subprocess  # noqa: PLC0415 - only here
    import sys  # noqa: PLC0415

    setup = pool_rules.PoolSetup((ALICE,), "annex", None, "us-east-1")
    config = world.home / "condor_config"
    config.write_text(f"COLLECTOR_HOST = cm\n{before}\n{pool_rules.central_manager(setup)}")
    code = (
        "import htcondor2, classad2; p = htcondor2.param;"
        "print(p['ALLOW_ADVERTISE_STARTD']); print(p['SEC_TOKEN_ISSUER_KEY']);"
        "e = classad2.ExprTree(p['COLLECTOR_REQUIREMENTS']);"
        "print(e.eval(classad2.ClassAd({'Name': 'x', 'AuthenticatedIdentity': 'a@b'})));"
        f"print(e.eval(classad2.ClassAd({{'Name': 'x', 'AuthenticatedIdentity': '{ALICE}'}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"CONDOR_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [allowed, "annex", "True", "False"]
