"""The tutorial's on-demand half, step by step."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from demo.account import ROOT
from demo.terminal import expect, say

if TYPE_CHECKING:
    from pathlib import Path

    from demo.account import Account
    from demo.terminal import Terminal

ANNEX = "MyFirstAnnexalice"  # MyFirstAnnex$USER, for alice
POOL_FOLDER = "pool-config"


def deploy_and_set_up(account: Account, *settings: str) -> None:
    """`chalice deploy`, `annex-client setup` with settings, `annex-client check-setup`."""
    say("The administrator sets the AWS account up, once")
    account.admin.type("chalice deploy")
    # The dead man's timer acts 300 s after the lease by default: a long wait for a demo.
    set_up(account, "dead_man_margin_seconds=60", *settings)
    check_setup(account)


def set_up(account: Account, *settings: str) -> None:
    """`annex-client setup`, with the tutorial's four lines."""
    words = "".join(f" --set {setting}" for setting in settings)
    text = account.admin.type(f"annex-client setup{words}")
    for thing in ("configuration bucket", "Lambda functions", "instance profile", "security group"):
        expect(text, rf"Creating {thing} \(.*\)\.+ complete\.")
    expect(text, "Setup successful.")


def check_setup(account: Account) -> None:
    """`annex-client check-setup`, with the tutorial's four lines."""
    text = account.admin.type("annex-client check-setup")
    for thing in ("configuration bucket", "Lambda functions", "instance profile", "security group"):
        expect(text, rf"Checking for {thing}\.\.\. OK\.")
    expect(text, "Your setup looks OK.")


def configure_pool(account: Account) -> None:
    """Install what `setup --pool` writes, and give alice her keys."""
    say("The pool's administrator allows annexes, once")
    folder = account.state / POOL_FOLDER
    account.admin.type(
        f"annex-client setup --pool --pool-users alice@pool.example --pool-dir {folder}"
    )
    # Where the pool can be asked, the same command says whom its rule would shut out.
    text = account.on("ap").type(
        "annex-client setup --pool --pool-users alice@pool.example | tail -n 1"
    )
    expect(text, "none would be shut out")
    install_pool_files(account, folder)
    say("alice gets AWS keys that may call the annex's API, and nothing else")
    give_keys(account, account.user, "annex-user")


def install_pool_files(account: Account, folder: Path) -> None:
    """Do on both hosts of the pool what the two files say in their comments."""
    manager, access_point = account.on("cm"), account.on("ap")
    for terminal, file in (
        (manager, "60-annex-central-manager.config"),
        (access_point, "60-annex-access-point.config"),
    ):
        terminal.type(
            f"cat > /etc/condor/config.d/{file}",
            answer=(folder / file).read_text(),
            shown=f"cp {file} /etc/condor/config.d/",
        )
    manager.type(
        "(umask 077; head -c 48 /dev/urandom | base64 -w0 > /etc/condor/passwords.d/annex)"
    )
    key = manager.quiet("cat /etc/condor/passwords.d/annex")
    access_point.type(
        "(umask 077; cat > /etc/condor/passwords.d/annex)",
        answer=key,
        shown="scp -p cm:/etc/condor/passwords.d/annex /etc/condor/passwords.d/annex",
    )
    manager.type("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS=FS condor_reconfig")
    access_point.type("install -d -m 1777 /var/lib/condor-annex-sockets")
    access_point.type("systemctl restart condor")
    account.user.wait(
        "the schedd", lambda: account.user.quiet("condor_status -schedd -af Name"), 600
    )


def give_keys(account: Account, user: Terminal, name: str) -> None:
    """Make an AWS user; then do as the tutorial says: two files of mode 600 in ~/.condor."""
    file = account.state / f"{name}.json"
    expect(account.admin.type(f"python -m demo.aws user {name} htcondor-annex-user {file}"), name)
    keys = json.loads(file.read_text())
    user.type("mkdir -p ~/.condor && cd ~/.condor && touch publicKeyFile privateKeyFile")
    user.type("chmod 600 ~/.condor/publicKeyFile ~/.condor/privateKeyFile")
    for name_of_file, key in (
        ("publicKeyFile", "AccessKeyId"),
        ("privateKeyFile", "SecretAccessKey"),
    ):
        user.type(
            f"cat > ~/.condor/{name_of_file}",
            answer=keys[key] + "\n",
            shown=f"cat > ~/.condor/{name_of_file}      # pasted from the console",
        )


