"""Bad input: one sentence, the right exit status, no traceback, and nothing asked of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from annex_client.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from world import FakePlane, World


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["start", "-demo"], "arguments are required"),
        (["start", "_demo"], "cannot be an annex's name"),
        (["start", "a b"], "cannot be an annex's name"),
        (["start", "x" * 65], "1 to 64 letters"),
        (["start", "demo\n"], "cannot be an annex's name"),
        (["start", "démo"], "cannot be an annex's name"),
        (["start", ""], "cannot be an annex's name"),
        (["start", "demo", "--count", "0"], "at least 1"),
        (["start", "demo", "--count", "-3"], "at least 1"),
        (["start", "demo", "--count", "1000000"], "the most is 100000"),
        (["start", "demo", "--count", "many"], "not a number of machines"),
        (["start", "demo", "--count", "1.5"], "not a number of machines"),
        (["start", "demo", "--duration", "-1"], "above 0"),
        (["start", "demo", "--duration", "0"], "above 0"),
        (["start", "demo", "--duration", "nan"], "above 0"),
        (["start", "demo", "--duration", "inf"], "above 0"),
        (["start", "demo", "--duration", "1e300"], "more than a year"),
        (["start", "demo", "--duration", "0.001"], "less than a minute"),
        (["start", "demo", "--duration", "soon"], "a number of hours like 0.83"),
        (["start", "demo", "--duration", ""], "a number of hours like 0.83"),
        (["start", "demo", "--idle", "-0.25"], "above 0"),
        (["start", "demo", "--duration", "1", "--idle", "2"], "longer than the lease"),
        (["start", "demo", "--retire", "-1"], "--retire takes"),
        (["start", "demo", "--retire", "90"], "no machine would ever take a job"),
        (["start", "demo", "--on-rebalance", "flee"], "record"),
        (["add", "demo", "--on-rebalance", "retire"], "Not understood"),
        (["start", "demo", "--on-rebalance", "retire"], "is for spot machines, the only ones"),
        (["start", "demo", "--on-rebalance", "record", "--slots", "2"], "is for spot machines"),
        (["start", "demo", "--grow", "--spot", "--on-rebalance", "retire"], "leave it out to add"),
        (["start", "demo", "--ami-id", "debian"], "not an image's id"),
        (["start", "demo", "--instance-type", "large"], "not an instance type"),
        (["start", "demo", "--owner", ""], "list of owners is empty"),
        (["start", "demo", "--instance-type", ","], "list of instance types is empty"),
        (["start", "demo", "--tag", "novalue"], "KEY=VALUE"),
        (["start", "demo", "--tag", "aws:x=1"], "reserved"),
        (["start", "demo", "--tag", "htcondor:AnnexName=x"], "reserved"),
        (["start", "demo", "--tag", "a b=1"], "EC2 would fail every launch"),
        (["start", "demo", "--tag", "a/b=1"], "EC2 would fail every launch"),
        (["start", "demo", "--tag", "a=1", "--tag", "a=2"], "given twice"),
        (["start", "demo", "--tag", "a=" + "x" * 257], "too long"),
        (["start", "demo", "--subnet", "here"], "not an id like subnet-"),
        (["start", "demo", "--security-group", "sg-x"], "not an id like sg-"),
        (["start", "demo", "--owner", "a", "--no-owner"], "not allowed with"),
        (["start", "demo", "--wait", "soon"], "not a number of seconds"),
        (["start", "demo", "--wait", "0"], "makes no sense"),
        (["start", "demo", "--config-dir", "/nonexistent/nothing"], "cannot be read"),
        (["start", "demo", "--user-data-file", "/nonexistent/nothing"], "cannot be read"),
        (["start", "demo", "--nosuch"], "See 'annex-client start --help'"),
        (["nosuch"], "invalid choice"),
        ([], "Give a command"),
        (["status", "a/b"], "cannot be an annex's name"),
        (["renew", "demo"], "--duration"),
        (["renew", "demo", "--duration", "0"], "above 0"),
        (["stop", "*"], "cannot be an annex's name"),
        (["setup", "--set", "nosuch=1"], "--set takes KEY=VALUE"),
        (["setup", "--set", "max_lease_seconds=long"], "is a whole number"),
        (["setup", "--subnets", "x"], "not an id like subnet-"),
        (["setup", "--pool-mode", "personal"], "later version"),
    ],
)
def test_it_is_refused_with_a_sentence(
    argv: list[str], sentence: str, world: World, plane: FakePlane
) -> None:
    done = world.annex_client(*argv, *(["--yes"] if argv[:1] == ["start"] else []))
    assert done.status == Exit.BAD_INPUT
    assert sentence in done.err
    assert done.out == ""
    assert plane.calls == []
    assert list(world.condor.rglob("*admin*")) == []


def test_a_folder_that_is_too_large_is_refused(world: World, plane: FakePlane) -> None:
    folder = world.home / "config"
    folder.mkdir()
    (folder / "a").write_text("x" * 200_000)
    (folder / "b").write_text("x" * 62_145)
    done = world.annex_client("start", "demo", "--yes", "--config-dir", str(folder))
    assert done.status == Exit.BAD_INPUT
    assert "at most 256 KiB" in done.err
    assert plane.calls == []


def test_a_folder_of_exactly_the_limit_is_taken(world: World) -> None:
    folder = world.home / "config"
    folder.mkdir()
    (folder / "a").write_text("x" * 200_000)
    (folder / "b").write_text("x" * 62_144)
    done = world.annex_client("start", "demo", "--yes", "--config-dir", str(folder))
    assert done.status == Exit.DONE


@pytest.mark.parametrize("kind", ["folder", "binary", "dangling", "odd name"])
def test_a_folder_with_something_strange_is_refused(
    kind: str, world: World, plane: FakePlane
) -> None:
    folder = world.home / "config"
    folder.mkdir()
    if kind == "folder":
        (folder / "sub").mkdir()
    elif kind == "binary":
        (folder / "a").write_bytes(b"\xff\xfe")
    elif kind == "dangling":
        (folder / "a").symlink_to("nowhere")
    else:
        (folder / "a b").write_text("x")
    done = world.annex_client("start", "demo", "--yes", "--config-dir", str(folder))
    assert done.status == Exit.BAD_INPUT
    assert str(folder) in done.err
    assert plane.calls == []


@pytest.mark.parametrize(("size", "sentence"), [(0, "is empty"), (18_001, "too large")])
def test_user_data_that_cannot_be_used_is_refused(
    size: int, sentence: str, world: World, plane: FakePlane
) -> None:
    file = world.home / "script"
    file.write_bytes(b"x" * size)
    done = world.annex_client("start", "demo", "--yes", "--user-data-file", str(file))
    assert done.status == Exit.BAD_INPUT
    assert sentence in done.err
    assert plane.calls == []


def test_an_image_that_does_not_exist_is_the_control_plane_s_refusal(
    world: World, plane: FakePlane
) -> None:
    plane.next_answers = [
        (400, {"error": {"code": "BadRequest", "message": "There is no image ami-01234567."}})
    ]
    done = world.annex_client("start", "demo", "--yes", "--ami-id", "ami-01234567")
    assert done.status == Exit.BAD_INPUT
    assert "There is no image ami-01234567. (annex demo, request " in done.err


def test_macros_that_are_no_numbers_are_named(world: World, plane: FakePlane) -> None:
    world.macros["ANNEX_DEFAULT_LEASE_DURATION"] = "long"
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.BAD_INPUT
    assert "ANNEX_DEFAULT_LEASE_DURATION" in done.err
    assert plane.calls == []


def test_another_region_than_the_one_set_up_is_refused(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", "--yes", "--region", "eu-west-1")
    assert done.status == Exit.BAD_INPUT
    assert "is in us-east-1, not in eu-west-1" in done.err
    assert plane.calls == []


def test_without_a_setup_it_says_what_to_run(world: World, plane: FakePlane) -> None:
    del world.macros["ANNEX_DEFAULT_API_URL"]
    for argv in (["start", "demo", "--yes"], ["status"], ["stop", "demo"], ["check-setup"]):
        done = world.annex_client(*argv)
        assert done.status == Exit.AWS_TROUBLE
        assert "annex-client setup" in done.err
    assert plane.calls == []


def test_help_is_no_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.annex_client("--help").status == Exit.DONE
    assert "start an annex" in capsys.readouterr().out


def test_the_user_s_own_file_is_read_where_htcondor_reads_none(
    world: World, plane: FakePlane, tmp_path: Path
) -> None:
    """HTCondor gives root no user configuration."""
    del tmp_path
    world.condor.mkdir()
    url = world.macros.pop("ANNEX_DEFAULT_API_URL")
    (world.condor / "user_config").write_text(f"# mine\nANNEX_DEFAULT_API_URL = {url}\n")
    assert world.annex_client("status").status == Exit.DONE
    assert len(plane.calls) == 1
