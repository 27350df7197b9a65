"""HTCondor's configuration on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from chalicelib.machine.configure import Facts
    from chalicelib.machine.files import File

import base64
import re

import classad2
import htcondor2  # noqa: F401 - it gives ClassAds HTCondor's own functions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_builders import BOOT, HOUR, INSTANCE, SECRETS, configuration, facts

from chalicelib.machine.configuration import AdminKey, BadConfiguration
from chalicelib.machine.configure import render, slot_users, sysusers

LEASE = "/etc/condor/config.d/90-annex-lease.config"
BASE = "/etc/condor/config.d/50-annex.config"


def files(facts_: Facts | None = None, **changes: Any) -> dict[str, File]:
    return {file.path: file for file in render(configuration(**changes), facts_ or facts())}


def macros(**changes: Any) -> dict[str, str]:
    """The macros of our own two files, expanded as HTCondor does: a later one sees the earlier."""
    known = {"STARTD_ATTRS": "", "MASTER_ATTRS": ""}
    written = files(**changes)
    for line in (written[BASE].content + written[LEASE].content).decode().splitlines():
        name, equals, value = line.partition(" =")
        if equals and not line.startswith(("#", "use ")):
            known[name] = value.strip().replace(f"$({name})", known.get(name, ""))
    for other, text in list(known.items()):
        known = {name: value.replace(f"$({other})", text) for name, value in known.items()}
    return known


def starts(job: dict[str, Any], at: int = BOOT + 60, **changes: Any) -> bool:
    """Whether START takes a job, at a Unix time."""
    known = macros(**changes)
    start = known["START"].replace("time()", str(at))
    machine = classad2.ClassAd({"AnnexName": known["AnnexName"].strip('"')})
    machine["Start"] = classad2.ExprTree(start)
    return machine["Start"].eval(machine, classad2.ClassAd(job)) is True


ALICE = {"User": "alice@pool.example", "MayUseAWS": True}


@pytest.mark.parametrize(
    ("job", "changes", "taken"),
    [
        (ALICE, {}, True),
        ({"User": "alice@pool.example"}, {}, False),
        ({**ALICE, "MayUseAWS": False}, {}, False),
        ({**ALICE, "MayUseAWS": "yes"}, {}, False),
        ({**ALICE, "User": "bob@pool.example"}, {}, False),
        ({**ALICE, "User": "alice@elsewhere.example"}, {}, False),
        ({**ALICE, "User": "malice@pool.example"}, {}, False),
        ({"MayUseAWS": True}, {}, False),
        ({"MayUseAWS": True}, {"any_owner": True, "owners": ()}, True),
        ({**ALICE, "User": "bob@pool.example"}, {"any_owner": True, "owners": ()}, True),
        ({**ALICE, "User": "b@x"}, {"owners": ("alice@pool.example", "b@x")}, True),
        (ALICE, {"owners": ()}, False),
        ({**ALICE, "TargetAnnexName": "MyAnnex"}, {}, True),
        ({**ALICE, "TargetAnnexName": "MyAnnex2"}, {}, False),
        ({**ALICE, "TargetAnnexName": "myannex"}, {}, False),
    ],
)
def test_only_jobs_meant_for_this_annex_start(
    job: dict[str, Any], changes: dict[str, Any], taken: bool
) -> None:
    assert starts(job, **changes) is taken


def test_no_job_starts_in_the_retiring_time_nor_after_the_lease() -> None:
    assert starts(ALICE, at=BOOT + HOUR - 301)
    assert not starts(ALICE, at=BOOT + HOUR - 300)
    assert not starts(ALICE, at=BOOT + 2 * HOUR)


def test_a_short_lease_retires_for_a_tenth_of_it() -> None:
    assert starts(ALICE, at=BOOT + 269, lease_end=BOOT + 300)
    assert not starts(ALICE, at=BOOT + 270, lease_end=BOOT + 300)


@pytest.mark.parametrize(("limit", "interval"), [(86400, 300), (900, 300), (60, 20), (1, 10)])
def test_after_a_collector_s_restart_a_machine_is_back_before_it_counts_as_refused(
    limit: int, interval: int
) -> None:
    assert macros(unjoined_limit_seconds=limit)["UPDATE_INTERVAL"] == str(interval)


def test_the_lease_is_read_after_the_users_files_and_they_after_ours() -> None:
    names = [name for name in files(config_files={"zz.config": "A = 1"}) if "config.d" in name]
    assert sorted(names) == [BASE, "/etc/condor/config.d/60-annex-user-zz.config", LEASE]


def test_machines_are_named_so_that_the_collectors_rule_can_check_them() -> None:
    assert macros()["STARTD_NAME"] == f"$(FULL_HOSTNAME)@{INSTANCE}.alice.annex"
    assert macros()["MASTER_NAME"] == macros()["STARTD_NAME"]


def test_every_attribute_is_in_the_startds_and_the_masters_ads() -> None:
    known = macros()
    for attributes in (known["STARTD_ATTRS"], known["MASTER_ATTRS"]):
        for name in attributes.split():
            assert name in known
    assert known["AnnexLeaseExpiration"] == str(BOOT + HOUR)
    assert known["EC2InstanceID"] == f'"{INSTANCE}"'
    assert known["EC2AvailabilityZone"] == '"us-east-1a"'
    assert known["EC2Lifecycle"] == '"on-demand"'
    assert known["AnnexOwner"] == '"alice@pool.example"'


def test_secrets_are_for_root_alone_and_in_no_other_file() -> None:
    written = files()
    token = written.pop("/etc/condor/tokens.d/annex")
    key = written.pop("/etc/condor/passwords.d/annex-MyAnnex-admin")
    assert (token.mode, key.mode) == (0o600, 0o600)
    assert token.content == SECRETS["token"].encode() + b"\n"
    assert key.content == b"K" * 48
    for file in written.values():
        for secret in (*SECRETS.values(), "K" * 48):
            assert secret.encode() not in file.content
    assert SECRETS["token"] not in repr(token)


def test_the_owner_administers_the_machine_and_nobody_else_of_the_pool() -> None:
    own = "root@$(UID_DOMAIN) condor@$(UID_DOMAIN)"
    text = files()[BASE].content.decode()
    assert f"ALLOW_ADMINISTRATOR = {own} admin@MyAnnex.annex\n" in text
    assert f"ALLOW_DAEMON = {own}\n" in text
    assert f"ALLOW_WRITE = {own}\n" in text
    text = files(admin=None)[BASE].content.decode()
    assert f"ALLOW_ADMINISTRATOR = {own}\n" in text


def test_jobs_get_the_vacate_time_that_the_watcher_counts_on() -> None:
    assert macros(vacate_seconds=77)["MachineMaxVacateTime"] == "77"


def test_each_slot_has_an_account_of_its_own() -> None:
    known = macros()
    users = [known[f"SLOT1_{number}_USER"] for number in range(1, 2 * 4 + 9)]
    assert users == slot_users(4)
    assert len(set(users)) == len(users)
    assert all(re.fullmatch(known["DEDICATED_EXECUTE_ACCOUNT_REGEXP"], user) for user in users)
    lines = sysusers(4).splitlines()
    assert [line.split()[1] for line in lines] == users
    assert len({line.split()[2] for line in lines}) == len(users)


@pytest.mark.parametrize(
    "name", ["../x.config", "a/b", "", ".hidden", "a b", "x.config~", "x.rpmsave", "x\n", "x" * 101]
)
def test_a_file_name_that_is_a_path_or_would_not_be_read_is_refused(name: str) -> None:
    with pytest.raises(BadConfiguration, match="configuration file named"):
        files(config_files={name: "A = 1"})


@pytest.mark.parametrize(
    "changes",
    [
        {"collector_host": "cm.pool.example\nSTART = True"},
        {"trust_domain": "pool example"},
        {"identity": "alice@pool.example\nX = 1"},
        {"annex_name": "My\nAnnex"},
        {"owners": ('x@y") || true || ("',)},
        {"admin": AdminKey("../../root", "admin@x", SECRETS["key"])},
        {"admin": AdminKey("annex-x-admin", "admin@x\nX = 1", SECRETS["key"])},
        {"admin": AdminKey("annex-x-admin", "admin@x", "no base64!")},
    ],
)
def test_no_value_can_write_a_line_of_its_own(changes: dict[str, Any]) -> None:
    with pytest.raises(BadConfiguration) as refused:
        files(**changes)
    assert SECRETS["key"] not in str(refused.value)


@given(st.text(min_size=1, max_size=64))
def test_any_annex_name_is_quoted_or_refused(name: str) -> None:
    try:
        text = files(annex_name=name)[BASE].content.decode()
    except BadConfiguration:
        return
    line = next(line for line in text.splitlines() if line.startswith("AnnexName = "))
    assert classad2.ExprTree(line.removeprefix("AnnexName = ")).eval() == name


def test_base64_keys_with_line_breaks_are_refused_rather_than_guessed_at() -> None:
    key = base64.encodebytes(b"K" * 90).decode()
    with pytest.raises(BadConfiguration):
        files(admin=AdminKey("annex-x-admin", "admin@x", key))
