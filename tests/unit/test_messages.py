"""Dead letters whose headers would not fit into a frame: something with the reason in it always does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outbox.model.inbox import DeadLetter
from outbox.rabbitmq.messages import dead_message, fitted
from outbox.rabbitmq.wire import FrameEncoder

SMALLEST_FRAME_MAX = 4096
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
# Names that did not decode are longer than AMQP has them; values go beyond what AMQP counts.
names = texts | st.sampled_from(
    ["key", "sequence", "cloudEvents_source", "x-outbox-reason", "x-outbox-claim-check", "n" * 1000]
)
values = (
    texts
    | st.integers(-(2**64), 2**64)
    | st.booleans()
    | st.builds(lambda text, times: text * times, texts, st.integers(1, 300))
)


def letter(headers: dict[str, str | int | bool], reason: str = "422: no", type_: str = "order.confirmed") -> DeadLetter:
    return DeadLetter(1, "f" * 63, "m" * 255, 5, type_, 1, "SO-1", 8, reason, "rejected", headers, b"{}")


@given(st.dictionaries(names, values, max_size=30), texts, st.integers(1, 300))
def test_a_dead_letter_fits_into_the_smallest_frame_whatever_its_headers_are(
    headers: dict[str, str | int | bool], reason: str, times: int
) -> None:
    message = fitted(dead_message(letter(headers, reason * times, "t" * 300)), SMALLEST_FRAME_MAX)
    assert FrameEncoder(1, SMALLEST_FRAME_MAX).frames(message)
    assert (reason * times).startswith(str(message.headers["x-outbox-reason"]))
    assert message.headers["x-outbox-attempts"] == 8


def test_the_contract_stays_before_the_application_and_small_headers_before_large_ones() -> None:
    headers: dict[str, str | int | bool] = {
        "large": "x" * 1500,
        "small": "y" * 500,
        "cloudEvents_source": "z" * 1500,
        "sequence": 5,
        "key": "SO-1",
    }
    message = fitted(dead_message(letter(headers)), SMALLEST_FRAME_MAX)
    assert [name for name in message.headers if not name.startswith("x-outbox")] == [
        "small",
        "cloudEvents_source",
        "sequence",
        "key",
    ]
    assert message.headers["x-outbox-headers-left-out"] == 1


def test_a_connection_without_a_limit_leaves_out_what_has_no_place_in_amqp_only() -> None:
    message = fitted(dead_message(letter({"note": "x" * 500_000, "n" * 300: 1})), 0)
    assert set(message.headers) >= {"note", "x-outbox-headers-left-out"}
    assert message.headers["x-outbox-headers-left-out"] == 1
