import pytest

from adapters.standard_webhooks import SIGNATURE, TIMESTAMP, key_of, signature

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
