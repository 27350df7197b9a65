"""`make demo`: the tutorial, for real, printed as a user would type it."""

from __future__ import annotations

import os
import sys
import time

from demo import lease, spot, tutorial
from demo.account import Account
from demo.terminal import StepFailedError


def main() -> int:
    """Run every step; the account is taken down at the end unless ANNEX_DEMO_KEEP is set."""
    began = time.monotonic()
    account = Account()
    try:
        account.up()
        tutorial.deploy_and_set_up(account)
        tutorial.configure_pool(account)
        tutorial.first_annex(account)
        tutorial.science(account)
        tutorial.where(account)
        tutorial.condor_off(account)
        spot.spot_fleet(account)
        lease.three_times_over(account)
    except StepFailedError as failed:
        print(f"\nThe demo stopped: {failed}", file=sys.stderr)
        print(f"The account's logs are in {account.state}/logs.", file=sys.stderr)
        return 1
    finally:
        if not os.environ.get("ANNEX_DEMO_KEEP"):
            account.down()
    print(f"\nThe whole demo took {(time.monotonic() - began) / 60:.1f} minutes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
