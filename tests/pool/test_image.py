"""Root file systems are built once, whole, whoever else builds or dies meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from local import image
from local.keeper import AccountError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.pool


class SmallImages(image.Images):
    """Real names, locks and renames over steps that cost nothing."""

    def __init__(self, cache: Path) -> None:
        self.said: list[str] = []
        super().__init__(cache, self.said.append, pauses=(0.0,))

    def _build_base(self, result: Path) -> None:
        (result / "step").write_text("done")

    _build_mirror = _build_condor = _build_pool = _build_base


def test_two_builders_at_once_build_each_part_once(tmp_path: Path) -> None:
    builders = [SmallImages(tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=builder.build) for builder in builders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    built = [line.partition(":")[0] for builder in builders for line in builder.said]
    assert len(built) == len(set(built)) == 5
    for kind in ("pool", "htcondor", "plain"):
        assert all(layer.is_dir() for layer in builders[0].layers(kind))


def test_what_a_killed_builder_left_is_removed_by_the_next(tmp_path: Path) -> None:
    broken = tmp_path / ".building-abc" / "result"
    broken.mkdir(parents=True)
    SmallImages(tmp_path).build()
    assert not broken.parent.exists()


def test_a_step_that_fails_leaves_nothing_that_looks_built(tmp_path: Path) -> None:
    class Failing(SmallImages):
        def _build_condor(self, result: Path) -> None:
            (result / "half").write_text("")
            raise AccountError("no archive")

    with pytest.raises(AccountError):
        Failing(tmp_path).build()
    assert not list(tmp_path.glob("htcondor-*"))
    assert not list(tmp_path.glob(".building-*"))
    assert list(tmp_path.glob("base-*"))


def test_a_step_that_fails_for_a_moment_is_tried_again(tmp_path: Path) -> None:
    class Hiccup(SmallImages):
        failed = False

        def _build_condor(self, result: Path) -> None:
            if not self.failed:
                self.failed = True
                (result / "half").write_text("")
                raise AccountError("no archive")
            super()._build_condor(result)

    images = Hiccup(tmp_path)
    images.build()
    assert "no archive; trying again in 0 s" in images.said
    (condor,) = tmp_path.glob("htcondor-*")
    assert [path.name for path in condor.iterdir()] == ["step"]


def test_the_cache_folder_is_the_users_to_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANNEX_LOCAL_CACHE", raising=False)
    assert image.cache_folder(tmp_path) == tmp_path / "cache"
    monkeypatch.setenv("ANNEX_LOCAL_CACHE", str(tmp_path / "elsewhere"))
    assert image.cache_folder(tmp_path) == tmp_path / "elsewhere"