def first_annex(account: Account) -> None:
    """`annex-client start`, and the slot in the collector."""
    say("Our first annex")
    text = account.user.type(
        f"annex-client start {ANNEX} --count 1 --duration 0.83 --idle 0.25", answer="yes\n"
    )
    expect(text, r"Is that OK\?")
    expect(text, "Annex started.")
    wait_for_slot(account.user, ANNEX)
    text = account.user.type(f"condor_status -annex {ANNEX}")
    expect(text, r"ec2\.internal")
    account.user.type(f"annex-client status {ANNEX}")


def science(account: Account) -> None:
    """The tutorial's job runs on the annex; the same job without +MayUseAWS does not."""
    say("Running jobs exclusively on AWS instances")
    user = account.user
    for name in ("short.sh", "aws-exclusive.submit", "aws-and-osg.submit"):
        user.write(f"tutorial-annex/{name}", (ROOT / "examples" / name).read_text())
    user.type("cd ~/tutorial-annex && chmod +x short.sh && cat aws-exclusive.submit")
    text = user.type("cd ~/tutorial-annex && condor_submit aws-exclusive.submit")
    cluster = find(r"submitted to cluster (\d+)", text)
    plain = (ROOT / "examples/aws-exclusive.submit").read_text().replace("+MayUseAWS = True", "")
    user.write("tutorial-annex/no-aws.submit", plain)
    other = user.type("cd ~/tutorial-annex && condor_submit no-aws.submit")
    idle = find(r"submitted to cluster (\d+)", other)
    output = f"tutorial-annex/job.{cluster}.0.output"
    user.wait("the job's output", lambda: user.quiet(f"grep complete ~/{output}"), 600)
    text = user.type(f"cat ~/{output}")
    expect(text, r"Job is running on node: ip-[-0-9]+\.ec2\.internal")
    expect(text, "Science complete!")
    say("The job without +MayUseAWS is still idle (JobStatus 1)")
    expect(user.type(f"condor_q {idle} -af ClusterId JobStatus NumJobStarts"), rf"{idle} 1 ")
    user.type(f"condor_rm {idle}")
    say("Jobs across OSG and AWS")
    text = user.type("cd ~/tutorial-annex && condor_submit aws-and-osg.submit")
    cluster = find(r"submitted to cluster (\d+)", text)
    output = f"tutorial-annex/job.{cluster}.0.output"
    user.wait("the job's output", lambda: user.quiet(f"grep complete ~/{output}"), 600)


def where(account: Account) -> None:
    """The histogram, by our command and by the tutorial's own."""
    say("Where did jobs run?")
    history = "condor_history -format '%s\\n' LastRemoteHost $USER"
    text = account.user.type(f"{history} | cut -d@ -f2 | cut -d. -f2,3 | distribution --height=101")
    expect(text, r"ec2\.internal\s*\|\d+ \(\d+\.\d+%\) \++")
    expect(account.user.type("annex-client where"), r"ec2\.internal\s*\|\d+ \(\d+\.\d+%\) \++")


def condor_off(account: Account) -> None:
    """`condor_off -annex` by the ordinary user: HTCondor stops, and the machine ends itself."""
    say("Stop an annex")
    text = account.user.type(f"condor_off -annex {ANNEX}")
    expect(text, r'Sent "Kill-Daemon" command for "master"')
    account.user.wait("the machine's end", lambda: ended(account.user, ANNEX), 600)
    account.user.type(f"annex-client status {ANNEX}")
    account.user.type(f"condor_status -annex {ANNEX}")


def wait_for_slot(user: Terminal, name: str) -> None:
    """Wait until the annex's slot is in the collector."""
    user.wait(
        f"a slot of {name} in condor_status",
        lambda: user.quiet(f"condor_status -annex {name} -af Name"),
        600,
    )


def view(user: Terminal, name: str) -> dict[str, Any]:
    """Return `annex-client status NAME --json`, or nothing where it could not say."""
    text = user.quiet(f"annex-client status {name} --json")
    return json.loads(text) if text.startswith("{") else {}


def ended(user: Terminal, name: str) -> str:
    """Return something once every machine of the annex is terminated."""
    instances = view(user, name).get("instances", [])
    gone = instances and all(instance["state"] == "terminated" for instance in instances)
    return "gone" if gone else ""


def find(pattern: str, text: str) -> str:
    """Return the first group of a pattern that must be there; raises StepFailedError."""
    expect(text, pattern)
    match = re.search(pattern, text)
    return match[1] if match else ""
