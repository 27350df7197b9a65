"""Rules for the whole suite."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator

# A shell starts what it puts into the background with SIGINT ignored, and programs inherit that:
# the tests that press Ctrl-C would wait for nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no bug: no test is a timing assertion. CI repeats the same examples, so that it
# answers for the change at hand; everybody else looks further each time.
settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one in CI: what CI did not run, it did not prove."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI skips nothing: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted (`record_property`), from whichever process they ran in."""
    for report in terminalreporter.stats.get("passed", []):
        for what, count in getattr(report, "user_properties", []):
            terminalreporter.write_line(f"{what}: {count}")
