"""A file is written whole or not at all, and takes the place of its own kind alone."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from planting import write_bundle
from rnn_export import InputError, verify, write_junit, write_report
from rnn_export.whole_file import check_mark, write_whole


@contextmanager
def full_disk() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_all_of_it_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page"
    with full_disk(), pytest.raises(OSError, match="large"):
        write_whole(path, bytes(1_000))
    assert os.listdir(tmp_path) == []
    write_whole(path, b"old")
    with full_disk(), pytest.raises(OSError, match="large"):
        write_whole(path, bytes(1_000))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["page"]


def test_links_modes_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "there").chmod(0o600)
    (tmp_path / "link").symlink_to("there")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"new"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o600
    write_whole(Path("/dev/null"), b"new")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OSError, match="space"):
        write_whole(Path("/dev/full"), b"new")


def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    check_mark(tmp_path / "none", b"<mark>", "page")
    check_mark(tmp_path / "empty", b"<mark>", "page")
    (tmp_path / "theirs").write_bytes(b"photo")
    with pytest.raises(InputError, match="theirs is no page, and is left alone"):
        check_mark(tmp_path / "theirs", b"<mark>", "page")


def test_pages_and_junit_files_take_the_place_of_their_kind(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single")
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    for _ in range(2):
        write_report(bundle, tmp_path / "page.html")
        write_junit(tmp_path / "junit.xml", [])
    with pytest.raises(InputError, match="is no page of rnn-export, and is left alone"):
        write_report(bundle, tmp_path / "photo.jpg")
    with pytest.raises(InputError, match="is no JUnit file, and is left alone"):
        write_junit(tmp_path / "photo.jpg", [])
    with full_disk(), pytest.raises(InputError, match="cannot be written"):
        write_junit(tmp_path / "junit.xml", verify(bundle).reports)
    assert (tmp_path / "photo.jpg").read_bytes() == b"photo"
    assert (tmp_path / "junit.xml").read_bytes().endswith(b"</testsuites>")


def test_a_page_is_not_left_half_written(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", "single")
    path, _ = write_report(bundle)
    before = path.read_bytes()
    with full_disk(), pytest.raises((InputError, OSError)):
        write_report(bundle)
    assert path.read_bytes() == before
