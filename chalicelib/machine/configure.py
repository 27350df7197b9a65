"""What HTCondor's configuration on this machine is: a pure function of the annex's and EC2's facts.

Names and rules are those of docs/architecture.md; figures without a source are HTCondor's own
defaults made fit for a machine behind NAT that may be gone in a minute.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from .configuration import BadConfiguration, Configuration
from .files import File

CONFIG_D = "/etc/condor/config.d/"
# Sorted between our own two, so that a user's settings win over ours, and the lease over theirs.
BASE, USERS, LEASE = "50-annex.config", "60-annex-user-", "90-annex-lease.config"
SLOT_UID = 480_000  # above accounts and subordinate ids as distributions give them out
# Names that HTCondor reads in a configuration folder (LOCAL_CONFIG_DIR_EXCLUDE_REGEXP) and no path.
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
UNREAD_NAME = re.compile(r".*(~|\.rpmsave|\.rpmnew|\.dpkg-[a-z]+)\Z")
_EXPIRATION = "AnnexLeaseExpiration"
IDENTITY = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+\Z")


@dataclass(frozen=True)
class Facts:
    """What EC2 and the machine itself say of it; `booted_at` is a Unix time."""

    instance_id: str
    instance_type: str
    zone: str
    lifecycle: str
    cpus: int
    booted_at: int


def slot_users(cpus: int) -> list[str]:
    """An account for each dynamic slot: HTCondor numbers them from the lowest free number.

    Twice the cores and some, since jobs may ask for less than a core; a slot beyond these runs its
    job as nobody.
    """
    return [f"slot1_{number}" for number in range(1, 2 * cpus + 9)]


def retire_seconds(configuration: Configuration, booted_at: int) -> int:
    """How long before the lease's end no job begins: at most a tenth of this machine's lease."""
    return max(0, min(configuration.retire_seconds, (configuration.lease_end - booted_at) // 10))


def update_seconds(configuration: Configuration) -> int:
    """How often the slots tell the collector of themselves: a restarted one knows nothing.

    HTCondor's own five minutes, or less where the machine would count as refused before.
    """
    return max(10, min(300, configuration.unjoined_limit_seconds // 3))


def render(configuration: Configuration, facts: Facts, *, retired: bool = False) -> list[File]:
    """Every file of the machine's HTCondor; raises `BadConfiguration` for one that cannot be.

    A `retired` machine begins no job; those that run are not disturbed.
    """
    files = [
        File(CONFIG_D + BASE, _base(configuration, facts).encode()),
        File(CONFIG_D + LEASE, _lease(configuration, facts, retired=retired).encode()),
        File("/etc/condor/tokens.d/annex", configuration.token.strip().encode() + b"\n", 0o600),
        # EC2 gives a machine that it ends some seconds: by then HTCondor must have freed its jobs.
        # A master that fails five times in ten minutes will not do better the sixth time.
        File(
            "/etc/systemd/system/condor.service.d/htcondor-annex.conf",
            b"[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=5\n"
            b"[Service]\nTimeoutStopSec=20s\nRestartSec=10s\n",
        ),
    ]
    if configuration.admin:
        name = configuration.admin.key_name
        if not SAFE_NAME.match(name):
            raise BadConfiguration(
                f"The name of the annex's admin key is not a file name: {name!r}."
            )
        try:
            key = base64.b64decode(configuration.admin.key, validate=True)
        except binascii.Error:
            raise BadConfiguration("The annex's admin key is not base64.") from None
        files.append(File("/etc/condor/passwords.d/" + name, key, 0o600))
    for name, text in sorted(configuration.config_files.items()):
        if not SAFE_NAME.match(name) or UNREAD_NAME.match(name):
            raise BadConfiguration(
                f"HTCondor would not read a configuration file named {name!r}: use letters, digits,"
                " '.', '_' and '-', and no backup's ending."
            )
        files.append(File(CONFIG_D + USERS + name, text.encode()))
    return files


def sysusers(cpus: int) -> str:
    """The slots' accounts, as systemd-sysusers reads them (sysusers.d(5))."""
    return "".join(
        f'u {name} {SLOT_UID + number} "HTCondor slot" /nonexistent /usr/sbin/nologin\n'
        for number, name in enumerate(slot_users(cpus), 1)
    )


def _quoted(text: str) -> str:
    """A ClassAd string; a line's end would end the macro, so it is refused."""
    if not text.isprintable():
        raise BadConfiguration(f"A configuration value is not printable: {text!r}.")
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def _plain(text: str) -> str:
    """A value outside quotes: one word of letters, digits and what addresses have."""
    if not re.match(r"[A-Za-z0-9._:@\[\]-]+\Z", text):
        raise BadConfiguration(f"A configuration value is not a plain word: {text!r}.")
    return text


