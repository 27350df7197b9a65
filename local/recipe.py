"""What is in the root file systems: packages, files, users. `local.image` builds them."""

from __future__ import annotations

from local.disk import File
from local.interfaces import AWS_ADDRESS, AWS_PORT, MIRROR_ADDRESS

SUITE = "trixie"  # Debian 13, the distribution of the default AMI

BASE_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "cloud-init", "python3", "ca-certificates"),
    *("curl", "iproute2", "nftables", "procps"),
)
HTCONDOR_PACKAGES = ("htcondor",)
# What condor_annex's own images had: Debian still packages it, without all that it calls.
LEGACY_PACKAGES = ("condor-annex-ec2", "awscli", "iptables")
USERS = ("alice", "bob")

_CLOUD_INIT = b"""\
# What EC2's firmware and network would tell a real instance, told here.
datasource_list: [Ec2]
datasource:
  Ec2:
    metadata_urls: ["http://169.254.169.254"]
    apply_full_imds_network_config: false
network: {config: disabled}
preserve_hostname: true
resize_rootfs: false
growpart: {mode: "off"}
locale: false
ssh_deletekeys: false
ssh_genkeytypes: []
apt: {preserve_sources_list: true}
"""

_DMIDECODE = b"""\
#!/bin/sh
# A namespace has no firmware: this answers as EC2's would. cloud-init asks it where it runs.
case "$*" in
*system-uuid* | *system-serial*) echo ec2e1916-9099-7caf-fd21-012345abcdef ;;
*system-manufacturer* | *chassis-asset-tag*) echo "Amazon EC2" ;;
*system-product-name*) echo t3.small ;;
esac
"""

_DETECT_VIRT = b"""\
#!/bin/sh
# An instance is no container; cloud-init would otherwise not look for EC2 at all.
echo none
exit 1
"""

_CONDOR = b"""\
# The kernel is that of the machine which holds the account: not HTCondor's to tune.
ENABLE_KERNEL_TUNING = False
"""

_JOURNAL = b"""\
[Journal]
Storage=volatile
RuntimeMaxUse=16M
ForwardToConsole=yes
MaxLevelConsole=info
"""

BASE_FILES = {
    "/etc/hosts": File(b"127.0.0.1 localhost\n"),
    "/etc/resolv.conf": File(b""),
    "/etc/cloud/cloud.cfg.d/99-local.cfg": File(_CLOUD_INIT),
    "/usr/local/sbin/dmidecode": File(_DMIDECODE, 0o755),
    "/usr/local/sbin/systemd-detect-virt": File(_DETECT_VIRT, 0o755),
    "/etc/systemd/journald.conf.d/local.conf": File(_JOURNAL),
    "/etc/condor/config.d/00-local-host.config": File(_CONDOR),
}
# Units that only real hardware has a use for. Those for passwords would take two inotify instances
# of each host, and the kernel gives a user 128 in all: a host that gets none does not boot.
BASE_LINKS = {
    f"/etc/systemd/system/{unit}": "/dev/null"
    for unit in (
        *("console-getty.service", "getty.target", "systemd-logind.service"),
        *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
        *("e2scrub_all.timer", "fstrim.timer", "systemd-udevd.service"),
        *("systemd-ask-password-console.path", "systemd-ask-password-wall.path"),
    )
}

_ENDPOINT = f"http://{AWS_ADDRESS}:{AWS_PORT}"

# In an image for instances, as whoever runs an AWS of their own would make it.
AMI_FILES = {
    "/etc/systemd/system.conf.d/aws.conf": File(
        f"[Manager]\nDefaultEnvironment=AWS_ENDPOINT_URL={_ENDPOINT}\n".encode()
    ),
    "/etc/apt/sources.list": File(
        f"deb [trusted=yes] http://{MIRROR_ADDRESS}/debian ./\n".encode()
    ),
}

POOL_FILES = {
    # Not instances: there is no metadata service to wait for.
    "/etc/cloud/cloud-init.disabled": File(b""),
}
