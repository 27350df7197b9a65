"""What an administrator would do in the AWS console, or with the AWS command line, during the demo.

python -m demo.aws user NAME POLICY FILE     make an IAM user with one managed policy; keys to FILE
python -m demo.aws disable-rule NAME         switch an EventBridge rule off
python -m demo.aws enable-rule NAME          and on again
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import boto3


def make_user(name: str, policy: str, file: str) -> None:
    """Make the user, attach the policy of this account, write an access key to the file (0600)."""
    iam = boto3.client("iam")
    account = boto3.client("sts").get_caller_identity()["Account"]
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=f"arn:aws:iam::{account}:policy/{policy}")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(out, "w") as stream:
        json.dump({k: key[k] for k in ("AccessKeyId", "SecretAccessKey")}, stream)
    print(f"User {name} has the policy {policy}, and a key in {Path(file).name}.")


def main(words: list[str]) -> int:
    """Do what the words say; returns an exit status."""
    match words:
        case ["user", name, policy, file]:
            make_user(name, policy, file)
        case ["disable-rule", name]:
            boto3.client("events").disable_rule(Name=name)
            print(f"{name} is off.")
        case ["enable-rule", name]:
            boto3.client("events").enable_rule(Name=name)
            print(f"{name} is on.")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
