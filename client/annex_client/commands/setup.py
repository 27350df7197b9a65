"""`setup`: what an AWS account needs once, a line and dots for each part. Safe to run again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from annex_client import deployment, functions, inputs, network, service_roles, user_config
from annex_client.account import Account
from annex_client.aws_errors import translated
from annex_client.errors import AwsTrouble, ClientError, Conflict, Interrupted
from annex_client.exits import Exit
from annex_client.stack import Stack, assignments

if TYPE_CHECKING:
    from pathlib import Path

    from annex_client.session import Session

_POLL_SECONDS = 2
_DEPLOY_DOT_SECONDS = 5
_GIVE_UP_POLLS = 900  # half an hour: CloudFormation itself gives up earlier


@dataclass(frozen=True)
class SetupOptions:
    """`assignments` are KEY=VALUE of the settings; no subnets: the default network's."""

    subnets: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    alarm_email: str | None = None
    legacy: bool = False


def run(session: Session, options: SetupOptions) -> Exit:
    """Make or bring up to date what is missing, and write the user's macros.

    Raises:
        ClientError: with what to do; running it again goes on where it stopped.
    """
    wanted = assignments(options.assignments)
    if options.alarm_email is not None:
        wanted["AlarmEmail"] = inputs.email(options.alarm_email)
    region = session.settings.region
    try:
        with translated("setting up", region):
            return _Setup(session, Account.open(session), options, wanted).run()
    except KeyboardInterrupt:
        session.out.say()
        raise Interrupted(
            "Interrupted.  What was begun goes on in AWS; run setup again to finish it."
        ) from None


