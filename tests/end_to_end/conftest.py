"""One account for the whole folder, set up as the demo does it; its machines start at once.

The local account is the same that `python -m local up` makes, with HTCondor's rounds made quick.
ANNEX_END_TO_END_STATE names a state folder in which the account is kept up between runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stage import BAKED, Stage

from demo import tutorial
from demo.account import Account
from local import image, keeper, state

if TYPE_CHECKING:
    from collections.abc import Iterator

# The tutorial's own line, with nothing changed; $USER is the shell's to fill in.
TUTORIAL_LINE = """\
connect_annex -count 1 \\
                -annex-name MyFirstAnnex$USER \\
                -duration 0.83 \\
                -idle 0.25 \\
                -aws-on-demand-ami-id ami-cd5f95b0
"""
KEPT = "ANNEX_END_TO_END_STATE"
# Short, so that a machine that will never be let in ends while somebody watches, and long enough
# for one to join that boots with six others on a slow computer.
UNJOINED_SECONDS = 75
LONG = ("--duration", "1.5", "--idle", "1.5")  # hours


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The account, deployed and set up, with the first machines on their way."""
    kept = os.environ.get(KEPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANNEX_LOCAL_CACHE", str(image.cache_folder(state.folder())))
        patch.setenv("ANNEX_LOCAL_STATE", kept or str(tmp_path_factory.mktemp("account")))
        patch.setenv("ANNEX_LOCAL_INTERVALS", "quick")
        patch.delenv("AWS_PROFILE", raising=False)
        try:
            keeper.cgroup_root()
        except keeper.AccountError as error:
            pytest.skip(str(error))
        account = Account()
        found = Path(account.state, "account.json").exists()
        account.up()
        made = Stage(account)
        if not found:
            _set_up(made)
        yield made
        if not kept:
            account.down()


def _set_up(stage: Stage) -> None:
    account = stage.account
    stage.note("before setup", stage.annex("start", "TooEarly", "--yes"))
    stage.note("no checkout", stage.admin("annex-client", "setup"))
    account.admin.type("chalice deploy")
    tutorial.set_up(
        account,
        "dead_man_margin_seconds=60",
        "vacate_seconds=1",
        f"unjoined_limit_seconds={UNJOINED_SECONDS}",
    )
    account.admin.type("python -m local tick")
    tutorial.check_setup(account)
    tutorial.configure_pool(account)
    tutorial.give_keys(account, account.other, "other-user")
    # These take their time, and are looked at later.
    stage.note("tutorial", stage.run("bash", "-c", TUTORIAL_LINE, stdin="yes\n"))
    # Idle for as long as the slowest run of the folder: the last tests still find them.
    for user, name in (("alice", "Renewed"), ("alice", "Lasting"), ("bob", "Refused")):
        words = ("start", name, *LONG, "--ami-id", BAKED, "--yes")
        stage.note(name, stage.annex(*words, user=user))


@pytest.fixture(scope="session")
def renewed(stage: Stage) -> str:
    """A running annex whose lease was just moved; where it ended before, in ISO 8601."""
    stage.joined("Renewed")
    before: str = stage.view("Renewed")["lease_expires_at"]
    done = stage.annex("renew", "Renewed", "--duration", "2.5")
    assert done.status == 0, done.err
    assert "Lease updated" in done.out
    return before


@pytest.fixture(autouse=True)
def _no_faults_left(stage: Stage) -> Iterator[None]:
    yield
    stage.press("DELETE", "faults")
