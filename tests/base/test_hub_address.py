from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.base.hub_address import HubAddress, download_advice, is_hub, parse_hub
from mimic_ray.base.storage_address import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://facebook/dinov2-small", HubAddress("facebook/dinov2-small", "", "")),
        ("HF://facebook/dinov2-small/", HubAddress("facebook/dinov2-small", "", "")),
        ("hf://a/b@v1.0/sub/model.bin", HubAddress("a/b", "v1.0", "sub/model.bin")),
        ("hf://a/b/model.safetensors", HubAddress("a/b", "", "model.safetensors")),
    ],
)
def test_an_address_names_a_model_a_revision_and_a_file(text: str, expected: HubAddress) -> None:
    assert is_hub(text)
    assert parse_hub(text) == expected


@pytest.mark.parametrize("text", ["hf://", "hf://bert", "hf://a/b/../c", "hf:///a/b", "hf://a b/c"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give hf://OWNER/NAME"):
        parse_hub(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("facebook/dinov2-base", "give hf://facebook/dinov2-base, or download it first"),
        ("https://dl.fbaipublicfiles.com/dino/x.pth", "download it first"),
        (
            "https://huggingface.co/a/b/resolve/main/model.safetensors?download=true",
            "Give hf://a/b/model.safetensors, or download it first",
        ),
        ("https://huggingface.co/a/b/tree/v2", "Give hf://a/b@v2, or"),
        ("https://huggingface.co/a/b", "Give hf://a/b, or"),
        ("hf://a/b", "Only a checkpoint"),
        ("a/b/c.pth", ""),
        ("/a/b", ""),
        ("suspect.pth", ""),
    ],
)
def test_a_web_address_or_a_bare_name_gets_advice(text: str, words: str) -> None:
    assert words in download_advice(text)
    assert bool(words) == bool(download_advice(text))


def test_no_storage_is_at_a_web_address() -> None:
    with pytest.raises(UsageError, match=r"https://x/y\.pth: no storage .* download it first"):
        parse("https://x/y.pth")