def _owners(configuration: Configuration) -> str:
    if configuration.any_owner:
        return "True"
    for owner in configuration.owners:
        if not IDENTITY.match(owner):
            raise BadConfiguration(f"An owner is not a user@domain: {owner!r}.")
    # TARGET.User is user@domain and set by the schedd; Owner is a bare name of any domain.
    return 'stringListMember(TARGET.User, "{}", ",")'.format(",".join(configuration.owners))


def _base(configuration: Configuration, facts: Facts) -> str:
    instance = _plain(facts.instance_id)
    attributes = {
        "EC2InstanceID": _quoted(instance),
        "EC2InstanceType": _quoted(facts.instance_type),
        "EC2AvailabilityZone": _quoted(facts.zone),
        "EC2Lifecycle": _quoted(facts.lifecycle),
    }
    lines = [
        *condor(configuration, instance, attributes),
        f"STARTD_ATTRS = $(STARTD_ATTRS) {_EXPIRATION}",
        f"MASTER_ATTRS = $(MASTER_ATTRS) {_EXPIRATION}",
        # A user of its own for each slot, and no process outlives its job.
        "STARTER_ALLOW_RUNAS_OWNER = False",
        "DEDICATED_EXECUTE_ACCOUNT_REGEXP = slot1_[0-9]+",
        *(f"{user.upper()}_USER = {user}" for user in slot_users(facts.cpus)),
    ]
    return "\n".join(lines) + "\n"


def condor(configuration: Configuration, instance: str, more: dict[str, str]) -> list[str]:
    """An annex's execute point, whatever machine it is; raises `BadConfiguration`.

    `instance` names it among all machines, as a word or a macro; `more` are attributes of its ads.
    """
    user = _plain(configuration.identity).split("@")[0]
    admin = " " + _plain(configuration.admin.identity) if configuration.admin else ""
    attributes = {
        "AnnexName": _quoted(configuration.annex_name),
        "AnnexId": _quoted(configuration.annex_id),
        "IsAnnex": "True",
        "AnnexOwner": _quoted(configuration.identity),
        **more,
    }
    names = " ".join(attributes)
    return [
        "COLLECTOR_HOST = " + _plain(configuration.collector_host),
        "CONDOR_HOST = " + _plain(configuration.collector_host.split(":")[0]),
        "use role:Execute",
        "use feature:PartitionableSlot",
        "use feature:GPUs",
        "use security:strong",
        "TRUST_DOMAIN = " + _plain(configuration.trust_domain),
        # No account and no file here is the pool's.
        f"UID_DOMAIN = {instance}.annex",
        f"FILESYSTEM_DOMAIN = {instance}.annex",
        "SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS, FS",
        *(f"SEC_READ_{what} = OPTIONAL" for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")),
        "ALLOW_READ = *",
        *(
            f"ALLOW_{level} = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)"
            for level in ("WRITE", "DAEMON")
        ),
        "ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)" + admin,
        "ALLOW_NEGOTIATOR =",
        # Nothing connects to this machine: the collector asks it to call back.
        "USE_SHARED_PORT = True",
        "CCB_ADDRESS = $(COLLECTOR_HOST)",
        # NAT gateways forget silent connections after 350 s (Amazon VPC User Guide).
        "CCB_HEARTBEAT_INTERVAL = 120",
        "TCP_KEEPALIVE_INTERVAL = 120",
        f"STARTD_NAME = $(FULL_HOSTNAME)@{instance}.{user}.annex",
        "MASTER_NAME = $(STARTD_NAME)",
        *(f"{name} = {value}" for name, value in attributes.items()),
        f"STARTD_ATTRS = $(STARTD_ATTRS) {names}",
        f"MASTER_ATTRS = $(MASTER_ATTRS) {names}",
        (
            "START = (TARGET.MayUseAWS =?= True) && ($(ANNEX_OWNERS)) =?= True && "
            "(TARGET.TargetAnnexName =?= undefined || TARGET.TargetAnnexName =?= MY.AnnexName)"
        ),
        f"ANNEX_OWNERS = {_owners(configuration)}",
        "PREEMPT = False",
        f"MachineMaxVacateTime = {configuration.vacate_seconds}",
        "RunBenchmarks = False",
        f"UPDATE_INTERVAL = {update_seconds(configuration)}",
    ]


def _lease(configuration: Configuration, facts: Facts, *, retired: bool) -> str:
    no_jobs_from = configuration.lease_end - retire_seconds(configuration, facts.booted_at)
    start = "False" if retired else f"($(START)) && time() < {no_jobs_from}"
    return (
        "# The lease has the last word, whatever START is by now.\n"
        f"{_EXPIRATION} = {configuration.lease_end}\n"
        f"START = {start}\n"
    )
