"""The deployed zip under the Runtime API, schedules and events: the Lambda Developer Guide."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.processes import started_at
from tests.account.support import IMAGE, LocalAccount, code, deploy, eventually

pytestmark = pytest.mark.account

# The first has two minutes for an event, so that nothing but its death ends it early.
PROBE, BRIEF = "sample-dev-probe", "sample-dev-brief"


def invoke(account: LocalAccount, function: str = PROBE, **event: Any) -> tuple[Any, str | None]:
    payload = json.dumps(event).encode()
    answer = account.client("lambda").invoke(FunctionName=function, Payload=payload)
    return json.load(answer["Payload"]), answer.get("FunctionError")


def notes(account: LocalAccount, prefix: str) -> list[str]:
    found = account.client("s3").list_objects_v2(Bucket="sample-notes", Prefix=prefix)
    return [each["Key"] for each in found.get("Contents", ())]


def test_a_function_runs_warm_and_knows_itself(sample: LocalAccount) -> None:
    first, error = invoke(sample)
    second, _ = invoke(sample)
    assert error is None
    assert first["pid"] == second["pid"]
    assert first["arn"] == f"arn:aws:lambda:us-east-1:123456789012:function:{PROBE}"
    assert 0 < first["left"] <= 120_000


def test_a_function_is_its_role(sample: LocalAccount) -> None:
    arn, _ = invoke(sample, kind="identity")
    assert arn == f"arn:aws:sts::123456789012:assumed-role/{PROBE}/{PROBE}"


@pytest.mark.parametrize("kind", ["application/x-amz-json-1.1", "application/octet-stream"])
def test_an_event_needs_no_content_type_to_be_understood(sample: LocalAccount, kind: str) -> None:
    """Lambda API reference, "Invoke": method, path and JSON; HTCondor's ec2_gahp names another."""
    client = sample.client("lambda")
    client.meta.events.register(
        "before-sign.lambda", lambda request, **_: request.headers.__setitem__("Content-Type", kind)
    )
    answer = client.invoke(FunctionName=PROBE, Payload=b'{"kind": "identity"}')
    assert json.load(answer["Payload"]).startswith("arn:aws:sts:")


def test_errors_exits_and_slowness_are_told_apart_and_survived(sample: LocalAccount) -> None:
    """Lambda Developer Guide, "Understanding the execution environment": errors and time-outs."""
    answer, error = invoke(sample, kind="raise")
    assert (answer["errorType"], answer["errorMessage"], error) == ("ValueError", "no", "Unhandled")
    answer, error = invoke(sample, kind="exit")
    assert (answer["errorType"], error) == ("Runtime.ExitError", "Unhandled")
    assert invoke(sample)[1] is None
    answer, error = invoke(sample, BRIEF, seconds=60)
    assert (answer["errorType"], error) == ("Sandbox.Timedout", "Unhandled")
    eventually(lambda: invoke(sample, BRIEF)[1] is None)  # it has a second, and may be slow


def test_a_killed_environment_is_replaced(sample: LocalAccount) -> None:
    pid = invoke(sample)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: started_at(pid) is None)  # the kernel takes a moment
    assert invoke(sample)[0]["pid"] != pid


def test_an_invocation_whose_process_is_killed_fails(sample: LocalAccount) -> None:
    with ThreadPoolExecutor() as threads:
        pid = invoke(sample)[0]["pid"]  # the last environment that was used is used again
        slow = threads.submit(invoke, sample, kind="sleep", seconds=110, note="asleep")
        eventually(lambda: notes(sample, "asleep"))
        os.kill(pid, signal.SIGKILL)
        assert slow.result()[0]["errorType"] == "Runtime.ExitError"
    assert invoke(sample)[1] is None


