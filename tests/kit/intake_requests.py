"""Requests as senders make them, signed by the test's own hand and not by the code under test."""

from __future__ import annotations

import base64
import hashlib
import hmac

from outbox.intake.received import Headers, Received

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STRIPE_SECRET = "whsec_test_secret"
SHOPIFY_SECRET = "hush"
HUBSPOT_SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
URL = "https://www.example.com/webhook_uri"


def received(body: bytes, headers: dict[str, str] | list[tuple[str, str]], *, url: str = URL) -> Received:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    return Received(body, Headers(pairs), "POST", url)


def mac(key: bytes, *parts: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key, b"".join(parts), algorithm).digest()


def standard_headers(
    body: bytes, *, at: str = "1614265330", secret: str = STANDARD_SECRET, name: str = "msg_1"
) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(mac(key, f"{name}.{at}.".encode(), body)).decode()
    return {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}


def stripe_headers(body: bytes, *, at: str = "1700000000", secret: str = STRIPE_SECRET) -> dict[str, str]:
    return {"Stripe-Signature": f"t={at},v1={mac(secret.encode(), f'{at}.'.encode(), body).hex()}"}


def shopify_headers(body: bytes, *, secret: str = SHOPIFY_SECRET) -> dict[str, str]:
    return {"X-Shopify-Hmac-Sha256": base64.b64encode(mac(secret.encode(), body)).decode()}


def hubspot_headers(body: bytes, *, at: str = "1693657560000", url: str = URL) -> dict[str, str]:
    signature = base64.b64encode(mac(HUBSPOT_SECRET.encode(), b"POST", url.encode(), body, at.encode())).decode()
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": at}


def sha256_hex(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
