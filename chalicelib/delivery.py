"""What machines hear when their annex has changed: the configuration object, brought up to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import Conflict
from .model import InstanceState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .launch import Launch
    from .model import Annex, Instance
    from .ports import ConfigStore, Journal, LegacyStore

# A conditional write that loses this often in a row has met something worse than a race.
CONFLICTS_BORNE = 5


def deliver(
    annex: Annex, token: str | None, configs: ConfigStore, legacy: LegacyStore, journal: Journal
) -> None:
    """Write lease, idle time and, if there is one, a new token over the object that is there.

    An object of a higher generation is left alone: whoever wrote it knew more. Raises Conflict,
    AwsUnavailable.
    """
    for _ in range(CONFLICTS_BORNE):
        found = configs.read(annex.config_key)
        if found is None:
            # The machines fall back on tag and user data; there is no token to write it with.
            journal.count("ConfigurationsMissing")
            journal.fact("configuration missing", annex_id=annex.annex_id)
            return
        configuration, etag = found
        newer = configuration.generation - annex.generation
        if newer > 0 or (newer == 0 and token is None):
            break
        configuration = replace(
            configuration,
            generation=annex.generation,
            lease_expires_at=annex.lease_expires_at,
            idle_seconds=annex.idle_seconds,
            token=token or configuration.token,
        )
        try:
            configs.write(annex.config_key, configuration, etag)
        except Conflict:
            continue
        break
    else:
        raise Conflict(
            f"The configuration of annex {annex.name} changes all the time; ask again.",
            annex=annex.name,
        )
    if annex.legacy:
        # Of the object that stands, whoever wrote it: they may have died before this.
        legacy.write(configuration)


def kept_tokens(
    annex: Annex, seen: Sequence[Instance], newest: Launch | None = None
) -> tuple[str, ...]:
    """What to say of a longer lease's machines that no new token reaches, nor ever will.

    A legacy image reads its configuration when it boots, and then no more: those of the `newest`
    launch, and those that EC2 has not started yet, read the new one. A grow need not make the lease
    longer.
    """
    if newest is not None:
        asked = newest.lease_expires_at
        if asked is None or asked < annex.lease_expires_at:
            return ()
    legacy = annex.legacy_machines - frozenset(newest.started if newest else ())
    running = (one for one in seen if one.state is InstanceState.RUNNING)
    number = sum(one.instance_id in legacy for one in running)
    if not number:
        return ()
    have = "1 machine has" if number == 1 else f"{number} machines have"
    said = (
        f"{have} an image of condor_annex's own, which takes no new token. The new lease holds, "
        "and jobs go on there; but once the token of its start has expired, a machine that loses "
        "its connection to the collector (it was restarted, or the network broke) gets no new "
        "jobs, and ends when it has been idle."
    )
    return (said,)
