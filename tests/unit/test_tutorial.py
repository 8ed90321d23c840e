"""A tutorial is read as its reader types it, and what it shows is compared as its reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.tutorial import Command, Manner, read_tutorial

TEXT = """\
# A page

Words above.

## Begin

```console stays
$ make shop
…
They run.
```

Then look,
twice:

```console
$ one
shown
$ two \\
>     more
```

```console soon
$ three
```

```yaml
$ not: a command
```

## The end

Words.
"""


def _command(shown: str, manner: Manner = Manner.ONCE) -> Command:
    return Command(1, "look", tuple(shown.splitlines()), manner)


def test_commands_paragraphs_and_headings_come_in_their_order() -> None:
    page, begin, end = read_tutorial(TEXT)

    assert (page.heading, page.parts, end.heading, end.parts) == ("A page", ("Words above.",), "The end", ("Words.",))
    assert begin.heading == "Begin"
    assert [part if isinstance(part, str) else part.text for part in begin.parts] == [
        "make shop", "Then look,\ntwice:", "one", "two \\\n    more", "three", "$ not: a command",
    ]  # fmt: skip
    stays, one, two, three = begin.commands
    assert (stays.manner, stays.shown, stays.line) == (Manner.STAYS, ("…", "They run."), 8)
    assert (one.manner, one.shown) == (Manner.ONCE, ("shown",))
    assert (two.shown, three.manner) == ((), Manner.SOON)


@pytest.mark.parametrize(
    "text", ["```console\n$ one\n", "```console\nshown\n$ one\n```", "```console later\n$ one\n```"]
)
def test_a_block_that_cannot_be_typed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line|later"):
        read_tutorial(text)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("", ""),
        ("a", "a\n"),
        ("a …, b", "a 17, b\n"),
        ("…", "anything\nat all\n"),
        ("…\nb\n…", "a\nb\nc\n"),
        ("…\nb\n…", "b\n"),
        ("│ x │ … │", "│ x    │ 2026-11-22 │\n"),
        ("┏━━┓", "┏━━━━━━━┓\n"),
        ("(a|b)*", "(a|b)*\n"),
    ],
)
def test_what_is_shown_is_recognised(shown: str, output: str) -> None:
    assert _command(shown).is_shown_by(output)


@pytest.mark.parametrize(
    ("shown", "output"),
    [("", "a\n"), ("a", ""), ("a", "a\nb\n"), ("a …, b", "a 17 b\n"), ("…\nb", "a\nb\nc\n"), ("a.c", "abc\n")],
)
def test_what_is_not_shown_is_recognised_too(shown: str, output: str) -> None:
    assert not _command(shown).is_shown_by(output)


def test_of_what_stays_only_the_beginning_is_compared() -> None:
    assert _command("…\nready", Manner.STAYS).is_shown_by("starting\nready\nand so on\n")
    assert not _command("…\nready", Manner.STAYS).is_shown_by("starting\n")


def test_the_tutorial_of_the_shop_can_be_read() -> None:
    file = Path(__file__).parents[2] / "examples" / "shop" / "README.md"

    commands = [one for section in read_tutorial(file.read_text(encoding="utf-8")) for one in section.commands]

    assert sum(one.manner is Manner.STAYS for one in commands) == 2
    assert all(one.shown for one in commands if one.text.startswith("outbox "))
