"""The `adapter:` of each flow: `use` and `connection` are ours, the rest is for the adapter's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from outbox.config.draft import Draft
from outbox.config.flows import AdapterChoice
from outbox.config.inspection import inspected_sections
from outbox.config.problems import Finding, KeyPath, did_you_mean
from outbox.config.sentences import Subject, add_findings

_USE = "use"
_CONNECTION = "connection"


class _Unchecked(BaseModel):
    """Stands for settings that have a finding, so that the rest of the flow is checked all the same."""


def choose_adapters(draft: Draft, values: Mapping[str, object], adapters: Mapping[str, type[BaseModel]]) -> None:
    """Replace the adapter section of every flow by an `AdapterChoice`; what is wrong goes to the draft.

    An adapter whose protocol has a retry schedule of its own gives it to flows that name none.

    Args:
        draft: where findings go.
        values: the settings, with `connections` and `flows`; changed in place.
        adapters: the settings model of each adapter.
    """
    flows = values["flows"]
    connections = values["connections"]
    if not isinstance(flows, dict) or not isinstance(connections, dict):
        return
    for name, flow in flows.items():
        if isinstance(flow, dict) and isinstance(flow.get("adapter"), dict):
            path = ("flows", name, "adapter")
            flow["adapter"] = choice = _choice(draft, flow["adapter"], path, adapters, sorted(connections))
            usual = getattr(adapters.get(choice.use), "DEFAULT_RETRY", None)
            if usual is not None:
                flow.setdefault("retry", usual)


def _choice(
    draft: Draft,
    section: dict[str, object],
    path: KeyPath,
    adapters: Mapping[str, type[BaseModel]],
    connections: Sequence[str],
) -> AdapterChoice:
    use = _known_name(draft, section, (*path, _USE), sorted(adapters))
    connection = _known_name(draft, section, (*path, _CONNECTION), connections)
    own = {key: value for key, value in section.items() if key not in {_USE, _CONNECTION}}
    settings = _Unchecked() if use is None else _settings(draft, own, path, adapters[use])
    return AdapterChoice(use=use or "", connection=connection or "", settings=settings)


def _known_name(draft: Draft, section: dict[str, object], path: KeyPath, known: Sequence[str]) -> str | None:
    word = path[-1]
    thing = "adapter" if word == _USE else "connection"
    names = f"known are {', '.join(known)}" if known else f"there is no {thing}"
    if word not in section:
        draft.find(Finding(path, f"required; name the {thing} to use, {names}"))
        return None
    name = section[str(word)]
    if draft.is_broken(path):
        return None
    if word == _CONNECTION and draft.is_partial and name not in known:
        # It may be in the file that could not be read, which is told.
        return None
    if not isinstance(name, str) or name not in known:
        suggestion = did_you_mean(name, known) if path in draft.showable else None
        draft.find(Finding(path, f"unknown {thing}, {names}", suggestion, is_about_value=True))
        return None
    return name


def _settings(draft: Draft, own: dict[str, object], path: KeyPath, model: type[BaseModel]) -> BaseModel:
    data = inspected_sections(draft, model, own, path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        add_findings(draft, error, Subject(model, data, path, also_known=(_USE, _CONNECTION)))
        return _Unchecked()
