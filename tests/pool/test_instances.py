"""Instances boot real systemd and cloud-init, and their power is EC2's to see."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from cloud import PATIENCE, wait_for

from local.keeper import AccountError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud import Cloud, Instance

    from local.pool import Pool

pytestmark = pytest.mark.pool


def said(instance: Instance, marker: str) -> None:
    wait_for(lambda: marker in instance.console, f"{marker!r} on the console")


def test_user_data_runs_as_root_on_a_machine_named_by_ec2(cloud: Cloud) -> None:
    script = "#!/bin/sh\necho ran as $(id -un) on $(hostname -f) >/dev/console\n"
    instance = cloud.boot(script).booted()
    said(instance, f"ran as root on {instance.spec.hostname}")


def test_a_power_off_from_inside_ends_the_instance(cloud: Cloud) -> None:
    instance = cloud.boot("#!/bin/sh\nsystemctl poweroff\n").booted()
    instance.ended()
    assert not (cloud.folder / "hosts" / instance.name / "upper").exists()


def test_a_machine_ended_by_ec2_shuts_down_in_good_order(cloud: Cloud) -> None:
    unit = (
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
        "ExecStop=/bin/sh -c 'echo stopped properly >/dev/console'\n"
    )
    script = (
        f"#!/bin/sh\ncat >/etc/systemd/system/last.service <<'EOF'\n{unit}EOF\n"
        "systemctl start last\necho ready >/dev/console\n"
    )
    instance = cloud.boot(script).booted()
    said(instance, "ready")
    cloud.hypervisor.shut_down(instance.name)
    cloud.hypervisor.shut_down(instance.name)
    instance.ended()
    assert "stopped properly" in instance.console


def test_a_machine_that_is_ended_while_it_boots_ends(cloud: Cloud) -> None:
    instance = cloud.boot()
    cloud.hypervisor.shut_down(instance.name)
    instance.ended()


def test_an_image_that_nobody_has_is_off_at_once(cloud: Cloud) -> None:
    instance = cloud.boot(ami="ami-unknown")
    instance.ended()
    assert not instance.up.is_set()


def test_a_reboot_keeps_the_machine_and_its_disk(cloud: Cloud) -> None:
    script = "#!/bin/sh\necho once >>/root/ran\necho ran once >/dev/console\n"
    instance = cloud.boot(script).booted()
    said(instance, "ran once")
    instance.run("systemctl", "reboot")
    wait_for(lambda: instance.console.count("Welcome to Debian") == 2, "second boot")

    def up() -> bool:
        with suppress(AccountError):  # between two boots there is nowhere to run anything
            return instance.run("systemctl", "is-system-running").stdout == "running\n"
        return False

    wait_for(up, "up")
    assert not instance.off.is_set()
    assert instance.run("cat", "/root/ran").stdout == "once\n"


def test_metadata_answers_to_session_tokens_alone(cloud: Cloud) -> None:
    instance = cloud.boot().booted()
    url = "http://169.254.169.254/latest"
    refused = instance.run("curl", "-s", "-o/dev/null", "-w%{http_code}", f"{url}/meta-data/")
    assert refused.stdout == "401"
    put = ["curl", "-sf", "-XPUT", f"{url}/api/token"]
    token = instance.run(*put, "-HX-aws-ec2-metadata-token-ttl-seconds: 60").stdout

    def get(path: str) -> str:
        header = f"-HX-aws-ec2-metadata-token: {token}"
        return instance.run("curl", "-sf", header, f"{url}/{path}").stdout

    assert get("meta-data/instance-id") == instance.name
    assert "placement/" in get("meta-data/").split("\n")
    assert get("meta-data/placement/region") == "us-east-1"
    assert not get("meta-data/tags/instance")
    cloud.ec2.tags[instance.name] = {"htcondor:AnnexName": "first"}
    assert get("meta-data/tags/instance/htcondor:AnnexName") == "first"
    document = json.loads(get("dynamic/instance-identity/document"))
    assert document["instanceId"] == instance.name
    assert not get("user-data")
    (mac,) = get("meta-data/network/interfaces/macs/").split()
    assert mac.rstrip("/") == instance.run("cat", "/sys/class/net/eth0/address").stdout.strip()


def test_old_images_may_ask_without_a_token_where_that_is_allowed(cloud: Cloud) -> None:
    instance = cloud.boot(v1=True).booted()
    url = "http://169.254.169.254/latest/meta-data/instance-id"
    assert instance.run("curl", "-sf", url).stdout == instance.name


def test_nothing_reaches_an_instance(cloud: Cloud, pool: Pool) -> None:
    target, other = cloud.boot().booted(), cloud.boot().booted()
    serve = ["systemd-run", "python3", "-m", "http.server", "8000"]
    wait_for(lambda: target.run(*serve).returncode == 0, "systemd taking commands")
    url = f"http://{target.spec.private_ip}:8000/"
    ask = ["curl", "-s", "-o/dev/null", "-w%{http_code}", "-m1", url]
    wait_for(lambda: target.run(*ask).stdout == "200", "its own server")
    assert other.run(*ask).stdout == "000"
    assert pool.run("ap", ask).stdout == "000"


def test_the_pool_lets_in_its_shared_port_alone(cloud: Cloud, pool: Pool) -> None:
    instance = cloud.boot().booted()
    knock = "timeout {} bash -c '</dev/tcp/{}/{}'"
    for host in ("cm.pool.example", "ap.pool.example"):
        assert instance.run("sh", "-c", knock.format(PATIENCE, host, 9618)).returncode == 0
    pool.run("ap", ["systemd-run", "python3", "-m", "http.server", "8000"])
    wait_for(lambda: pool.run("ap", ["curl", "-sf", "http://localhost:8000/"]).stdout, "server")
    assert instance.run("sh", "-c", knock.format(2, "ap.pool.example", 8000)).returncode != 0


def test_the_mirror_is_reached_from_everywhere_and_shows_nothing_else(
    cloud: Cloud, pool: Pool
) -> None:
    instance = cloud.boot().booted()
    url = "http://198.18.0.2/debian/Packages"
    ask = ["curl", "-s", "-o/dev/null", "-w%{http_code}"]
    assert instance.run(*ask, url).stdout == "200"
    assert pool.run("ap", [*ask, url]).stdout == "200"
    for outside in (
        "/debian/../lock",
        "/debian/%2e%2e/lock",
        "/lock",
        "/debian/..%2f..%2fetc/passwd",
    ):
        assert instance.run(*ask, "--path-as-is", f"http://198.18.0.2{outside}").stdout == "404"


@pytest.mark.parametrize(("ami", "installs"), [("ami-baked", False), ("ami-plain", True)])
def test_an_execute_point_joins_through_the_masquerade_and_runs_a_job(
    cloud: Cloud, pool: Pool, execute_point: Callable[..., bytes], ami: str, *, installs: bool
) -> None:
    only = f"test-{ami}"
    install = (
        "export DEBIAN_FRONTEND=noninteractive\n"
        "apt-get -q update\napt-get -q -y install --no-install-recommends htcondor\n"
    )
    instance = cloud.boot(execute_point(only, install if installs else ""), ami=ami).booted()
    ask = ["condor_status", "-af", "Machine", "Cpus", "Memory"]
    slot = f"{instance.spec.hostname} 2 8192"
    wait_for(lambda: slot in pool.run("ap", ask, user="alice").stdout.splitlines(), "slot")
    job = (
        "executable = /bin/hostname\ntransfer_executable = false\n"
        f'+Only = "{only}"\noutput = {only}.out\nlog = {only}.log\n'
        "should_transfer_files = yes\nrequest_memory = 64\nrequest_disk = 10M\nqueue\n"
    )
    submitted = pool.run("ap", ["condor_submit", "-"], user="alice", stdin=job)
    assert submitted.returncode == 0, submitted.stderr
    waited = pool.run(
        "ap", ["condor_wait", "-wait", f"{PATIENCE:.0f}", f"{only}.log"], user="alice"
    )
    assert waited.returncode == 0, instance.console_end()
    printed = pool.run("ap", ["cat", f"{only}.out"], user="alice").stdout
    assert printed.strip() == instance.spec.hostname
    cloud.hypervisor.shut_down(instance.name)
    instance.ended()
    left = ["condor_status", "-af", "Machine"]
    # Of one that just vanishes it stays for a quarter of an hour.
    wait_for(lambda: instance.spec.hostname not in pool.run("ap", left).stdout, "the slot's end")
