"""A small app, deployed by Chalice in the account's tests."""

import os
import time

import boto3
from chalice import Chalice, IAMAuthorizer, Rate

app = Chalice(app_name="sample")
authorizer = IAMAuthorizer()


def note(key, value):
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=value.encode())


def there(prefix):
    found = boto3.client("s3").list_objects_v2(Bucket=os.environ["BUCKET"], Prefix=prefix)
    return found["KeyCount"]


@app.route("/whoami", methods=["GET"], authorizer=authorizer)
def whoami():
    return app.current_request.context["identity"]


@app.route("/things/{name}", methods=["PUT"], authorizer=authorizer)
def thing(name):
    request = app.current_request
    return {"name": name, "query": request.query_params, "body": request.json_body}


@app.route("/open", methods=["GET"])
def open_to_all():
    return {"open": True}


@app.schedule(Rate(1, unit=Rate.MINUTES))
def tick(event):
    note("tick", event.to_dict()["time"])


@app.on_cw_event({"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]})
def states(event):
    note(f"states/{event.detail['instance-id']}/{event.detail['state']}", "seen")


@app.on_cw_event(
    {
        "source": ["aws.ec2"],
        "detail-type": [
            "EC2 Spot Instance Interruption Warning",
            "EC2 Instance Rebalance Recommendation",
        ],
    }
)
def notices(event):
    note(f"notices/{event.detail['instance-id']}/{event.to_dict()['detail-type']}", "seen")


@app.lambda_function()
def brief(event, context):
    time.sleep(event.get("seconds", 0))


@app.lambda_function()
def probe(event, context):
    kind = event.get("kind")
    if kind == "raise":
        raise ValueError("no")
    if kind == "exit":
        os._exit(3)
    if event.get("note"):
        note(event["note"], "seen")
    if kind == "sleep":
        time.sleep(event["seconds"])
    if kind == "meet":
        note(f"{event['where']}/{context.aws_request_id}", "here")
        while there(event["where"]) < 2:
            time.sleep(0.05)
    if kind == "identity":
        return boto3.client("sts").get_caller_identity()["Arn"]
    if kind == "count":
        note(f"count/{context.aws_request_id}", "seen")
        raise ValueError("again")
    print("a line for the log")
    return {
        "pid": os.getpid(),
        "left": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
    }
