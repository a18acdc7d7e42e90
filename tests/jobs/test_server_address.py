"""The address of the job server: precedence, contradictions, tokens, security."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.jobs.server_address import job_server, risks

HEAD = "http://10.0.0.1:8265"


@pytest.fixture
def environ(tmp_path):
    """An environment without settings, and without the token of the user who runs the tests."""
    return {"HOME": str(tmp_path)}


@pytest.fixture
def with_token(tmp_path, environ):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("t" * 64)
    return environ


def test_the_default_is_this_machine(environ):
    server = job_server(None, environ=environ)
    assert (server.url, server.source) == ("http://127.0.0.1:8265", "the default")
    assert server.option == ""


def test_variables_have_the_same_precedence_as_in_ray(with_token):
    with_token |= {"RAY_ADDRESS": "a:8265", "RAY_API_SERVER_ADDRESS": "https://b:8265"}
    server = job_server(None, environ=with_token)
    assert (server.url, server.source) == ("https://b:8265", "RAY_API_SERVER_ADDRESS")


def test_the_addresses_are_removed_from_the_environment(with_token):
    """Ray's client would use the variables instead of the address that is passed to it."""
    with_token |= {"RAY_ADDRESS": HEAD, "RAY_API_SERVER_ADDRESS": HEAD}
    assert job_server(HEAD, environ=with_token).option == f" --address {HEAD}"
    assert not {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"} & with_token.keys()


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_an_address_that_contradicts_a_variable_is_refused_with_both(with_token, variable):
    with_token[variable] = "http://other:8265"
    with pytest.raises(UsageError) as refused:
        job_server(HEAD, environ=with_token)
    assert all(word in refused.value.message for word in (HEAD, variable, "http://other:8265"))


def test_the_same_address_may_be_written_in_two_ways(with_token):
    with_token["RAY_ADDRESS"] = "10.0.0.1:8265"
    assert job_server(f"{HEAD}/", environ=with_token).url == HEAD


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "auto", "http://", "ftp://head"])
def test_an_address_that_is_not_a_job_server_is_refused(with_token, address):
    with pytest.raises(UsageError, match="not the address of a job server"):
        job_server(address, environ=with_token)


def test_a_password_in_the_address_is_refused_and_not_repeated(with_token):
    with pytest.raises(UsageError) as refused:
        job_server("http://me:hunter2@head:8265", environ=with_token)
    assert "hunter2" not in refused.value.message


def test_a_token_sets_the_mode(with_token):
    """Otherwise Ray would not send the token."""
    assert job_server(HEAD, environ=with_token).token.endswith("auth_token")
    assert with_token["RAY_AUTH_MODE"] == "token"


def test_a_mode_set_by_the_user_is_kept(with_token):
    with_token["RAY_AUTH_MODE"] = "disabled"
    assert job_server(HEAD, insecure=True, environ=with_token).token == ""
    assert with_token["RAY_AUTH_MODE"] == "disabled"


def test_ray_does_not_generate_another_token(environ):
    job_server(None, environ=environ)
    assert environ["RAY_AUTH_MODE"] == "disabled"


def test_the_variable_has_precedence_over_the_file(with_token):
    with_token["RAY_AUTH_TOKEN"] = "abc"
    assert job_server(HEAD, environ=with_token).token == "RAY_AUTH_TOKEN"


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_named_file_without_a_token_is_refused(tmp_path, with_token, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with_token["RAY_AUTH_TOKEN_PATH"] = str(path)
    with pytest.raises(UsageError, match="empty or cannot be read"):
        job_server(HEAD, environ=with_token)


def test_the_mode_without_a_token_is_refused(environ):
    environ["RAY_AUTH_MODE"] = "token"
    with pytest.raises(UsageError, match="no token was found"):
        job_server(None, environ=environ)


@pytest.mark.parametrize("address", [HEAD, "http://head.example:8265", "http://[2001:db8::1]:8265"])
def test_a_remote_server_without_a_token_needs_insecure(environ, address):
    with pytest.raises(UsageError, match="insecure="):
        job_server(address, environ=environ)
    assert job_server(address, insecure=True, environ=environ).url == address


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8265", "http://127.8.0.1:1", "http://[::1]:8265", "localhost:1"]
)
def test_a_local_server_needs_no_token(environ, address):
    assert job_server(address, environ=environ).loopback


def test_a_name_that_only_starts_with_localhost_is_remote(environ):
    with pytest.raises(UsageError, match="insecure="):
        job_server("http://localhost.example:8265", environ=environ)


def test_a_token_over_plain_http_gives_a_warning_and_over_https_none(with_token):
    assert "in plain text" in risks(job_server(HEAD, environ=dict(with_token)))[0]
    assert not risks(job_server("https://head:8265", environ=dict(with_token)))
    assert not risks(job_server("http://127.0.0.1:8265", environ=dict(with_token)))
