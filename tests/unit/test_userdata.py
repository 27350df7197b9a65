"""User data as cloud-init reads it: parsed back, its scripts tried, its programs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

import ast
import base64
import email
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import program
from chalicelib.machine.parameters import Parameters
from chalicelib.user_part import KINDS, UNPACKED_BYTES, NotUserData
from chalicelib.userdata import LIMIT_BYTES, MachineParameters, UserDataTooLarge, compose

SCRIPT = b"#!/bin/sh\necho mine\n"
PARAMETERS = MachineParameters(
    annex_name="MyAnnex" + "x" * 57,
    annex_id="annex-0123456789abcdef0123456789abcdef",
    bucket="htcondor-annex-123456789012-ap-southeast-1",
    key="config/0123456789abcdef0123456789abcdef.json",
    region="ap-southeast-1",
    role_id="AROAEXAMPLEEXAMPLE123",
    lease_expires_at=datetime(2026, 11, 24, 16, tzinfo=UTC),
    dead_man_margin_seconds=300,
    boot_limit_seconds=1800,
)
LEASE_END = int(PARAMETERS.lease_expires_at.timestamp())


def parts(user: bytes | None = None) -> list[tuple[str, str, bytes]]:
    """File name, content type and content of each part, as cloud-init's own parser finds them."""
    message = email.message_from_bytes(gzip.decompress(compose(PARAMETERS, user)))
    assert message.is_multipart()
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart()
    ]


def test_the_parts_are_in_the_order_of_their_names() -> None:
    found = parts(SCRIPT)
    assert [(name, kind) for name, kind, _ in found] == [
        ("00-dead-man.sh", "text/cloud-boothook"),
        ("10-annex.sh", "text/x-shellscript"),
        ("50-user", "text/x-shellscript"),
    ]
    assert found[2][2].rstrip() == SCRIPT.rstrip()
    assert len(parts()) == 2


def test_equal_launches_have_equal_user_data() -> None:
    assert compose(PARAMETERS, SCRIPT) == compose(replace(PARAMETERS), bytes(SCRIPT))


def test_a_user_part_of_four_kilobytes_fits_even_if_it_cannot_be_compressed() -> None:
    user = b"#!/bin/sh\n: " + base64.b64encode(os.urandom(3 * 1024))
    assert len(user) > 4096
    assert len(compose(PARAMETERS, user)) < LIMIT_BYTES


def test_user_data_that_ec2_would_refuse_is_refused_with_the_size_that_it_is_over() -> None:
    user = b"#!/bin/sh\n: " + base64.b64encode(os.urandom(12_000))
    with pytest.raises(UserDataTooLarge, match=r"16384.* \d+ bytes smaller"):
        compose(PARAMETERS, user)


@pytest.mark.parametrize(("start", "kind"), KINDS.items())
def test_every_kind_that_cloud_init_knows_keeps_its_kind(start: bytes, kind: str) -> None:
    for user in (start + b"\nx", gzip.compress(start + b"\nx")):
        name, found, content = parts(user)[2]
        assert (name, found) == ("50-user", kind)
        assert content.startswith(start)


def user_message() -> bytes:
    message = MIMEMultipart()
    for name, kind, text in (
        ("00-dead-man.sh", "x-shellscript", "#!/bin/sh\necho first\n"),
        ("", "cloud-config", "#cloud-config\npackages: [bc]\n"),
        ("ü b/../c.sh", "plain", "#!/bin/sh\necho ü\n"),
    ):
        part = MIMEText(text, kind, "utf-8")
        if name:
            part.add_header("Content-Disposition", "attachment", filename=name)
        message.attach(part)
    return message.as_bytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_users_own_multipart_is_merged_and_takes_no_name_of_ours(
    pack: Callable[[bytes], bytes],
) -> None:
    found = parts(pack(user_message()))
    assert [(name, kind) for name, kind, _ in found[2:]] == [
        ("50-user-01-00-dead-man.sh", "text/x-shellscript"),
        ("50-user-02", "text/cloud-config"),
        ("50-user-03--b-..-c.sh", "text/x-shellscript"),
    ]
    assert "echo ü" in found[4][2].decode()
    assert not any("/" in name for name, _, _ in found)