def two_at_once(account: LocalAccount) -> set[int]:
    """The processes of two invocations that were under way at the same time: they waited for it."""
    where = f"meeting/{uuid.uuid4()}"
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(invoke, account, kind="meet", where=where) for _ in range(2)]
        return {call.result()[0]["pid"] for call in calls}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_function_can_be_killed_at_a_call(sample: LocalAccount, *, after: bool) -> None:
    note = f"killed {after}"
    fault = {"kill": True, "service": "s3", "action": "PutObject", "function": PROBE}
    both = two_at_once(sample)
    sample.press("faults", {**fault, "after": after, "times": 1})
    try:
        sample.client("s3").put_object(Bucket="sample-notes", Key="not a function's", Body=b"")
        answer, error = invoke(sample, note=note)  # in one of the two
    finally:
        sample.press("faults", method="DELETE")
    assert (answer["errorType"], error) == ("Runtime.ExitError", "Unhandled")
    assert notes(sample, note) == ([note] if after else [])
    alive = both.intersection(sample.press(f"functions/{PROBE}", method="GET"))
    assert len(alive) == 1, "its process alone was killed"
    assert invoke(sample, note=note)[1] is None


def test_invocations_at_once_have_environments_of_their_own(sample: LocalAccount) -> None:
    """Lambda Developer Guide, "Understanding Lambda function scaling"."""
    assert len(two_at_once(sample)) == 2


def test_a_reserved_concurrency_is_a_limit(sample: LocalAccount) -> None:
    """Lambda Developer Guide, "Configuring reserved concurrency"."""
    client = sample.client("lambda")
    client.put_function_concurrency(FunctionName=PROBE, ReservedConcurrentExecutions=0)
    try:
        assert code(lambda: invoke(sample)) == "TooManyRequestsException"
    finally:
        client.delete_function_concurrency(FunctionName=PROBE)


def test_what_a_function_prints_is_kept(sample: LocalAccount) -> None:
    invoke(sample)
    log = sample.state / "logs" / "functions" / f"{PROBE}.log"
    eventually(lambda: "a line for the log" in log.read_text())


def test_asynchronous_failures_are_tried_again(sample: LocalAccount) -> None:
    """Lambda Developer Guide, "Invoking a function asynchronously": two more times."""
    sample.press("options", {"retry_seconds": [0.1, 0.1]})
    payload = json.dumps({"kind": "count"}).encode()
    client = sample.client("lambda")
    status = client.invoke(FunctionName=PROBE, InvocationType="Event", Payload=payload)[
        "StatusCode"
    ]
    assert status == 202
    eventually(lambda: len(notes(sample, "count/")) == 3)


def test_the_deployed_schedule_ticks_while_it_is_enabled(sample: LocalAccount) -> None:
    """EventBridge User Guide, "Creating a rule that runs on a schedule"."""
    events = sample.client("events")
    rule = next(r["Name"] for r in events.list_rules()["Rules"] if r.get("ScheduleExpression"))
    events.disable_rule(Name=rule)
    assert sample.press("tick") == []
    events.enable_rule(Name=rule)
    assert sample.press("tick") == [rule]
    eventually(lambda: notes(sample, "tick"))


def test_state_changes_reach_the_deployed_rule(sample: LocalAccount) -> None:
    """EC2 User Guide, "EC2 instance state-change event"."""
    sample.press("options", {"pending_seconds": 0.1, "shutting_down_seconds": 0.1})
    ec2 = sample.client("ec2")
    started = ec2.run_instances(ImageId=IMAGE, InstanceType="m7i.large", MinCount=1, MaxCount=1)
    instance = started["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[instance])
    eventually(lambda: f"states/{instance}/terminated" in notes(sample, f"states/{instance}/"))


def test_events_in_aws_own_name_come_from_aws_alone(sample: LocalAccount) -> None:
    """EventBridge API reference, PutEvents: NotAuthorizedForSourceException."""
    entry = {"Source": "aws.ec2", "DetailType": "x", "Detail": "{}"}
    answer = sample.client("events").put_events(Entries=[entry, {**entry, "Source": "mine"}])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    detail = {"instance-id": "i-1", "state": "injected"}
    sample.press(
        "event", {"detail-type": "EC2 Instance State-change Notification", "detail": detail}
    )
    eventually(lambda: notes(sample, "states/i-1/injected"))


def test_a_second_deployment_takes_effect_at_once(sample: LocalAccount) -> None:
    folder = sample.state / "again"
    shutil.copytree(sample.state / "app", folder)
    app = folder / "app.py"
    app.write_text(app.read_text().replace("a line for the log", "another line for the log"))
    deploy(sample, folder)
    invoke(sample)
    log = sample.state / "logs" / "functions" / f"{PROBE}.log"
    eventually(lambda: "another line for the log" in log.read_text())
