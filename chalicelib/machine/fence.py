"""The metadata service for uid 0 alone: it hands out the role's credentials and the user data."""

from __future__ import annotations

from .shell import Ran, Run

V4, V6 = "169.254.169.254", "fd00:ec2::254"
NFT = f"""add table inet htcondor_annex
delete table inet htcondor_annex
table inet htcondor_annex {{
 chain output {{ type filter hook output priority -10
  ip daddr {V4} meta skuid != 0 reject
  ip6 daddr {V6} meta skuid != 0 reject
 }}
 chain forward {{ type filter hook forward priority -10
  ip daddr {V4} drop
  ip6 daddr {V6} drop
 }}
}}
"""


class Unfenced(Exception):
    """The machine has no means to keep its users from the metadata service."""


def fence(run: Run) -> str:
    """Put the rules up by the first means there is, and say which; safe to repeat.

    `ip rule` is on every image and knows users too, but not what containers send; with the hop
    limit of 1, that dies on its way anyway. Raises `Unfenced`.
    """
    tried: list[str] = []
    for name, means in (("nft", _nft), ("ip rule", _ip_rule)):
        done = means(run)
        if done.ok:
            return name
        tried.append(f"{name}: {done.last_line}")
    raise Unfenced(
        "Jobs cannot be kept from the metadata service on this image (" + "; ".join(tried) + ")."
    )


def _nft(run: Run) -> Ran:
    return run(["sh", "-c", 'printf %s "$0" | nft -f -', NFT], 20)


def _ip_rule(run: Run) -> Ran:
    done = Ran(0)
    for family, address in (("-6", V6), ("-4", V4)):
        rule = ["to", address, "uidrange", "1-4294967294", "prohibit", "priority", "10"]
        run(["ip", family, "rule", "del", *rule], 10)
        done = run(["ip", family, "rule", "add", *rule], 10)
    return done
