"""The predecessor's own program, from Debian's package, on the account's access point.

It knows no other AWS than the real one's names, so the access point gets these names, a certificate
for them, and a relay to the account. What its set-up would have made is made here, and its function
that asks the collector for its id is a stand-in that asks the same.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
import zipfile
from typing import TYPE_CHECKING

import boto3

from bench.stage import Span, ended, stopwatch
from local.images import DEBIAN_AMD64
from local.interfaces import AWS_ADDRESS, AWS_PORT

if TYPE_CHECKING:
    from demo.account import Account

BUCKET = "bench-predecessor"
_ASK, _LEASE = "HTCondorAnnex-CheckConnectivity", "HTCondorAnnex-LeaseFunction"
_HERE = "127.77.0.1"
_DOMAIN = "us-east-1.amazonaws.com"
_NAMES = [f"{host}.{_DOMAIN}" for host in ("ec2", "lambda", "events", "s3", f"{BUCKET}.s3")]

_RELAY = f"""\
import socket, socketserver, ssl, threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/aws.pem")

class Relay(socketserver.BaseRequestHandler):
    def handle(self):
        with context.wrap_socket(self.request, server_side=True) as inner:
            with socket.create_connection(("{AWS_ADDRESS}", {AWS_PORT})) as outer:
                outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=pump, args=(outer, inner), daemon=True).start()
                pump(inner, outer)

def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

Server(("{_HERE}", 443), Relay).serve_forever()
"""

# A certificate that signs itself is its own authority.
_INSTALL = f"""\
set -e
cd /root
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench -keyout key.pem -out cert.pem \
    -addext subjectAltName={",".join(f"DNS:{name}" for name in _NAMES)} 2>&1
cat key.pem cert.pem > aws.pem
cat cert.pem >> /etc/ssl/certs/ca-certificates.crt
echo {_HERE} {" ".join(_NAMES)} >> /etc/hosts
cat > relay.py
setsid python3 relay.py < /dev/null > relay.log 2>&1 &
until (exec 3<> /dev/tcp/{_HERE}/443) 2> /dev/null; do sleep 0.1; done
"""

# Answered before any authentication: SHARED_PORT_CONNECT (75), then DC_QUERY_INSTANCE (60045).
_FUNCTIONS = """\
import socket, struct

def message(*words):
    body = b"".join(struct.pack("!q", w) if isinstance(w, int) else w + b"\\0" for w in words)
    return struct.pack("!BI", 1, len(body)) + body

def ask(event, context):
    address = event["condor_host"], int(event["condor_port"])
    with socket.create_connection(address, timeout=int(event["timeout"])) as collector:
        collector.sendall(message(75, b"collector", b"annex", -1, 0) + message(60045))
        with collector.makefile("rb") as answer:
            _, length = struct.unpack("!BI", answer.read(5))
            return {"success": "1", "description": "", "result": answer.read(length).decode()}

def lease(event, context):
    return None
"""


class Peer:
    """The predecessor, ready to start annexes; raises StepFailedError where it cannot."""

    def __init__(self, account: Account) -> None:
        """Make what it needs on the access point and in the account."""
        self._account = account
        account.on("ap").type(f"bash -c {shlex.quote(_INSTALL)}", answer=_RELAY, shown="relay")
        self._options = _set_up(account)

    def start(self, name: str, *, throttled: bool = True) -> Span:
        """`condor_annex -count 1`, timed; it lets 0.1 s pass between calls unless told not to."""
        folder = "$HOME/predecessor"
        environment = (
            f"_CONDOR_LOG={folder} _CONDOR_SEC_PASSWORD_FILE={folder}/password"
            f" _CONDOR_SEC_TOKEN_DIRECTORY={folder}/tokens.d"
            f"{'' if throttled else ' _CONDOR_ANNEX_GAHP_RATE_LIMIT=0'}"
        )
        command = f"condor_annex -annex-name {name} -count 1 -yes {self._options}"
        # It says what failed, and ends with status 0.
        told = "{ grep -q 'Annex started' said || { cat said; false; }; }"
        terminal = self._account.user
        return stopwatch(terminal, f"cd {folder} && {environment} {command} > said 2>&1; {told}")

    def stop(self) -> None:
        """End its machines: without its daemon on them they would stay for ever."""
        ec2 = boto3.client("ec2", **self._account.session())
        pages = ec2.describe_instances(Filters=[{"Name": "key-name", "Values": [BUCKET]}])
        ids = [i["InstanceId"] for page in pages["Reservations"] for i in page["Instances"]]
        ec2.terminate_instances(InstanceIds=ids)
        ended(self._account, ids)


def _set_up(account: Account) -> str:
    """Make its functions, bucket, key pair and user; returns the options that name them."""
    session = account.session()
    iam, functions = boto3.client("iam", **session), boto3.client("lambda", **session)
    ec2 = boto3.client("ec2", **session)
    boto3.client("s3", **session).create_bucket(Bucket=BUCKET)
    ec2.create_key_pair(KeyName=BUCKET)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    role = iam.create_role(
        RoleName=BUCKET,
        AssumeRolePolicyDocument=_policy({**trust, "Action": "sts:AssumeRole"}),
    )["Role"]["Arn"]
    arns = {}
    for name, handler in ((_ASK, "predecessor.ask"), (_LEASE, "predecessor.lease")):
        arns[name] = functions.create_function(
            FunctionName=name,
            Runtime=f"python3.{sys.version_info.minor}",
            Role=role,
            Handler=handler,
            Code={"ZipFile": _zipped("predecessor.py", _FUNCTIONS)},
        )["FunctionArn"]
    iam.create_user(UserName=BUCKET)
    everything = _policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
    iam.put_user_policy(UserName=BUCKET, PolicyName="all", PolicyDocument=everything)
    key = iam.create_access_key(UserName=BUCKET)["AccessKey"]
    files = (key["AccessKeyId"], key["SecretAccessKey"], "pool password")
    for name, text in zip(("public", "private", "password"), files, strict=True):
        account.user.write(f"predecessor/{name}", text + "\n")
    account.user.type("chmod 600 predecessor/*")
    account.user.type(
        "cd predecessor && mkdir -m 700 tokens.d && umask 077 &&"
        " condor_token_fetch -key annex -authz READ > tokens.d/pool"
    )
    profile = iam.get_instance_profile(InstanceProfileName="htcondor-annex-instance")
    groups = ec2.describe_security_groups(GroupNames=["htcondor-annex"])["SecurityGroups"]
    return (
        "-aws-access-key-file $PWD/public -aws-secret-key-file $PWD/private"
        f" -aws-on-demand-lease-function-arn {arns[_LEASE]}"
        f" -aws-s3-config-path {BUCKET}/config.tar.gz"
        f" -aws-on-demand-ami-id {DEBIAN_AMD64.ami_id} -aws-on-demand-instance-type m7i.large"
        f" -aws-on-demand-instance-profile-arn {profile['InstanceProfile']['Arn']}"
        f" -aws-on-demand-security-group-ids {groups[0]['GroupId']}"
        f" -aws-on-demand-key-name {BUCKET}"
    )


def _policy(statement: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _zipped(name: str, text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()
