"""`teardown`: end every annex, then remove everything that `setup` made. Safe to run again.

The sweep, which ends machines, works until no machine is left; only then is its schedule switched
off, and only when nothing was started meanwhile does the ledger go.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from annex_client import admin_key, deployment, functions, leftovers, user_config
from annex_client.account import Account
from annex_client.aws_errors import code_of, translated
from annex_client.commands.setup import unprotect_ledger
from annex_client.errors import AwsTrouble, Interrupted, TimedOut
from annex_client.exits import Exit
from annex_client.render import plural
from annex_client.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annex_client.session import Session

_POLL_SECONDS = 3
_MACHINES_POLLS = 200  # ten minutes
_STACK_POLLS = 300
_BATCH = 200
# What a sweep that is under way may still launch: it begins no annex after 45 s, and the last call
# to EC2 with its repetition takes twenty more. A start (29 s) has long ended by then. No
# reserved concurrency would shorten this: it keeps a run from beginning, and ends none.
_IN_FLIGHT_SECONDS = 75
MACROS = (
    "ANNEX_DEFAULT_AWS_REGION",
    "ANNEX_DEFAULT_API_URL",
    "ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN",
    "ANNEX_DEFAULT_ODI_INSTANCE_TYPE",
)


@dataclass(frozen=True)
class TeardownOptions:
    """`yes`: ask nothing."""

    yes: bool = False


def run(session: Session, options: TeardownOptions) -> Exit:
    """Ask, then end and remove everything.

    Raises:
        ClientError: with what is left; running it again goes on from there.
    """
    with translated("tearing down", session.settings.region):
        teardown = _Teardown(session, Account.open(session))
        machines = teardown.machines()
        session.out.say(
            f"Will end {plural(len(machines), 'machine')} of all users' annexes, and remove the"
            f" annex from this account in {session.settings.region}."
        )
        if not options.yes and not session.out.ask("Is that OK?"):
            session.out.say("Nothing was ended or removed.")
            return Exit.UNEXPECTED
        try:
            return teardown.run(len(machines))
        except KeyboardInterrupt:
            raise Interrupted(
                "Interrupted.  Run teardown again to finish it; until then machines still end by"
                " their leases."
            ) from None


class _Teardown:
    """One run."""

    def __init__(self, session: Session, account: Account) -> None:
        self._session = session
        self._out = session.out
        self._clock = session.context.clock
        self._account = account
        self._ec2 = account.ec2()

    def run(self, machines: int) -> Exit:
        """End and remove everything; `machines` is the number that the user was told."""
        missing = functions.missing(self._account)
        there = [name for name in deployment.FUNCTIONS if name not in missing]
        if deployment.API_FUNCTION in there:
            self._close_api()
        self._end_machines()
        if there:
            self._stop_schedule()
        self._end_machines()
        leftovers.remove(self._ec2)
        self._remove_stack(
            deployment.LEGACY_STACK, deployment.legacy_bucket, "what legacy images need"
        )
        self._remove_stack(
            deployment.STACK,
            deployment.bucket,
            "bucket, ledger, instance profile and security group",
        )
        self._end_machines()  # with the ledger gone, nothing can start any more
        leftovers.remove(self._ec2)
        self._remove_parameters()
        user_config.remove(self._session.context.condor_dir / "user_config", MACROS)
        admin_key.forget_all(self._session.context)
        self._out.say("Everything that setup made is removed.")
        if there:
            self._out.say(
                "'chalice delete' in the checkout removes the functions and their API; teardown"
                " once more after that removes their logs."
            )
        else:
            self._remove_logs()
        self._out.facts({"removed": True, "machines": machines})
        return Exit.DONE

    def _close_api(self) -> None:
        """No more starts: the function may not run any more."""
        self._account.functions().put_function_concurrency(
            FunctionName=deployment.API_FUNCTION, ReservedConcurrentExecutions=0
        )

    def machines(self) -> list[str]:
        """All machines with this deployment's tag that are not gone yet."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{deployment.DEPLOYMENT_TAG}", "Values": [deployment.NAME]},
                {
                    "Name": "instance-state-name",
                    "Values": ["pending", "running", "stopping", "stopped", "shutting-down"],
                },
            ]
        )
        return [
            instance["InstanceId"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]

    def _end_machines(self) -> None:
        """Terminate whatever there is, until there is nothing; fleets first, which launch more."""
        leftovers.cancel_requests(self._ec2)  # what stays must not keep machines; it is told later
        for _ in range(_MACHINES_POLLS):
            left = self.machines()
            if not left:
                return
            self._out.progress(f"Waiting for {plural(len(left), 'machine')} to end")
            for start in range(0, len(left), _BATCH):
                self._terminate(left[start : start + _BATCH])
            self._clock.sleep(_POLL_SECONDS)
        raise TimedOut(
            f"These machines do not end: {', '.join(self.machines())}.  Look at them in the EC2"
            " console (termination protection?), then run teardown again."
        )

    def _terminate(self, ids: Sequence[str]) -> None:
        """One bad id fails the whole call: then one by one, so that no machine protects another."""
        import botocore.exceptions  # noqa: PLC0415 - slow to import

        try:
            self._ec2.terminate_instances(InstanceIds=[*ids])
        except botocore.exceptions.ClientError as error:
            if len(ids) == 1:
                if code_of(error) in ("InvalidInstanceID.NotFound", "OperationNotPermitted"):
                    return
                raise
            for one in ids:
                self._terminate([one])

    def _stop_schedule(self) -> None:
        """Disable the sweep's and the events' rules; then wait for what is under way."""
        events = self._account.events()
        rules = events.get_paginator("list_rules").paginate(NamePrefix=deployment.RULES)
        for page in rules:
            for rule in page["Rules"]:
                events.disable_rule(Name=rule["Name"])
        self._out.progress("Waiting for the last sweep")
        self._clock.sleep(_IN_FLIGHT_SECONDS)

    def _remove_stack(self, name: str, bucket: Callable[[str, str], str], what: str) -> None:
        stack = Stack(self._account.cloudformation(), name)
        if stack.description() is None:
            return
        self._out.begin(f"Removing {what}")
        self._empty_bucket(bucket(self._account.number(), self._account.region))
        if name == deployment.STACK:
            unprotect_ledger(self._account)
        policy = stack.outputs().get("UserPolicyArn")
        self._detach(policy)
        stack.delete()
        for _ in range(_STACK_POLLS):
            found = stack.description()
            if found is None:
                self._delete_policy(policy)
                self._out.end()
                return
            if found["StackStatus"] == "DELETE_FAILED":
                self._out.end(" failed.")
                raise AwsTrouble(
                    f"CloudFormation could not remove everything:"
                    f" {found.get('StackStatusReason', 'no reason given')}  Run teardown again."
                )
            self._out.dot()
            self._clock.sleep(_POLL_SECONDS)
        self._out.end(" not yet.")
        raise TimedOut("CloudFormation is still removing the stack; run teardown again later.")

    def _detach(self, policy: str | None) -> None:
        """Take the policy from everybody: IAM deletes none that somebody has."""
        if policy is None:
            return
        iam = self._account.iam()
        for page in iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=policy):
            for user in page["PolicyUsers"]:
                iam.detach_user_policy(UserName=user["UserName"], PolicyArn=policy)
            for role in page["PolicyRoles"]:
                iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=policy)
            for group in page["PolicyGroups"]:
                iam.detach_group_policy(GroupName=group["GroupName"], PolicyArn=policy)

    def _delete_policy(self, policy: str | None) -> None:
        """Whatever CloudFormation did: with it left, setup could not make it anew."""
        iam = self._account.iam()
        if policy is not None:
            with suppress(iam.exceptions.NoSuchEntityException):
                iam.delete_policy(PolicyArn=policy)

    def _empty_bucket(self, bucket: str) -> None:
        """Nothing is versioned, so deleting objects is all there is to it."""
        import botocore.exceptions  # noqa: PLC0415 - slow to import

        number = self._account.number()
        client = self._account.s3()
        try:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, ExpectedBucketOwner=number
            )
            for page in pages:
                keys: list[Any] = [{"Key": item["Key"]} for item in page.get("Contents", ())]
                if keys:
                    client.delete_objects(
                        Bucket=bucket, Delete={"Objects": keys}, ExpectedBucketOwner=number
                    )
        except botocore.exceptions.ClientError as error:
            if code_of(error) != "NoSuchBucket":
                raise

    def _remove_parameters(self) -> None:
        ssm = self._account.ssm()
        with suppress(ssm.exceptions.ParameterNotFound):
            ssm.delete_parameter(Name=deployment.API_URL_PARAMETER)

    def _remove_logs(self) -> None:
        """Only without functions: they would make them again, and `chalice delete` needs them."""
        logs = self._account.logs()
        for group in deployment.LOG_GROUPS:
            with suppress(logs.exceptions.ResourceNotFoundException):
                logs.delete_log_group(logGroupName=group)
