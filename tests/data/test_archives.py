import pytest

from mimic_ray.data.archives import is_archive, way_out, why_not_read


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.tar.bz2", "Unpack it: tar -xf a.tar.bz2 -C FOLDER"),
        ("a.TAR.XZ", "Unpack it: tar -xf a.TAR.XZ -C FOLDER"),
        ("a.tar.zst", "Unpack it: tar --zstd -xf a.tar.zst -C FOLDER"),
        ("a.7z", "Unpack it: 7z x a.7z -oFOLDER"),
        ("a.rar", "Unpack it: unrar x a.rar FOLDER/"),
        ("train-images-idx3-ubyte.gz", "gunzip -k train-images-idx3-ubyte.gz, and give what"),
        ("a-0.tfrecord", "Convert it: write its images"),
        ("data.mdb", "is a LMDB file"),
    ],
)
def test_a_format_that_is_not_read_has_a_way_out(name, command):
    assert command in way_out(name)


def test_the_content_of_a_file_counts_more_than_its_name():
    assert "unzip a.tar.bz2" in way_out("a.tar.bz2", b"PK\x03\x04")
    assert way_out("notes.txt") == way_out("a.tar.bz2", b"text") == ""


def test_each_file_beside_images_has_a_reason():
    reasons = [why_not_read(name) for name in ("a.heic", "a.tar", "a.rar", "a.parquet", "a.txt")]
    words = ["convert", "unpack", "unpack", "a table", "not an image"]
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))
    assert is_archive("a.tgz")
    assert not is_archive("a.png")
