"""The functions: routes, schedule, events. Parse, call, answer; what decides is in chalicelib."""

from __future__ import annotations

from typing import Any

from chalice import Chalice, IAMAuthorizer, Response
from chalice.app import CloudWatchEvent, Rate

from chalicelib.api import Api, HttpRequest
from chalicelib.interruption import KINDS
from chalicelib.wiring import journal, services

app = Chalice(app_name="htcondor-annex")
iam = IAMAuthorizer()


def answer() -> Response:
    """Hand API Gateway's event to the API, and its answer back."""
    request, context = app.current_request, app.lambda_context
    gateway: dict[str, Any] = request.context
    with journal().about(request_id=gateway["requestId"], lambda_id=context.aws_request_id):
        told = Api(services(context.invoked_function_arn)).answer(
            HttpRequest(
                method=request.method,
                resource=gateway["resourcePath"],
                parameters=request.uri_params or {},
                body=request.raw_body,
                caller=gateway["identity"].get("caller"),
                gateway_request_id=gateway["requestId"],
            )
        )
    return Response(told.body.decode(), {"Content-Type": "application/json"}, told.status)


@app.route("/annexes", methods=["GET", "POST"], authorizer=iam)
def annexes() -> Response:
    """List the caller's annexes, or start one."""
    return answer()


@app.route("/annexes/{name}", methods=["GET", "PATCH", "DELETE"], authorizer=iam)
def annex(name: str) -> Response:  # noqa: ARG001  the request has it, too
    """Show, renew or stop one annex."""
    return answer()


@app.route("/setup", methods=["GET"], authorizer=iam)
def setup() -> Response:
    """Look at the deployment."""
    return answer()


@app.schedule(Rate(1, unit=Rate.MINUTES))
def sweep(event: CloudWatchEvent) -> dict[str, Any]:
    """Keep the promises."""
    with journal().about(request_id=event.context.aws_request_id):
        state = services(event.context.invoked_function_arn).sweep.run()
    return {"problems": list(state.problems), "resume_after": state.resume_after}


@app.on_cw_event({"source": ["aws.ec2"], "detail-type": [*KINDS]})
def interruption(event: CloudWatchEvent) -> dict[str, bool]:
    """Hear what EC2 says of single machines."""
    with journal().about(request_id=event.context.aws_request_id):
        ours = services(event.context.invoked_function_arn).interruption.heard(
            event.detail_type, event.time, event.detail
        )
    return {"ours": ours}
