"""What a page says of itself: which data set, by which settings, when, and by which version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import sid
from sid.params import NOT_GIVEN, Params


@dataclass(frozen=True)
class About:
    """The origin of a page.

    Attributes:
        dataset: `export.dataset`.
        settings: the keys of params.yaml that shaped the index, dotted, with their values as text.
        version: of this project.
    """

    dataset: str
    settings: Mapping[str, str]
    version: str = sid.__version__

    @classmethod
    def of(cls, wanted: Params) -> About:
        """Of params.yaml. The time is the file's own: the same params and data give the same page, to the byte."""
        return cls(wanted.export.dataset, settings(wanted))


def settings(wanted: Params) -> dict[str, str]:
    """The keys that shaped an index: of methods, the chosen one's; of stages that do nothing, the key that says so."""
    parts: dict[str, BaseModel | Any] = {"published": wanted.published}
    if wanted.published != NOT_GIVEN:
        parts["release"] = wanted.release
    parts["embed"] = wanted.embed if wanted.embed.model != "none" else {"model": "none"}
    parts["prepare"] = wanted.prepare
    parts["interactions"] = wanted.interactions
    align = {key: value for key, value in wanted.align if not isinstance(value, BaseModel)}
    parts["align"] = align if wanted.align.method != "none" else {"method": "none"}
    parts[f"align.{wanted.align.method}"] = getattr(wanted.align, wanted.align.method)
    config = wanted.methods[wanted.quant.method]
    ignored = () if "layers" in type(config).model_fields else ("e_dim",)  # of codebooks with the input's dimension
    parts["quant"] = {key: value for key, value in wanted.quant if key not in ignored}
    parts[f"quant.{wanted.quant.method}"] = config
    if config.starts_from is not None:
        parts[f"quant.{config.starts_from}"] = wanted.methods[config.starts_from]
    parts["index"] = wanted.index
    parts["dedupe"] = wanted.dedupe
    parts["evaluate"] = wanted.evaluate if wanted.evaluate.method != "none" else {"method": "none"}
    return {key: text for name, part in parts.items() for key, text in _leaves(name, part)}


def _leaves(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        return [leaf for key, inside in value.items() for leaf in _leaves(f"{name}.{key}", inside)]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    """As params.yaml writes it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
