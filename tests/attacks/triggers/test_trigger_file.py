import io
import zipfile

import numpy as np
import pytest
import torch

from mimic_ray.attacks.triggers.trigger import make_trigger, write_trigger
from mimic_ray.base.errors import DataError, UsageError


def badencoder_arrays(side=8):
    """A 3x3 square of value 200 as BadEncoder's script would store it."""
    mask = np.ones((1, side, side, 3), np.int64)
    mask[:, 4:7, 4:7] = 0
    return {"t": (1 - mask) * 200.0, "tm": mask, "info": np.array(["a", "b"])}


def saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def badencoder_apply(images, arrays):
    """Their code, restated: HWC, uint8(x * tm + t)."""
    hwc = images.permute(0, 2, 3, 1).numpy()
    changed = (hwc * arrays["tm"][0] + arrays["t"][0]).astype(np.uint8)
    return torch.from_numpy(changed).permute(0, 3, 1, 2)


def random_images(side=8):
    return torch.randint(0, 256, (4, 3, side, side), generator=torch.manual_seed(0)).byte()


def test_applying_a_file_equals_badencoders_arithmetic(tmp_path):
    arrays = badencoder_arrays()
    trigger = make_trigger(saved(tmp_path / "t.npz", **arrays), 8)
    assert torch.equal(trigger.apply(random_images()), badencoder_apply(random_images(), arrays))


def test_a_share_as_mask_is_applied_as_a_share(tmp_path):
    noise = np.random.default_rng(0).integers(0, 51, (1, 8, 8, 3)).astype(np.float64)
    arrays = {"t": noise, "tm": np.full((1, 8, 8, 3), 0.75)}
    trigger = make_trigger(saved(tmp_path / "t.npz", **arrays), 8)
    assert torch.equal(trigger.apply(random_images()), badencoder_apply(random_images(), arrays))


def test_the_leading_axis_may_be_missing(tmp_path):
    arrays = badencoder_arrays()
    plain = {name: arrays[name][0] for name in ("t", "tm")}
    with_axis = make_trigger(saved(tmp_path / "a.npz", **arrays), 8)
    without = make_trigger(saved(tmp_path / "b.npz", **plain), 8)
    assert torch.equal(with_axis.mask, without.mask)
    assert torch.equal(with_axis.add, without.add)


def test_the_first_of_several_triggers_is_taken(tmp_path):
    arrays = badencoder_arrays()
    several = {n: np.concatenate([arrays[n], 0 * arrays[n]]) for n in ("t", "tm")}
    trigger = make_trigger(saved(tmp_path / "t.npz", **several), 8)
    assert trigger.add.max().item() == pytest.approx(200 / 255)


@pytest.mark.parametrize("name", ["patch:value=37", "noise_patch", "blend", "dct", "sine"])
def test_a_written_trigger_reads_back_as_the_same_pattern(tmp_path, name):
    trigger = make_trigger(name, 32)
    write_trigger(trigger, tmp_path / "t.npz")
    again = make_trigger(str(tmp_path / "t.npz"), 32)
    assert (again.mask - trigger.mask).abs().max() < 1e-7
    assert (again.add - trigger.add).abs().max() < 1e-7
    assert torch.equal(again.apply(random_images(32)), trigger.apply(random_images(32)))


def test_a_written_patch_is_what_badencoders_script_writes(tmp_path):
    write_trigger(make_trigger("patch:side=3,gap=1,value=200", 8), tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as written:
        for name in ("t", "tm"):
            expected = badencoder_arrays()[name]
            assert written[name].dtype == expected.dtype
            assert np.array_equal(written[name], expected)


def test_another_size_is_named_with_ours(tmp_path):
    path = saved(tmp_path / "t.npz", **badencoder_arrays(16))
    with pytest.raises(UsageError, match=r"16x16.*32x32"):
        make_trigger(path, 32)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz does not exist"):
        make_trigger(str(tmp_path / "none.npz"), 32)


def files():
    arrays = badencoder_arrays()
    not_finite = arrays["t"].copy()
    not_finite[0, 0, 0, 0] = np.nan
    return {
        "no mask": {"t": arrays["t"]},
        "grey": {"t": arrays["t"][..., :1], "tm": arrays["tm"][..., :1]},
        "flat": {"t": arrays["t"].ravel(), "tm": arrays["tm"].ravel()},
        "none": {"t": arrays["t"][:0], "tm": arrays["tm"][:0]},
        "words": {"t": arrays["t"].astype(str), "tm": arrays["tm"]},
        "not finite": {"t": not_finite, "tm": arrays["tm"]},
        "mask of 255": {"t": arrays["t"], "tm": arrays["tm"] * 255},
    }


@pytest.mark.parametrize("case", list(files()))
def test_arrays_that_are_no_trigger_are_refused(tmp_path, case):
    with pytest.raises(DataError, match=r"t\.npz"):
        make_trigger(saved(tmp_path / "t.npz", **files()[case]), 8)


def test_a_pickle_in_the_file_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "executed").write_text, ("",)

    objects = np.empty((1, 8, 8, 3), object)
    objects[:] = Bomb()
    content = io.BytesIO()
    np.lib.format.write_array(content, objects, allow_pickle=True)
    (tmp_path / "executed").unlink(missing_ok=True)
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("tm.npy", content.getvalue())
        archive.writestr("t.npy", content.getvalue())
    with pytest.raises(DataError):
        make_trigger(str(tmp_path / "t.npz"), 8)
    assert not (tmp_path / "executed").exists()


def test_a_declared_size_is_refused_before_anything_is_unpacked(tmp_path):
    header = io.BytesIO()
    shape = (10**9, 8, 8, 3)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(tmp_path / "t.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tm.npy", header.getvalue() + bytes(1 << 20))
    with pytest.raises(DataError, match="1,000,000,000 triggers"):
        make_trigger(str(tmp_path / "t.npz"), 8)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(DataError, match="not a readable npz"):
        make_trigger(str(tmp_path / "t.npz"), 8)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "t.npz"
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1, 8, 8, 3)}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tm.npy", content.getvalue() + bytes(100))
    with pytest.raises(DataError, match="not a readable npz"):
        make_trigger(str(path), 8)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "side"),
    [
        ("trigger_pt_white_21_10_ap_replace.npz", 32),
        ("trigger_pt_white_173_50_ap_replace.npz", 224),
    ],
)
def test_badencoders_own_files_equal_the_default_patch(shared_data, file, side):
    theirs = make_trigger(str(shared_data / "assets" / "badencoder" / file), side)
    ours = make_trigger("patch", side)
    assert torch.equal(theirs.mask, ours.mask)
    assert torch.equal(theirs.add, ours.add)
