import pytest

from outbox.model.standard_webhooks import SIGNATURE, TIMESTAMP, key_of, message_id, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLISHED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signature_is_the_one_that_the_standard_publishes() -> None:
    headers = signature([key_of(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers == {TIMESTAMP: "1614265330", SIGNATURE: PUBLISHED}


def test_two_keys_sign_side_by_side_the_newest_first() -> None:
    other = key_of("whsec_" + "QUFB" * 10)
    signed = signature([other, key_of(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    newest, oldest = signed[SIGNATURE].split(" ")
    assert oldest == PUBLISHED
    assert newest.startswith("v1,")
    assert newest != PUBLISHED


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_kurz",
        "whsec_" + "QUFB" * 7,
        "whsec_" + "QUFB" * 22,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!",
        "whsk_" + "QUFB" * 10,
        "whsec_" + "ü" * 32,
    ],
)
def test_a_secret_that_receivers_would_read_differently_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and the base64 of 24 to 64 random bytes") as caught:
        key_of(secret)

    assert secret in ("", "whsec_") or secret not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "webhook_id"),
    [
        ("orders-0b5c6f6e-0000-4000-8000-000000000000", "orders-0b5c6f6e-0000-4000-8000-000000000000"),
        ("orders-a.b", "orders-a%2Eb"),
        ("orders-a%2Eb", "orders-a%252Eb"),
        ("orders-a b\r\nX-Evil: 1", "orders-a%20b%0D%0AX-Evil:%201"),
        ("orders-ü", "orders-%C3%BC"),
    ],
)
def test_any_key_of_a_foreign_message_becomes_an_id_that_a_header_can_carry(key: str, webhook_id: str) -> None:
    assert message_id(key) == webhook_id