def test_content_survives_to_the_byte_where_a_mail_would_change_it() -> None:
    user = b"#!/bin/sh\r\nprintf '\xff\x00'\r\n--==annex\n"
    assert parts(user)[2][2] == user


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (b"echo no shebang", "of no kind that cloud-init knows"),
        (b"\x1f\x8bdamaged", "damaged"),
        (gzip.compress(b"#!/bin/sh\n", mtime=0)[:-9], "cut off"),
        (gzip.compress(b"#!" + b"x" * UNPACKED_BYTES), "larger than"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x--\n", "no parts"),
    ],
)
def test_what_cloud_init_would_ignore_is_refused(user: bytes, words: str) -> None:
    with pytest.raises(NotUserData, match=words):
        compose(PARAMETERS, user)


@given(st.binary(max_size=300))
def test_a_script_of_any_bytes_is_kept_or_refused_never_changed(content: bytes) -> None:
    user = b"#!" + content
    found = parts(user)
    assert len(found) == 3
    assert found[2][2].removesuffix(b"\n") == user.removesuffix(b"\n")


def script(number: int, user: bytes | None = None) -> str:
    return parts(user)[number][2].decode()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_shell_parts_are_shell(number: int, shell: str) -> None:
    text = script(number)
    assert text.startswith("#!/bin/sh\n")
    done = subprocess.run(
        [shell, "-n"], input=text, text=True, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not re.search("@[A-Z]+@", text)


def test_the_first_part_asks_nothing_of_the_network() -> None:
    assert not re.search(r"curl|wget|python|http|169\.254", script(0))


class Image:
    """A folder that stands for a machine's root; its commands are stubs that note their words."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.noted = root / "noted"
        self.noted.touch()
        for name in ("systemd-run", "systemctl", "shutdown", "poweroff", "sleep"):
            self.stub(name)
        self.stub("timeout", "shift; exec $@")

    def stub(self, name: str, body: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.noted}\n{body}\n')
        path.chmod(0o755)

    def moved(self, text: str) -> str:
        for folder in ("/usr/local/lib", "/var/lib/htcondor-annex", "/run/htcondor-annex", "/etc/"):
            text = text.replace(folder, f"{self.root}{folder}")
        return text.replace("/dev/console", "/dev/null")

    def run(self, *args: str, text: str | None = None) -> int:
        done = subprocess.run(
            [*args] or ["sh", "-s"],
            input=self.moved(text) if text else "",
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"},
        )
        assert done.stderr == ""
        return done.returncode

    def wait_for_note(self, words: str) -> None:
        """For commands in the background: nothing waits for a shutdown that takes its time."""
        give_up = time.monotonic() + 60
        while words not in self.noted.read_text():
            assert time.monotonic() < give_up, f"{words!r} was not run"
            time.sleep(0.01)

    def dead_man(self, *args: object, code: int = 0) -> list[str]:
        self.noted.write_text("")
        dead_man = f"{self.root}/usr/local/lib/htcondor-annex/dead-man"
        assert self.run(dead_man, *map(str, args)) == code
        return self.noted.read_text().splitlines()


NOW = 4_000_000_000  # later than any test runs


@pytest.fixture
def image(tmp_path: Path) -> Image:
    image = Image(tmp_path)
    # systemctl is-active says no, and list-units shows an older timer of ours.
    image.stub(
        "systemctl",
        'case "$*" in *is-active*) exit 3;; *list-units*)'
        " echo htcondor-annex-lease-3999999999.timer loaded active waiting;; esac",
    )
    image.run(text=script(0).replace(str(LEASE_END + 300), str(NOW)))
    image.first = image.noted.read_text().splitlines()
    return image


def test_the_dead_mans_timer_is_armed_for_the_lease_and_for_the_boot(image: Image) -> None:
    armed = [line for line in image.first if line.startswith("systemd-run")]
    assert f"--unit=htcondor-annex-lease-{NOW}" in armed[0]
    assert f"--on-calendar=@{NOW}" in armed[0]
    assert armed[0].endswith("/dead-man off")
    assert "--on-active=1800" in armed[1]
    assert armed[1].endswith("/dead-man unjoined")
    # In early boot systemd's job queue waits for us: we must not wait for it.
    assert all("--no-block" in line and "DefaultDependencies=no" in line for line in armed)


def test_the_timer_in_the_first_part_is_the_leases_end_and_its_margin() -> None:
    assert f"lease={LEASE_END + 300}\n" in script(0)


def test_the_old_timer_goes_when_the_new_one_is_there(image: Image) -> None:
    lines = image.dead_man("lease", NOW + 60)
    new = next(n for n, line in enumerate(lines) if line.startswith("systemd-run"))
    old = lines.index("systemctl stop htcondor-annex-lease-3999999999.timer")
    assert new < old
    deadline = image.root / f"var/lib/htcondor-annex/deadline-{NOW}"
    assert deadline.read_text() == f"{NOW + 60}\n"


def test_a_timer_that_cannot_be_armed_leaves_the_old_one_and_adds_a_shutdown(image: Image) -> None:
    image.stub("systemd-run", "exit 1")
    lines = image.dead_man("lease", NOW + 60, code=1)
    assert not any(line.startswith("systemctl stop") for line in lines)
    image.wait_for_note("shutdown -P +")


def test_a_timer_armed_after_all_takes_the_shutdown_back_and_nobody_elses(image: Image) -> None:
    image.stub("systemd-run", "exit 1")
    image.dead_man("lease", NOW + 60, code=1)
    image.wait_for_note("shutdown -P +")
    image.stub("systemd-run")
    lines = image.dead_man("lease", NOW + 60)
    assert lines.index("shutdown -c") > lines.index(
        next(line for line in lines if line.startswith("systemd-run"))
    )
    assert "shutdown -c" not in image.dead_man("lease", NOW + 120)


def test_an_image_without_systemd_run_is_shut_down_all_the_same(image: Image) -> None:
    (image.bin / "systemd-run").unlink()
    image.bin.joinpath("systemctl").unlink()
    done = subprocess.run(
        ["sh", f"{image.root}/usr/local/lib/htcondor-annex/dead-man", "lease", str(NOW)],
        capture_output=True,
        check=False,
        timeout=60,
        env={"PATH": f"{image.bin}:{_few_commands(image.root)}"},
    )
    assert done.returncode == 1
    image.wait_for_note("shutdown -P +")


def _few_commands(root: Path) -> Path:
    """A PATH with the commands that every system has, and no systemd."""
    folder = root / "few"
    folder.mkdir()
    for name in ("sh", "date", "mkdir", "mv", "cut"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


def test_a_lease_that_is_over_powers_off_at_once(image: Image) -> None:
    lines = image.dead_man("lease", 1_000_000_000)
    assert lines[0].startswith("systemd-run")
    assert "--unit=htcondor-annex-off" in lines[0]


def test_powering_off_goes_hard_after_a_while(image: Image) -> None:
    lines = image.dead_man("off")
    assert lines[-3:] == [
        "systemctl --no-block poweroff",
        "sleep 60",
        "systemctl --force --force poweroff",
    ]


def test_the_boot_timer_spares_a_machine_that_has_joined(image: Image) -> None:
    assert "systemctl --no-block poweroff" in image.dead_man("unjoined")
    joined = image.root / "run/htcondor-annex/joined"
    joined.parent.mkdir(parents=True)
    joined.touch()
    assert image.dead_man("unjoined") == []


def test_a_reboot_arms_the_renewed_lease_and_not_the_first(image: Image) -> None:
    image.dead_man("lease", NOW + 5000)
    image.noted.write_text("")
    parameters = image.root / "usr/local/lib/htcondor-annex/parameters.json"
    parameters.touch()
    image.run(text=script(0).replace(str(LEASE_END + 300), str(NOW)))
    assert f"--on-calendar=@{NOW + 5000}" in image.noted.read_text()
    assert parameters.exists()


def test_an_image_of_another_annexs_machine_brings_neither_its_lease_nor_its_parameters(
    image: Image,
) -> None:
    image.dead_man("lease", NOW + 5000)
    image.noted.write_text("")
    parameters = image.root / "usr/local/lib/htcondor-annex/parameters.json"
    parameters.touch()
    image.run(text=script(0).replace(str(LEASE_END + 300), str(NOW + 77)))
    assert f"--on-calendar=@{NOW + 77}" in image.noted.read_text()
    # Its service is enabled in the image: it must not follow the other annex's orders.
    assert not parameters.exists()


@pytest.mark.parametrize("kept", ["", "soon", "-1", "12 34"])
def test_a_damaged_renewal_falls_back_to_the_first_lease(image: Image, kept: str) -> None:
    (image.root / f"var/lib/htcondor-annex/deadline-{NOW}").write_text(kept)
    image.noted.write_text("")
    image.run(text=script(0).replace(str(LEASE_END + 300), str(NOW)))
    assert f"--on-calendar=@{NOW}" in image.noted.read_text()


def test_the_second_part_leaves_fetcher_parameters_and_service(image: Image) -> None:
    (image.root / "etc/systemd/system").mkdir(parents=True)
    image.noted.write_text("")
    assert image.run(text=script(1)) == 0
    home = image.root / "usr/local/lib/htcondor-annex"
    given_ = home / "parameters.json"
    assert given_.stat().st_mode & 0o777 == 0o600
    read = Parameters.parse(given_.read_text())
    assert read == Parameters(
        PARAMETERS.annex_name,
        PARAMETERS.annex_id,
        PARAMETERS.bucket,
        PARAMETERS.key,
        PARAMETERS.region,
        PARAMETERS.role_id,
        LEASE_END,
        300,
        1800,
    )
    service = (image.root / "etc/systemd/system/htcondor-annex.service").read_text()
    assert re.search(r"ExecStart=/\S*python3 \S*/fetch.pyz bootstrap\n", service)
    assert "Restart=on-failure" in service
    assert image.noted.read_text().splitlines() == [
        "systemctl daemon-reload",
        "systemctl enable htcondor-annex.service",
        "systemctl start --no-block htcondor-annex.service",
    ]
    assert (home / "fetch.pyz").read_bytes() == program.fetcher()


def pythons() -> list[str]:
    """This Python, and the oldest that the program is for where this machine has it."""
    oldest = shutil.which("python3.9")
    runs = oldest and not subprocess.run([oldest, "-c", ""], check=False, timeout=60).returncode
    return [sys.executable, oldest] if runs else [sys.executable]


@pytest.mark.parametrize("python", pythons())
def test_the_programs_run_as_they_are_sent(python: str, tmp_path: Path) -> None:
    whole, fetcher = tmp_path / "annex.pyz", tmp_path / "fetch.pyz"
    whole.write_bytes(base64.b64decode(program.whole()))
    fetcher.write_bytes(program.fetcher())
    done = _run(python, whole, "nonsense")
    assert (done.returncode, done.stdout) == (2, "usage: htcondor-annex bootstrap|watch\n")
    # It comes as far as its parameters, which are not here.
    done = _run(python, fetcher, "bootstrap")
    assert "FileNotFoundError" in done.stderr
    assert "parameters.json" in done.stderr


def _run(python: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", *args], text=True, capture_output=True, check=False, timeout=60, cwd="/"
    )


@pytest.mark.parametrize("name", sorted(program.sources()))
def test_the_machine_program_is_python_3_9_and_imports_nothing_else_of_ours(name: str) -> None:
    tree = ast.parse(program.sources()[name], feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (
                node.module == "__future__" or node.module.split(".")[0] in sys.stdlib_module_names
            )
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)


def test_archives_are_equal_whenever_they_are_made() -> None:
    assert program.whole() == program.whole()
    whole = zipfile.ZipFile(io.BytesIO(base64.b64decode(program.whole())))
    assert {entry.date_time for entry in whole.infolist()} == {program.FIXED_TIME}
    assert len(whole.namelist()) == len(program.sources()) + 1


def test_no_secret_is_in_the_user_data_but_the_objects_key() -> None:
    text = gzip.decompress(compose(PARAMETERS, None)).decode()
    assert PARAMETERS.key in text
    given_ = json.loads(re.search(r"rb'''(.*)'''", text)[1])
    assert set(given_) == {
        "annex_name", "annex_id", "bucket", "key", "region", "role_id", "lease_expires_at",
        "dead_man_margin_seconds", "boot_limit_seconds",
    }  # fmt: skip


def test_every_module_of_the_machine_is_small() -> None:
    folder = Path(program.__file__).parent / "machine"
    assert max(len(path.read_text().splitlines()) for path in folder.glob("*.py")) < 300
