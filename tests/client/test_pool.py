"""The pool as the bindings show it: addresses, ads, and a collector that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from annex_client import pool
from annex_client.errors import PoolTrouble

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("configured", "address"),
    [
        ("cm.pool.example", "cm.pool.example"),
        ("cm.pool.example:9618", "cm.pool.example:9618"),
        ("cm.pool.example:9618?sock=collector", "cm.pool.example:9618"),
        ("cm1.pool.example, cm2.pool.example", "cm1.pool.example"),
        ("192.168.50.10:9618", "192.168.50.10:9618"),
    ],
)
def test_the_collector_s_address_is_what_machines_can_use(configured: str, address: str) -> None:
    assert pool.collector_address(configured) == address


@pytest.mark.parametrize("configured", ["[::1]:9618", "a_b", "$(CONDOR_HOST)"])
def test_a_collector_that_machines_cannot_use_is_refused(configured: str) -> None:
    with pytest.raises(PoolTrouble):
        pool.collector_address(configured)


@pytest.mark.parametrize(
    ("sinful", "address"),
    [
        (
            "<192.168.50.11:9618?addrs=192.168.50.11-9618&alias=ap.pool.example&noUDP&sock=schedd_1>",
            "ap.pool.example:9618",
        ),
        ("<192.168.50.11:9618?alias=ap.pool.example>", "ap.pool.example:9618"),
        ("<192.168.50.11:9618?noUDP>", "host.pool.example:9618"),
        ("<192.168.50.11:9620>", "host.pool.example:9620"),
        ("<[2001:db8::1]:9618?alias=ap.pool.example>", "ap.pool.example:9618"),
    ],
)
def test_the_access_point_s_address_is_its_name_and_port(sinful: str, address: str) -> None:
    assert pool.access_point_address(sinful, "host.pool.example") == address


@pytest.mark.parametrize("sinful", ["", "ap.pool.example", "<nonsense>"])
def test_an_access_point_without_an_address_is_refused(sinful: str) -> None:
    with pytest.raises(PoolTrouble):
        pool.access_point_address(sinful, "")


def test_an_ad_with_odd_values_is_a_slot_all_the_same() -> None:
    slot = pool.slot_of({"Name": "slot1@x", "EC2InstanceID": 7, "State": "Claimed"})
    assert slot.name == "slot1@x"
    assert slot.instance_id == ""
    assert slot.claimed


# A process of its own: HTCondor's configuration is read once in each.
ASK = """
from annex_client.errors import PoolTrouble
from annex_client.pool import CondorPool
for ask in ("facts", "slots", "execute_ads"):
    try:
        getattr(CondorPool(), ask)()
    except PoolTrouble as trouble:
        print(trouble.message)
"""


@pytest.mark.parametrize(
    ("config", "sentence"),
    [("COLLECTOR_HOST = 127.0.0.1:1\n", "cannot be"), ("", "Run annex-client on")],
)
def test_a_pool_out_of_reach_is_a_sentence(config: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "condor_config").write_text(config)
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={
            "CONDOR_CONFIG": str(tmp_path / "condor_config"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert sentence in done.stdout
    assert len(done.stdout.splitlines()) >= 1
