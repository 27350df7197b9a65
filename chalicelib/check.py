"""Looks at every part of the deployment with the function's own role, by real calls."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import __version__, wire
from .configuration import Configuration
from .errors import AnnexError
from .ids import AnnexId, AnnexName
from .iso import iso
from .launch import Attempt
from .launchspec import SpecMaker
from .refusal_words import said
from .sweep_health import sweep_missed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ids import CallerId
    from .model import SweepState
    from .services import Services

_AT_ONCE = 9
# EC2 User Guide, 'Spot Fleet permissions' and 'EC2 Fleet prerequisites': calls by API, unlike those
# of the console, do not make them.
_SERVICE_ROLES = (
    "AWSServiceRoleForEC2Spot",
    "AWSServiceRoleForEC2Fleet",
    "AWSServiceRoleForEC2SpotFleet",
)
_NOT_SENT = "-"


@dataclass(frozen=True)
class Check:
    """Handles `GET /setup`. The first four names are the tutorial's."""

    services: Services

    def __call__(self, caller: CallerId) -> wire.SetupReport:
        """Every component, looked at; one that is missing never keeps the next unseen."""
        # Read once: the line about the schedule and the time told must be of one mind.
        state = self._sweep_state()
        looks: dict[str, Callable[[], str]] = {
            "configuration bucket": self._bucket,
            "Lambda functions": self._functions,
            "instance profile": self._profile,
            "security group": self._group,
            "roles for spot": self._spot_roles,
            "ledger": self._ledger,
            "schedule": lambda: self._schedule(state),
            "network": self._network,
            "launch permission": self._launch,
        }
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            details = list(pool.map(_said, looks.values()))
        return wire.SetupReport(
            deployment=self.services.deployment.name,
            version=__version__,
            caller=caller,
            sweep_finished_at=iso(state.finished_at) if state and state.finished_at else None,
            components=tuple(
                wire.Component(name=name, ok=not detail, detail=detail)
                for name, detail in zip(looks, details, strict=True)
            ),
        )

    def _bucket(self) -> str:
        """Write, read and delete an object, as an annex's life does."""
        store, now = self.services.configs, self.services.clock.now()
        key = f"config/check-setup-{secrets.token_hex(8)}.json"
        nobody = Configuration(
            annex_name=AnnexName("check-setup"),
            annex_id=AnnexId("check-setup"),
            generation=1,
            lease_expires_at=now,
            idle_seconds=0,
            retire_seconds=0,
            vacate_seconds=0,
            dead_man_margin_seconds=0,
            unjoined_limit_seconds=0,
            identity="",
            owners=(),
            any_owner=False,
            collector_host="",
            trust_domain="",
            access_points=(),
            config_files={},
            program="",
            token="",
            admin=None,
        )
        store.write(key, nobody)
        try:
            found = store.read(key)
        finally:
            store.delete(key)
        if found is None or found[0] != nobody:
            return "What is written into the bucket cannot be read back."
        return ""

    def _functions(self) -> str:
        deployment = self.services.deployment
        names = [deployment.function(part) for part in ("", "sweep", "interruption")]
        missing = self.services.inventory.missing_functions(names)
        if missing:
            return f"{', '.join(missing)}: not there or not ready; run chalice deploy."
        return ""

    def _profile(self) -> str:
        name, settings = self.services.deployment.instance_profile, self.services.settings()
        found = self.services.inventory.instance_profile(name)
        if found is None:
            return f"There is no instance profile {name} with a role: run annex-client setup."
        if found != (settings.instance_profile_arn, settings.instance_role_id):
            return f"{name} is not the one in the settings: run annex-client setup again."
        return ""

    def _group(self) -> str:
        group = self.services.settings().security_group
        rules = self.services.inventory.ingress_rules(group)
        if rules is None:
            return f"There is no security group {group}: run annex-client setup."
        if rules:
            return f"{group} lets something in ({rules} rules), and nothing needs to come in."
        return ""

    def _spot_roles(self) -> str:
        ours = self.services.deployment.spot_fleet_role
        missing = self.services.inventory.missing_roles([ours, *_SERVICE_ROLES])
        if missing:
            return f"Spot machines need what is not there, {', '.join(missing)}: run setup again."
        if not self.services.settings().spot_fleet_role_arn.endswith(f"/{ours}"):
            return f"{ours} is not the one in the settings: run annex-client setup again."
        return ""

    def _ledger(self) -> str:
        self.services.ledger.mark(self.services.clock.now())
        return ""

    def _schedule(self, state: SweepState | None) -> str:
        missed = sweep_missed(state, self.services.clock.now())
        if state is None or missed or not state.problems:
            return missed
        return f"The last sweep met trouble: {'; '.join(state.problems[:5])}."

    def _network(self) -> str:
        subnets = self.services.settings().subnets
        found = self.services.catalog.subnets(subnets) if subnets else {}
        usable = {one for one, subnet in found.items() if subnet.way_out}
        if not usable:
            return "No subnet has a way out: run annex-client setup --subnets with others."
        without = [one for one in subnets if one not in usable]
        if without:
            return f"No way out, or not there: {', '.join(without)}."
        return ""

    def _launch(self) -> str:
        """A dry run of the default launch, in this function's own role."""
        services, settings = self.services, self.services.settings()
        maker = SpecMaker(services.catalog, services.compose, settings, services.deployment)
        request = wire.StartRequest(
            request_id="00000000-0000-0000-0000-000000000000",
            name="check-setup",
            count=1,
            identity="check-setup@check-setup",
            pool=wire.Pool("localhost", "localhost"),
            token=_NOT_SENT,
        )
        now = services.clock.now()
        spec = maker.make(request, AnnexId("check-setup"), request.identity, "config/-", now, now)
        attempt = Attempt(f"check-setup-{secrets.token_hex(8)}", spec.places[0], 1, now)
        refusal = services.compute.rehearse(spec, attempt)
        if refusal is None:
            return ""
        return f"EC2 refuses a launch: {said(refusal, spec.places[0].instance_type)}"

    def _sweep_state(self) -> SweepState | None:
        try:
            return self.services.ledger.sweep_state()
        except AnnexError:
            return None


def _said(look: Callable[[], str]) -> str:
    try:
        return look()
    except AnnexError as error:
        return error.message
