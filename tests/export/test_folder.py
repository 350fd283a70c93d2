"""An export is written whole or not at all, and never over what somebody else wrote."""

from __future__ import annotations

import json
import os

import pytest

from rk.errors import RunFailed, UserError
from rk.export.folder import MANIFEST, default_folder, takes_files, write_export
from rk.runs import RunFolder


def writes(**texts):
    """Returns what an exporter does: it writes these files, with ``__`` for a dot."""

    def call(folder):
        paths = [folder / name.replace("__", ".") for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return paths

    return call


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)


def test_the_files_are_in_their_place_and_nothing_else_is(tmp_path):
    out = tmp_path / "a" / "b"
    assert write_export(out, "x", writes(model__bin="1")) == [out / "model.bin"]
    assert names(tmp_path) == ["a/b/model.bin"] and os.access(out, os.R_OK | os.W_OK | os.X_OK)


def test_a_file_that_no_export_wrote_is_kept(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"README\.md exists, and no export wrote it") as caught:
        write_export(tmp_path, "hub", writes(README__md="card", config__json="{}"))
    assert "--force" in caught.value.hint
    assert names(tmp_path) == ["README.md"] and (tmp_path / "README.md").read_text() == "mine"
    write_export(tmp_path, "hub", writes(README__md="card", config__json="{}"), force=True)
    assert (tmp_path / "README.md").read_text() == "card"


def test_an_export_replaces_files_of_an_earlier_one_and_removes_outdated_ones(tmp_path):
    write_export(tmp_path / "o", "x", writes(a="1", b="1"))
    write_export(tmp_path / "o", "y", writes(c="1"))
    write_export(tmp_path / "o", "x", writes(a="2"))
    assert names(tmp_path / "o") == ["a", "c"] and (tmp_path / "o" / "a").read_text() == "2"


def test_a_file_that_was_changed_since_is_kept(tmp_path):
    write_export(tmp_path, "hub", writes(README__md="card"))
    (tmp_path / "README.md").write_text("a better card")
    with pytest.raises(UserError, match=r"README\.md exists"):
        write_export(tmp_path, "hub", writes(README__md="card"))
    assert (tmp_path / "README.md").read_text() == "a better card"


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [UserError("no"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(tmp_path, there, error):
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)

    def write(folder):
        (folder / "half").write_text("half")
        raise error

    with pytest.raises((UserError, RunFailed, KeyboardInterrupt)):
        write_export(out, "x", write)
    assert out.exists() == there and (tmp_path / "new").exists() == there and names(tmp_path) == []


def test_messages_name_the_final_folder(tmp_path):
    def write(folder):
        raise OSError(28, "No space left on device", str(folder / "model.onnx"))

    with pytest.raises(RunFailed, match="No space left on device") as caught:
        write_export(tmp_path / "o", "x", write)
    assert caught.value.message.startswith(f"cannot write {tmp_path}/o/model.onnx")


def test_a_target_that_is_not_a_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write") as caught:
        write_export(tmp_path / "file" / "out", "x", writes(a="1"))
    assert caught.value.hint == "choose another folder with -o"


def test_a_manifest_from_elsewhere_deletes_nothing_outside(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    write_export(tmp_path / "o", "x", writes(a="1"))
    manifest = tmp_path / "o" / MANIFEST
    digest = json.loads(manifest.read_text())["x"]["a"]
    outside.write_text("1")
    manifest.write_text(json.dumps({"x": {"../outside": digest, str(outside): digest}}))
    (tmp_path / "o" / "a").unlink()
    write_export(tmp_path / "o", "x", writes(b="1"))
    assert outside.exists()


def test_a_hub_folder_takes_no_files(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "20260101-000000-abcd")
    run.path.mkdir()
    assert takes_files(run) and default_folder(run, "onnx") == run.path / "export" / "onnx"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not takes_files(run)
    monkeypatch.undo()
    (run.path / "config.json").write_text('{"library_name": "recursion-kit"}')
    assert not takes_files(run) and str(default_folder(run, "onnx")) == "20260101-000000-abcd-onnx"
