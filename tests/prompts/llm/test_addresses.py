"""Addresses, keys and passwords: what is refused before anything is sent, and what is never sent or shown."""

import pytest
from tests.prompts.llm.asking import CLASSES, PLACES, make

from varireal.errors import UserError


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://example.org/v1", "must begin with https"), ("example.org", "must begin with https"),
        ("https://", "must begin with https"), ("https://me:pw@example.org/v1", "must hold no password"),
        ("https://example.org/v1?key=1", "must hold no password"),
        ("http://example.org/v1", "unencrypted to example.org"),
        ("https://[broken/v1", "is no address"), ("https://example.org:port/v1", "is no address"),
    ],
)  # fmt: skip
def test_an_address_that_will_not_do_is_told_before_anything_is_sent(config, monkeypatch, address, said):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(UserError, match=said) as caught:
        make(config, base_url=address)
    assert "sk-secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_with_a_line_break_is_told_without_showing_it(config, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a\nsk-b")
    with pytest.raises(UserError, match="OPENAI_API_KEY holds signs that no key has"):
        make(config)


def test_passwords_of_netrc_are_not_sent(endpoint, config, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    make(config).table(CLASSES, "pet", PLACES)
    assert all("Authorization" not in headers for _, headers, _ in endpoint.requests)
