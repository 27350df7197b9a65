"""From the command to the slot in the collector, against a bare boot of the same host."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import boto3

from bench import stage
from local.images import BAKED_AMD64, DEBIAN_AMD64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.account import Account

ROUNDS = 3

# All that a machine of nobody's needs to be an execute point of this pool: packages where there are
# none, a token that is ready, eight lines of configuration, and condor_master.
_USER_DATA = """\
#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive
[ -e /usr/sbin/condor_master ] || {{ apt-get -q update; apt-get -q -y install htcondor; }}
rm -f /etc/condor/config.d/00-htcondor-9.0.config
cat > /etc/condor/config.d/50-bare.config <<END
CONDOR_HOST = cm.pool.example
use role:Execute
use security:strong
TRUST_DOMAIN = pool.example
SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS, FS
CCB_ADDRESS = \\$(COLLECTOR_HOST)
BareBoot = "{name}"
STARTD_ATTRS = \\$(STARTD_ATTRS) BareBoot
END
(umask 077; echo '{token}' > /etc/condor/tokens.d/pool)
systemctl restart --no-block condor
"""


def measure(account: Account) -> Iterator[str]:
    """Boot in turn with and without an annex, on both images."""
    for image, what in ((BAKED_AMD64, "baked image"), (DEBIAN_AMD64, "plain image")):
        annexes, bares, requests = [], [], []
        for turn in range(ROUNDS):
            name = f"Slot{image.root}{turn}"
            request, came = _annex(account, name, image.ami_id)
            annexes.append(came - request.began)
            requests.append(request.seconds)
            bares.append(_bare(account, name, image.ami_id))
        ratio = statistics.median(a / b for a, b in zip(annexes, bares, strict=True))
        rest = statistics.median(a - r for a, r in zip(annexes, requests, strict=True))
        yield f"{what}: ratio {ratio:.2f}, median of {ROUNDS} pairs"
        yield f"  annex     {stage.spread(annexes)}"
        yield f"    its request takes {statistics.median(requests):.2f} s, the rest {rest:.2f} s"
        yield f"  bare boot {stage.spread(bares)}"


def _annex(account: Account, name: str, image_id: str) -> tuple[stage.Span, float]:
    """The request, and when the slot was there."""
    request = stage.start(account, name, more=f"--ami-id {image_id}")
    came = stage.slots_came(account, f'AnnexName =?= "{name}"')
    stage.stop(account, name)
    return request, came


def _bare(account: Account, name: str, image_id: str) -> float:
    """Seconds from RunInstances to the slot."""
    ec2 = boto3.client("ec2", **account.session())
    token = account.on("cm").quiet("condor_token_create -key POOL -identity condor@pool.example")
    user_data = _USER_DATA.format(name=name, token=token.strip())
    ec2.describe_regions()  # the connection is there, as are the annex's functions
    began = time.time()
    answer = ec2.run_instances(
        ImageId=image_id,
        InstanceType="m7i.large",
        MinCount=1,
        MaxCount=1,
        UserData=user_data,
        InstanceInitiatedShutdownBehavior="terminate",
    )
    instance_id = answer["Instances"][0]["InstanceId"]
    try:
        return stage.slots_came(account, f'BareBoot =?= "{name}"') - began
    finally:
        ec2.terminate_instances(InstanceIds=[instance_id])
        stage.ended(account, [instance_id])
