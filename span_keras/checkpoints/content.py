"""What a file is by its first bytes: a format whatever its name ends in, or something that is no weights file."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from span_keras.errors import CheckpointError

HEAD = 512
"""Bytes that tell."""


def refuse_pretenders(path: Path, source: str) -> None:
    """Say what a file is that stands where a weights file was meant to be.

    Raises:
        CheckpointError: it is a pointer of git-lfs, a web page, or the text that a failed download leaves.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        size = re.search(rb"^size (\d+)$", head, re.MULTILINE)
        stands_for = f"{int(size[1]):,} bytes" if size else "another file"
        raise CheckpointError(
            f"{source} is a git-lfs pointer, a short text that stands for {stands_for}; run git lfs pull, or download "
            "the file itself."
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{source} is a web page, not weights; download the file itself, on Hugging Face and GitHub by the button "
            "or the address that says download, resolve or raw."
        )
    if text.startswith((b"entry not found", b"invalid username or password", b"repository not found", b"not found")):
        answer = " ".join(head.decode("utf-8", "replace").split())[:80]
        raise CheckpointError(f"{source} is a server's answer, {answer!r}, not weights; download the file again.")


def kind_of(path: Path) -> str | None:
    """Return the suffix that a file's content calls for, None where content does not tell."""
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"\x89HDF"):
        return ".weights.h5"
    if head.startswith(b"PK\x03\x04") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
            return ".pth"
        return ".keras" if "model.weights.h5" in names else ".zip"
    # The length of a JSON header, and its first letter.
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return ".safetensors"
    return ".pth" if head.startswith(b"\x80\x02") else None
