"""Logs and metrics by Powertools: JSON lines, and CloudWatch's embedded metric format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

NAMESPACE = "HTCondorAnnex"


class PowertoolsJournal:
    """`ports.Journal`; used as a context around one event, at whose end the metrics are written."""

    def __init__(self, service: str) -> None:
        self._logger = Logger(service=service, location=None)
        # Without a service: the alarm names a metric without dimensions.
        self._metrics = Metrics(namespace=NAMESPACE)

    def about(self, **keys: object) -> Self:
        """Put these keys into every line until the context ends."""
        self._logger.append_keys(**keys)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # No metric is as good a message as one: nothing to write, nothing to warn of.
        if self._metrics.metric_set:
            self._metrics.flush_metrics()
        self._logger.clear_state()

    def fact(self, event: str, **fields: object) -> None:
        self._logger.info(event, extra=_spared(fields))

    def trouble(self, event: str, error: Exception, **fields: object) -> None:
        extra = _spared({**fields, "error": str(error)})
        self._logger.warning(event, extra=extra, exc_info=error)

    def count(self, metric: str, value: float = 1) -> None:
        self._metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)


# Python's logging keeps these names for itself.
_TAKEN = {"name": "annex", "message": "said", "args": "arguments"}


def _spared(fields: dict[str, object]) -> dict[str, object]:
    return dict(_renamed(fields))


def _renamed(fields: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in fields.items():
        yield _TAKEN.get(key, key), value