class _Setup:
    """One run."""

    def __init__(
        self, session: Session, account: Account, options: SetupOptions, wanted: dict[str, str]
    ) -> None:
        self._session = session
        self._out = session.out
        self._account = account
        self._options = options
        self._wanted = wanted
        self._stack = Stack(account.cloudformation())

    def run(self) -> Exit:
        account = self._account
        account.number()  # the plainest proof that the keys are good
        self._refuse_elsewhere()
        api_id = functions.find_api(account)
        self._refuse_second(api_id)
        missing = functions.missing(account)
        folder = None
        if missing or api_id is None:
            folder = functions.can_deploy(self._session.context)
        if self._stack.failed_creation():
            unprotect_ledger(self._account)  # nothing has ever used it
            self._remove_unfinished(self._stack)
        self._stack.put({**self._network(), **self._wanted, "ApiId": api_id or ""})
        self._part("configuration bucket", "less than a minute", "ConfigurationBucket")
        api_id = self._functions(api_id, folder)
        self._part("instance profile", "about two minutes", "InstanceProfile")
        self._security_group(api_id)
        url = self._url(api_id)
        functions.register(account, url)
        functions.configure(account)
        self._service_roles()
        self._legacy()
        self._finish(url)
        return Exit.DONE

    def _refuse_elsewhere(self) -> None:
        """Roles and policies have their names in the whole account, whatever the region.

        Raises:
            Conflict: there is a deployment in another region.
        """
        if self._stack.description() is not None:
            return
        iam = self._account.iam()
        with suppress(iam.exceptions.NoSuchEntityException):
            iam.get_role(RoleName=deployment.INSTANCE_PROFILE)
            raise Conflict(
                f"This account has an annex in another region than {self._account.region}: its role"
                f" {deployment.INSTANCE_PROFILE} is there.  An account has one: use that region's"
                " (--region), or tear it down first.",
                code="SecondDeployment",
            )

    def _refuse_second(self, api_id: str | None) -> None:
        """The address that is registered belongs to the API there is, or to one that is gone."""
        registered = functions.registered_url(self._account)
        if registered and api_id and registered != self._url(api_id):
            self._out.say(f"The registered address {registered} is of an API that is gone.")

    def _network(self) -> dict[str, str]:
        """The network's parameters: on a further run only if subnets are named."""
        if self._stack.description() is not None and not self._options.subnets:
            return {}
        found = network.choose(self._account.ec2(), self._options.subnets)
        for name in found.without_way_out:
            self._out.say(f"{name} is left out: it has no way out to the internet.")
        where = {"VpcId": found.vpc_id, "Subnets": ",".join(found.subnets)}
        return where if self._options.alarm_email else {**where, "AlarmEmail": ""}

    def _remove_unfinished(self, stack: Stack) -> None:
        """Remove what a failed first creation left: CloudFormation goes on with none of it."""
        self._out.begin("Removing what an earlier setup left unfinished")
        stack.delete()
        self._until(lambda: stack.description() is None)

    def _part(self, what: str, how_long: str, logical_id: str) -> None:
        self._out.begin(f"Creating {what} (this takes {how_long})")
        done = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        self._until(lambda: self._stack.resource_state(logical_id) in done)

    def _functions(self, api_id: str | None, folder: Path | None) -> str:
        self._out.begin("Creating Lambda functions (this takes about a minute)")
        if folder is not None:
            context, account = self._session.context, self._account
            with ThreadPoolExecutor(1) as pool:
                job = pool.submit(functions.deploy, account, context, folder)
                while True:
                    try:
                        job.result(timeout=_DEPLOY_DOT_SECONDS)
                        break
                    except FutureTimeout:
                        if job.done():
                            raise
                        self._out.dot()
                    except ClientError:
                        self._out.end(" failed.")
                        raise
            api_id = functions.find_api(account)
        if api_id is None:
            self._out.end(" failed.")
            raise AwsTrouble("The functions are deployed, but their REST API cannot be found.")
        self._out.end()
        return api_id

    def _security_group(self, api_id: str) -> None:
        """The last line: it is complete when the whole stack is, with the users' policy."""
        self._out.begin("Creating security group (this takes less than a minute)")
        self._until(self._stack.settled, end=False)
        if self._stack.parameters().get("ApiId") != api_id:
            self._stack.put({"ApiId": api_id})
            self._until(self._stack.settled, end=False)
        self._out.end()

    def _service_roles(self) -> None:
        """Without them everything works but spot machines, and check-setup says so."""
        left = service_roles.ensure(self._account)
        if left:
            self._out.warn(
                f"These credentials may not make the service-linked roles {', '.join(left)}, which"
                " spot machines need: run setup with others, or have EC2's console make them."
            )

    def _legacy(self) -> None:
        """On a further run also if it was made before: its template may be newer."""
        stack = Stack(self._account.cloudformation(), deployment.LEGACY_STACK)
        if not self._options.legacy and stack.description() is None:
            return
        if stack.failed_creation():
            self._remove_unfinished(stack)
        stack.put({})
        self._out.begin("Creating what legacy images need (this takes about two minutes)")
        self._until(stack.settled)

    def _until(self, done: Callable[[], bool], *, end: bool = True) -> None:
        """Ask until it is so, with a dot each time."""
        try:
            for _ in range(_GIVE_UP_POLLS):
                if done():
                    break
                self._out.dot()
                self._session.context.clock.sleep(_POLL_SECONDS)
            else:
                raise AwsTrouble("AWS takes too long.  Run setup again; it goes on from there.")
        except ClientError:
            self._out.end(" failed.")
            raise
        if end:
            self._out.end()

    def _url(self, api_id: str) -> str:
        region = self._account.region
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return deployment.api_url(api_id, region, suffix)

    def _finish(self, url: str) -> None:
        outputs = self._stack.outputs()
        macros = {
            "ANNEX_DEFAULT_AWS_REGION": self._account.region,
            "ANNEX_DEFAULT_API_URL": url,
            "ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN": outputs["InstanceProfileArn"],
        }
        if "DefaultInstanceType" in self._wanted:
            macros["ANNEX_DEFAULT_ODI_INSTANCE_TYPE"] = self._wanted["DefaultInstanceType"]
        user_config.write(self._session.context.condor_dir / "user_config", macros)
        self._out.say("Setup successful.")
        self._out.facts(
            {
                "api_url": url,
                "region": self._account.region,
                "instance_profile_arn": outputs["InstanceProfileArn"],
                "user_policy_arn": outputs.get("UserPolicyArn"),
                "bucket": outputs.get("Bucket"),
            }
        )


def unprotect_ledger(account: Account) -> None:
    """Switch the ledger's deletion protection off, if there is a ledger."""
    client = account.dynamodb()
    try:
        client.update_table(TableName=deployment.TABLE, DeletionProtectionEnabled=False)
    except client.exceptions.ResourceNotFoundException:
        return
    client.get_waiter("table_exists").wait(TableName=deployment.TABLE)
