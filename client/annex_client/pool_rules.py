"""What a pool's administrator adds once, as two files, and whether it would shut anybody out.

Pure but for `shut_out`, which lets HTCondor's own ClassAd library judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Of annex users alone: what they advertise must say so, and be named after them. The last '@'
# field of Name is INSTANCE.USER.annex, and no instance has a dot in it, so that no user can enter
# another's names. Nothing is asked of MyType, which its sender chooses.
_LAST = 'split(Name,"@")[size(split(Name,"@"))-1]'
_RULE = (
    'stringListMember(AuthenticatedIdentity ?: "", "{users}") =!= True'
    ' || (AnnexOwner =?= AuthenticatedIdentity && size(split(Name,"@")) > 1'
    ' && {last} =?= strcat(split({last},".")[0], ".", split(AuthenticatedIdentity,"@")[0],'
    ' ".annex"))'
)
_GUARD = (
    "SET Requirements ($(MY.Requirements))"
    " && (TARGET.AnnexOwner =?= undefined || TARGET.AnnexOwner =?= MY.User)"
)

CENTRAL_MANAGER_FILE = "60-annex-central-manager.config"
ACCESS_POINT_FILE = "60-annex-access-point.config"


@dataclass(frozen=True)
class PoolSetup:
    """What the files are made of; `users` are full HTCondor identities."""

    users: tuple[str, ...]
    key: str
    api_url: str | None
    region: str


def rule(users: Sequence[str]) -> str:
    """COLLECTOR_REQUIREMENTS for these annex users, everything else untouched."""
    return _RULE.format(users=" ".join(users), last=_LAST)


def _allow(name: str) -> str:
    """Add the annex users; where nothing is set, HTCondor goes by the next level."""
    return f"""\
if defined {name}
elif defined ALLOW_DAEMON
   {name} = $(ALLOW_DAEMON)
else
   {name} = $(ALLOW_WRITE)
endif
{name} = $({name}) $(ANNEX_USERS)"""


def central_manager(setup: PoolSetup) -> str:
    """The file for the central manager's configuration folder."""
    expression = _RULE.format(users="$(ANNEX_USERS)", last="$(ANNEX_LAST)")
    # A rule that the site has already goes on.
    expression = f"($(COLLECTOR_REQUIREMENTS:True)) && ({expression})"
    return f"""\
# For the central manager: /etc/condor/config.d/{CENTRAL_MANAGER_FILE}, then condor_reconfig.
# Machines that HTCondor annexes add join this pool with tokens of their owners.

# Who may use annexes. Every rule below binds these users alone.
ANNEX_USERS = {" ".join(setup.users)}

# A signing key for annexes alone, so that it can be withdrawn without touching anything else.
# condor_token_fetch signs with no other one from now on: a token's holder can always fetch copies
# of it, which must not outlive the key. Make it here once, and copy the file to each access point
# (same path, owner root, mode 0600):
#   (umask 077; head -c 48 /dev/urandom | base64 -w0 > /etc/condor/passwords.d/{setup.key})
SEC_TOKEN_ISSUER_KEY = {setup.key}
SEC_TOKEN_FETCH_ALLOWED_SIGNING_KEYS = {setup.key}

# Their machines may show themselves, beside whoever may now.
{_allow("ALLOW_ADVERTISE_STARTD")}
{_allow("ALLOW_ADVERTISE_MASTER")}

# But only as what they are: owned by, and named after, whoever's token they came with. Execute
# points with any other identity are untouched.
ANNEX_LAST = {_LAST}
COLLECTOR_REQUIREMENTS = {expression}

# Open in the firewall: TCP 9618 from anywhere the machines' public addresses may be.
"""


def access_point(setup: PoolSetup) -> str:
    """The file for each access point's configuration folder."""
    url = "ANNEX_DEFAULT_API_URL = " + (setup.api_url or "https://...")
    if setup.api_url is None:
        url = f"# What 'annex-client setup' wrote into ~/.condor/user_config:\n# {url}"
    return f"""\
# For each access point: /etc/condor/config.d/{ACCESS_POINT_FILE}, then RESTART HTCondor (the
# socket folder is not read by condor_reconfig).

# Signs annex users' tokens with the annexes' own key: /etc/condor/passwords.d/{setup.key}, copied
# from the central manager (owner root, mode 0600). The pool's own key is not needed here.
SEC_TOKEN_ISSUER_KEY = {setup.key}
SEC_TOKEN_FETCH_ALLOWED_SIGNING_KEYS = {setup.key}

# No job runs on the annex machine of somebody else unless its owner lets it, and nobody can edit
# that away (the price: no condor_qedit of Requirements on this access point).
JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) AnnexGuard
JOB_TRANSFORM_AnnexGuard @=end
   {_GUARD}
@end
IMMUTABLE_JOB_ATTRS = $(IMMUTABLE_JOB_ATTRS) Requirements

# Users' tools (condor_off, condor_drain) reach machines behind NAT through port 9618 of this host.
# Make the folder before the restart (on a disk, so that it is there at each boot):
#   install -d -m 1777 /var/lib/condor-annex-sockets
DAEMON_SOCKET_DIR = /var/lib/condor-annex-sockets

# Users of an access point apart from the central manager cannot authenticate there, and need not.
SEC_CLIENT_AUTHENTICATION = OPTIONAL
SEC_CLIENT_ENCRYPTION = OPTIONAL
SEC_CLIENT_INTEGRITY = OPTIONAL

# Where annex-client finds the AWS side.
ANNEX_DEFAULT_AWS_REGION = {setup.region}
{url}

# Open in the firewall: TCP 9618 from anywhere the machines' public addresses may be.
"""


def shut_out(ads: Iterable[Any], users: Sequence[str]) -> list[str]:
    """The execute points now in the collector that the rule would keep out: 'NAME (IDENTITY)'."""
    import classad2  # noqa: PLC0415 - slow to import
    import htcondor2  # noqa: PLC0415 - with it loaded, ClassAd functions are the daemons' own

    htcondor2.version()
    expression = classad2.ExprTree(rule(users))
    found = set()
    for ad in ads:
        if expression.eval(ad) is not True:
            found.add(f"{ad.get('Name', '?')} ({ad.get('AuthenticatedIdentity', 'nobody')})")
    return sorted(found)
