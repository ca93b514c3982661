"""Stores and folders that are there, that are not, and that refuse."""

import io

import pytest
from click.testing import CliRunner

from span_keras import bulk
from span_keras.cluster import stores
from span_keras.errors import ImageError
from span_keras.images.write import UnwritableError


@pytest.fixture
def buckets(store, google_store, monkeypatch):
    """Addresses of an S3 and of a Google bucket on this machine."""
    for name, value in {**store[0], **google_store}.items():
        monkeypatch.setenv(name, value)
    return "s3://photos", "gs://anonymous@photos"


def test_files_of_a_store_are_written_listed_and_read(buckets):
    for bucket in buckets:
        stores.check_writable(f"{bucket}/files")
        stores.write(f"{bucket}/files/deep/a b.png", io.BytesIO(b"pixels"))
        (entry,) = stores.listing(f"{bucket}/files")
        assert entry[:2] == ("deep/a b.png", 6) and entry.modified > 0
        assert stores.sizes(f"{bucket}/files", []) == {"deep/a b.png": 6}
        address = f"{bucket}/files/deep/a b.png"
        assert list(stores.described([address])) == [entry._replace(name=address)]
        assert stores.read(address, 3) == b"pix"
        stores.delete(address)
        assert list(stores.listing(f"{bucket}/files", optional=True)) == []


def test_a_bucket_that_is_missing(buckets, tiny, photos, tmp_path):
    for bucket in ("s3://none", "gs://anonymous@none"):
        for source, dest, named in (
            (f"{bucket}/in", tmp_path / "out", f"{bucket}/in "),
            (photos, f"{bucket}/out", f"{bucket}/out/.span-bulk/."),
        ):
            arguments = [str(source), str(dest), "-w", str(tiny), "--address", "nowhere:1"]
            done = CliRunner().invoke(bulk.main, arguments)
            assert done.exit_code == 1 and done.stderr.startswith(f"Error: {named}"), done.stderr
            assert done.stderr.count("\n") == 1 and ("exist" in done.stderr or "404" in done.stderr)


def test_a_destination_that_cannot_be_written(photos, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    for dest in (tmp_path / "file", tmp_path / "file" / "out"):
        done = CliRunner().invoke(bulk.main, [str(photos), str(dest), "-w", str(tiny), "--address", "nowhere:1"])
        assert done.exit_code == 1 and done.stderr.startswith(f"Error: {dest}/.span-bulk/."), done.stderr
        assert "cannot be written" in done.stderr and done.stderr.count("\n") == 1


def test_kinds_of_stores_that_are_not_to_be_had():
    with pytest.raises(ImageError, match=r"^foo://bar is of a kind of store that cannot be read here"):
        list(stores.listing("foo://bar/photos"))
    with pytest.raises(UnwritableError, match=r"^hdfs://127.0.0.1:1/a cannot be written \([^\n]*\); check its name"):
        stores.write("hdfs://127.0.0.1:1/a", io.BytesIO())


@pytest.mark.parametrize("address", ["oss://bucket/a b.png", "s3://bucket/a.png", "/local/s3:/oss:/a.png", "/a.png"])
def test_addresses_outlive_paths(address):
    assert stores.address_of(stores.path_of(address)) == stores.address_of(address) == address
    sentence = f"{stores.path_of('gs://bucket/a.png')} and {stores.path_of('s3://bucket/a.png')} clash."
    assert stores.address_of(sentence) == "gs://bucket/a.png and s3://bucket/a.png clash."


def test_links_that_lead_round_in_a_circle_are_not_followed(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "a.png").write_bytes(b"pixels")
    assert stores.sizes(str(tmp_path), ["a.png", "one/a.png", "none.png"]) == {"a.png": 6, "one/a.png": 6}
