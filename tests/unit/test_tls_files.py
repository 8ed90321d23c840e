"""What is wrong with the files of TLS is told by their names, before anything is connected; never their content."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from outbox.model.errors import Misconfigured
from outbox.rabbitmq.tls import Tls
from tests.kit.certificates import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("relay")


def problem(tls: Tls) -> str:
    with pytest.raises(Misconfigured) as caught:
        tls.context()
    return str(caught.value)


def test_a_file_that_is_missing_or_unreadable_is_named_with_its_setting(pair: Pair, tmp_path: Path) -> None:
    assert "rabbitmq.tls.ca_file: cannot read the file /nowhere/ca.pem: No such file" in problem(Tls("/nowhere/ca.pem"))
    # A folder: nobody can read that, not even root.
    unreadable = problem(Tls(cert_file=pair.cert, key_file=str(tmp_path)))
    assert f"rabbitmq.tls.key_file: cannot read the file {tmp_path}: Is a directory" in unreadable


def test_a_key_of_another_certificate_is_told_with_both_names(authority: Authority, pair: Pair) -> None:
    other = authority.issue("other")
    told = problem(Tls(authority.ca, pair.cert, other.key))
    assert f"the key in {other.key} does not belong to the certificate in {pair.cert}" in told


def test_files_that_hold_something_else_are_told_without_their_content(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    text = tmp_path / "secret.txt"
    text.write_text("s3cret-content\n")
    no_authority, no_pair = problem(Tls(str(text))), problem(Tls(authority.ca, str(text), str(text)))
    assert f"rabbitmq.tls.ca_file: {text} holds no certificate" in no_authority
    assert f"{text} with {text} is no certificate with its key" in no_pair
    assert "s3cret" not in no_authority + no_pair
    assert f"{pair.key} with {pair.key} is no certificate" in problem(Tls(authority.ca, pair.key, pair.key))


def test_a_key_with_a_passphrase_is_told_instead_of_asking_the_terminal(pair: Pair, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    key = load_pem_private_key(Path(pair.key).read_bytes(), None)
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")))
    assert f"rabbitmq.tls.key_file: {encrypted} is encrypted" in problem(Tls(None, pair.cert, str(encrypted)))


def test_certificate_and_key_may_be_in_one_file(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(pair.cert).read_bytes() + Path(pair.key).read_bytes())
    assert Tls(authority.ca, str(both)).context().check_hostname
