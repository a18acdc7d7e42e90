from __future__ import annotations

import pytest

from mimic_ray.base.redact import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AWS_SECRET_KEY=abc run", "AWS_SECRET_KEY=[redacted] run"),
        ("HF_TOKEN: abc", "HF_TOKEN: [redacted]"),
        ("PASSWORD='a b c' run", "PASSWORD=[redacted] run"),
        ("run --hub-token abc --out x", "run --hub-token [redacted] --out x"),
        ("https://me:abc@host/x", "https://[redacted]@host/x"),
        ("s3://bucket/x?sig=abc&se=1 next", "s3://bucket/x?[redacted] next"),
        ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
    ],
)
def test_a_secret_is_replaced_and_the_text_around_it_is_kept(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "mimic-ray purify --out run --seed 3",
        "layer1.0.conv1.weight has keys",
        "13 tokens of 768",
        "s3://bucket/images",
        "the monkey ate",
    ],
)
def test_text_without_secrets_is_unchanged(text):
    assert redact(text) == text


def test_values_of_environment_variables_are_hidden_anywhere_in_a_text(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "0123456789")
    assert redact({"a": ["x0123456789y", 3]}) == {"a": ["x[redacted]y", 3]}


def test_entries_named_like_secrets_are_hidden_unless_empty():
    content = {"hf_token": "abc", "db_password": "", "key": "img1"}
    assert redact(content) == {"hf_token": "[redacted]", "db_password": "", "key": "img1"}
