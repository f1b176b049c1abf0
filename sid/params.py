"""params.yaml -> frozen, typed sections. Unknown keys, wrong types and impossible values fail by name, all at once.

The sections every stage shares live here. A method's own section (`quant.rqkmeans`, ...) lives beside its `fit`
in `sid.quantizers` and is handed to `load` by `sid.quantizers.methods`, so that a new method adds no line here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from sid.arrays import MAX_LEVELS
from sid.errors import InputError
from sid.files import elsewhere, read_yaml

NOT_GIVEN = "data/none"
"""The path that means "no such input". DVC has no optional dependencies, so this small file is one."""

PUBLISHED = "published"
"""The one key of params.yaml that is in no section, so that it's short on a command line."""

_NAME = r"^[A-Za-z0-9_-]+$"
_PATTERNS = {_NAME: "must be letters (a to z), digits, - and _ only"}

Slack = Annotated[int, Field(ge=0, le=1 << 30)]
CodeSize = Annotated[int, Field(ge=2, le=1 << 20)]
PathText = Annotated[str, Field(min_length=1)]


def _is_encoding(name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError("must be an encoding that Python knows: utf-8, latin-1, windows-1252, gbk, ...") from None
    return name


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must not name anything twice")
    return values


Encoding = Annotated[str, AfterValidator(_is_encoding)]
Header = Annotated[tuple[PathText, ...], Field(strict=False), AfterValidator(_each_once)]


class Section(BaseModel):
    """A section of params.yaml: frozen, no unknown keys, no guessing between types, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    moved: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Keys that the section once had -> where to set it now, as the end of a sentence."""


class MethodConfig(Section):
    """The section of one quantization method, `quant.<method>`."""

    @property
    def starts_from(self) -> str | None:
        """The method that is fitted first, by its own section, and whose codebooks this one starts from."""
        return None

    def conflicts(self, quant: Quant) -> list[str]:
        """What in this section contradicts the keys that all methods share: one line each, keys named in full."""
        return []


class Embed(Section):
    """`embed`: whether and how texts become embeddings."""

    model: PathText
    template: PathText
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    max_tokens: Annotated[int, Field(ge=1, le=1 << 20)] | None
    normalize: bool
    device: Literal["auto", "cpu", "cuda"]


class Prepare(Section):
    """`prepare`: where embeddings and item metadata come from, and how rows are cleaned."""

    embeddings: PathText
    ids: PathText
    items: PathText
    items_header: Header
    items_encoding: Encoding
    item_id_column: PathText
    embedding_column: PathText
    title_column: PathText
    description_column: PathText
    brand_column: PathText
    categories_column: PathText
    html: Literal["keep", "clean"]
    unknown_items: Literal["error", "skip"]
    missing_metadata: Literal["error", "keep", "skip"]
    invalid_rows: Literal["zero", "drop", "error"]
    missing_vectors: Literal["auto", "zero", "drop", "error"]
    outliers: Literal["warn", "clip", "drop", "error"]
    normalize: Literal["none", "l2"]


class Interactions(Section):
    """`interactions`: what users did with the items, and how it is split."""

    source: PathText
    header: Header
    encoding: Encoding
    user_column: PathText
    item_column: PathText
    time_column: PathText | None
    value_column: PathText | None
    least_value: Annotated[float, Field(strict=False)] | None
    kinds: Annotated[tuple[str, ...], Field(strict=False)]
    unknown_items: Literal["error", "skip"]
    split: Literal["leave_one_out", "temporal"]
    ratios: Annotated[tuple[float, float, float], Field(strict=False)]

    @field_validator("item_column", "time_column")
    @classmethod
    def _another(cls, name: str | None, info: ValidationInfo) -> str | None:
        same = [key for key in ("user_column", "item_column") if info.data.get(key) == name]
        if name is not None and same:
            raise ValueError(f"must be a different column from interactions.{same[0]}")
        return name

    @field_validator("kinds")
    @classmethod
    def _of_values(cls, kinds: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if (kinds or info.data.get("least_value") is not None) and info.data.get("value_column", "") is None:
            raise ValueError("kinds and least_value need interactions.value_column")
        return kinds

    @field_validator("ratios", mode="before")
    @classmethod
    def _three(cls, ratios: object) -> object:
        if isinstance(ratios, list | tuple) and len(ratios) != 3:
            raise ValueError("must be three shares, for train, valid and test")
        return ratios

    @field_validator("ratios")
    @classmethod
    def _shares(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(ratios) < 0 or ratios[0] == 0 or not math.isclose(sum(ratios), 1.0, abs_tol=1e-6):
            raise ValueError("must be shares of train (above 0), valid and test that add up to 1")
        return ratios


class NoKeys(Section):
    """The section of something that has nothing to set."""


class Smooth(Section):
    """`align.smooth`: how far vectors move to the mean of those that are used with them."""

    alpha: Annotated[float, Field(ge=0, le=1)]
    evidence: Literal["auto"] | Annotated[float, Field(ge=0, le=1e9)]
    hops: Annotated[int, Field(ge=1, le=10)]
    popularity: Annotated[float, Field(ge=0, le=1)]
    whiten: Annotated[float, Field(ge=0, le=0.5)]


class Contrastive(Section):
    """`align.contrastive`: the adapter that learns to bring items together that are used together."""

    hidden: Annotated[int, Field(ge=1, le=65536)]
    pairs: Annotated[int, Field(ge=1, le=10**10)]
    batch_size: Annotated[int, Field(ge=2, le=1 << 16)]
    temperature: Annotated[float, Field(gt=0, le=100)]
    keep: Annotated[float, Field(ge=0, le=1e6)]
    lr: Annotated[float, Field(gt=0, le=1e3)]
    save_limit: Annotated[int, Field(ge=1, le=1000)]


class Fuse(Section):
    """`align.fuse`: behaviour vectors appended to those of the text."""

    alpha: Annotated[float, Field(ge=0, le=1)]
    whiten: Annotated[float, Field(ge=0, le=0.5)]
    share: Annotated[float, Field(ge=0, le=1)]
    dim: Annotated[int, Field(ge=1, le=4096)]


class Align(Section):
    """`align`: how user behaviour gets into the vectors before they are quantized."""

    method: Literal["none", "smooth", "contrastive", "fuse"]
    window: Annotated[int, Field(ge=1, le=100)]
    decay: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    behaviour: PathText
    none: NoKeys
    smooth: Smooth
    contrastive: Contrastive
    fuse: Fuse


class Quant(Section):
    """The keys of `quant` that all methods share."""

    method: str
    num_emb_list: Annotated[tuple[CodeSize, ...], Field(strict=False, min_length=1, max_length=MAX_LEVELS)]
    e_dim: Annotated[int, Field(ge=1, le=65536)]
    train_sample: Literal["auto"] | Annotated[int, Field(ge=2)] | None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    device: Literal["auto", "cpu", "cuda"]
    device_memory_gib: Annotated[float, Field(ge=0.25, le=10_000, strict=False)] | None

    @field_validator("train_sample")
    @classmethod
    def _holds_all_codes(cls, rows: int | str | None, info: ValidationInfo) -> int | str | None:
        largest = max(info.data.get("num_emb_list", (0,)))
        if isinstance(rows, int) and rows < largest:
            raise ValueError(f"must be at least {largest}, the largest of num_emb_list")
        return rows


class Engine(Section):
    """`engine`: what runs the passes over the rows. It changes no result.

    Attributes:
        address: of a running Ray cluster, `auto` for the one that this machine belongs to; None: one of the run's own.
    """

    name: Literal["local", "ray"]
    address: Annotated[str, Field(min_length=1)] | None


class Index(Section):
    """`index`: how the catalogue gets its raw codes."""

    assignment: Literal["auto", "nearest", "balanced"]
    slack: Slack | None


class Dedupe(Section):
    """`dedupe`: what happens to items that share a Semantic ID."""

    strategy: Literal["reassign", "sinkhorn", "append", "append_colliding", "none"]
    move: Literal["colliding", "any"]
    max_items_per_sid: Annotated[int, Field(ge=1, le=1 << 20)]
    keep: Literal["nearest", "popular"]
    sk_epsilon: Annotated[float, Field(gt=0, le=1000)]
    sk_iters: Annotated[int, Field(ge=1, le=10000)]
    max_suffix: Annotated[int, Field(ge=2, le=1 << 20)]


class Continue(Section):
    """`release`: how an index continues the published one that `published` names."""

    mode: Literal["append", "refresh"]
    retired: Literal["keep", "free"]
    warm_start: bool


class Evaluate(Section):
    """`evaluate`: how the stage measures whether a recommender can use the Semantic IDs."""

    method: Literal["transformer", "none"]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...], Field(strict=False, min_length=1)]
    controls: Annotated[tuple[Literal["random", "popularity", "co_occurrence", "sasrec"], ...], Field(strict=False)]
    max_history: Annotated[int, Field(ge=1, le=1024)]
    max_train_users: Annotated[int, Field(ge=2)] | None
    max_questions: Annotated[int, Field(ge=1)] | None
    sample_seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    width: Annotated[int, Field(ge=2, le=4096)]
    layers: Annotated[int, Field(ge=1, le=64)]
    heads: Annotated[int, Field(ge=1, le=256)]
    dropout_prob: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    lr: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=1 << 20)]
    eval_step: Annotated[int, Field(ge=1, le=100_000)]
    patience: Annotated[int, Field(ge=0, le=100_000)]
    beams: Annotated[int, Field(ge=1, le=1000)]
    processes: Annotated[int, Field(ge=1, le=1024)] | None
    device: Literal["auto", "cpu", "cuda"]

    @field_validator("seeds", "controls")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _each_once(values)

    @field_validator("heads")
    @classmethod
    def _divides(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("width")
        if width is not None and width % (2 * heads):
            raise ValueError(f"evaluate.width, {width}, must be a multiple of twice this")
        return heads


class Export(Section):
    """`export`: what the trainer's files are called and made from."""

    dataset: Annotated[str, Field(pattern=_NAME, max_length=100)]
    max_history: Annotated[int, Field(ge=1)] | None
    min_history: Annotated[int, Field(ge=1)]
    keep_longest_only: bool
    tasks: Annotated[tuple[str, ...], Field(strict=False)]
    formats: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    prompts: PathText
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]

    @field_validator("min_history")
    @classmethod
    def _possible(cls, min_history: int, info: ValidationInfo) -> int:
        longest = info.data.get("max_history")
        if longest is not None and min_history > longest:
            raise ValueError(f"must be at most max_history, which is {longest}")
        return min_history

    @field_validator("tasks", "formats")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(names)


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml, checked.

    Attributes:
        published: the release, or the table of Semantic IDs, that the index continues; `NOT_GIVEN` for none.
        methods: every method's own section by name, the chosen one (`quant.method`) among them.
    """

    embed: Embed
    published: str
    release: Continue
    prepare: Prepare
    interactions: Interactions
    align: Align
    engine: Engine
    quant: Quant
    methods: Mapping[str, MethodConfig]
    index: Index
    dedupe: Dedupe
    evaluate: Evaluate
    export: Export


def given(path: str) -> Path | None:
    """The path of an optional input, or None where params.yaml names `data/none`."""
    return None if Path(path) == Path(NOT_GIVEN) else Path(path)


FILES = (
    "prepare.embeddings",
    "prepare.ids",
    "prepare.items",
    "interactions.source",
    "align.behaviour",
    "export.prompts",
)
"""The keys that name files, apart from a release and what a method starts from."""


def missing_files(path: str | Path) -> list[str]:
    """A line for each file that a params.yaml names and that isn't there, whatever else is wrong with it."""
    raw = read_yaml(path)
    quant = raw.get("quant") if isinstance(raw.get("quant"), dict) else {}
    assert isinstance(quant, dict)
    chosen = quant.get(quant.get("method"), {}) if isinstance(quant.get("method"), str) else {}
    named = {key: _get(raw, *key.split(".")) for key in FILES}
    if isinstance(chosen, dict) and "warm_start_file" in chosen:
        named[f"quant.{quant['method']}.warm_start_file"] = chosen["warm_start_file"]
    named[PUBLISHED] = raw.get(PUBLISHED)
    return [
        f"{path}: {key} is {name!r}: no such file or folder{elsewhere(name)}"
        + ("" if key in ("prepare.embeddings", "export.prompts") else f" ({NOT_GIVEN} means none)")
        for key, name in named.items()
        if isinstance(name, str) and name and given(name) is not None and not Path(name).exists()
    ]


def warm_start_file(wanted: Params) -> Path | None:
    """The file of codebooks that the chosen method starts from; None where it names none."""
    config = wanted.methods[wanted.quant.method]
    return given(getattr(config, "warm_start_file", NOT_GIVEN))


def check_capacity(items: int, code_sizes: Sequence[int], max_items_per_sid: int = 1) -> None:
    """Raise InputError if the code sizes make too few Semantic IDs, at `max_items_per_sid` items each."""
    capacity = math.prod(code_sizes)
    if items > capacity * max_items_per_sid:
        each = f" of at most {max_items_per_sid} items (dedupe.max_items_per_sid)" if max_items_per_sid > 1 else ""
        raise InputError(
            f"params.yaml: quant.num_emb_list {list(code_sizes)} makes {capacity} Semantic IDs{each} for {items} items:"
            " use more or larger levels, a higher dedupe.max_items_per_sid or another dedupe.strategy"
        )


def refuse_too_many(items: int, wanted: Params) -> None:
    """Raise InputError where `dedupe.strategy: reassign` will not find a place for every item."""
    if wanted.dedupe.strategy == "reassign":
        check_capacity(items, wanted.quant.num_emb_list, wanted.dedupe.max_items_per_sid)


def refuse_few_suffixes(largest_group: Callable[[], int], wanted: Params) -> None:
    """Raise InputError where as many items with equal vectors need more codes of the last level than there may be.

    Args:
        largest_group: counts them, which takes a pass over all vectors; called where the strategy appends codes.
    """
    if wanted.dedupe.strategy not in ("append", "append_colliding"):
        return
    if (equal := largest_group()) > wanted.dedupe.max_suffix:
        raise InputError(
            f"params.yaml: dedupe.max_suffix is {wanted.dedupe.max_suffix}, but {equal} items have equal vectors: must "
            f"be at least {equal}, since no quantizer can distinguish them (reports/prepare.json lists them)"
        )


def load(
    path: str | Path,
    method_configs: Mapping[str, type[MethodConfig]],
    choices: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Params:
    """Read and check params.yaml as a whole.

    Args:
        path: the YAML file.
        method_configs: the section type of every method there is, by name.
        choices: key -> the names that it may have, for keys whose names are the lines of a table
            (`sid.export.formats.CHOICES`); those of keys that aren't here are not checked.

    Raises:
        InputError: one line per problem: unknown or missing key, wrong type, value out of range, lists whose
            lengths contradict each other.
    """
    raw = read_yaml(path)
    problems: list[str] = []
    top: dict[str, type[Section]] = {
        "embed": Embed,
        "prepare": Prepare,
        "interactions": Interactions,
        "align": Align,
        "engine": Engine,
        "quant": Quant,
        "index": Index,
        "dedupe": Dedupe,
        "evaluate": Evaluate,
        "export": Export,
        "release": Continue,
    }
    unknown, meant = _unknown("", raw, [*top, PUBLISHED])
    problems += unknown
    published = raw.pop(PUBLISHED, None)
    if (not isinstance(published, str) or not published) and PUBLISHED not in meant:
        problems.append(
            f"{PUBLISHED} is {_show(published)}: must be the folder of a release, a table of Semantic IDs, or "
            f"{NOT_GIVEN}"
        )
    parts: dict[str, Section | None] = {}
    configs: dict[str, MethodConfig] = {}
    for name, kind in top.items():
        section = raw.get(name)
        if not isinstance(section, dict):
            if name not in meant:
                problems.append(_no_section(name, name in raw, section, kind))
            continue
        if name == "quant":
            configs = _methods(section, method_configs, problems)
            section = {key: value for key, value in section.items() if key not in method_configs}
        parts[name] = _section(name, section, kind, problems, also=method_configs if name == "quant" else ())
    problems += _unusable(raw, {"quant.method": method_configs, **choices})
    quant = parts.get("quant")
    if isinstance(quant, Quant):
        problems += conflicts(quant, configs)
    dedupe = parts.get("dedupe")
    if isinstance(quant, Quant) and isinstance(dedupe, Dedupe):
        problems += _one_level_too_many(quant, dedupe)
    interactions = parts.get("interactions")
    if isinstance(dedupe, Dedupe) and isinstance(interactions, Interactions):
        problems += _nothing_to_count(dedupe, interactions)
    if problems:
        raise InputError(f"{path}: {problem}" for problem in problems)
    return Params(published=published, methods=MappingProxyType(configs), **parts)  # type: ignore[arg-type]


def conflicts(quant: Quant, configs: Mapping[str, MethodConfig]) -> list[str]:
    """What the sections of the chosen method, and of the one it starts from, contradict in the keys that all share."""
    config = configs.get(quant.method)
    if config is None:
        return []
    first = config.starts_from
    before = [] if first is None else conflicts(quant.model_copy(update={"method": first}), configs)
    return [*config.conflicts(quant), *before]


def _one_level_too_many(quant: Quant, dedupe: Dedupe) -> list[str]:
    if dedupe.strategy not in ("append", "append_colliding") or len(quant.num_emb_list) < MAX_LEVELS:
        return []
    return [
        f"dedupe.strategy is {dedupe.strategy!r}, which adds a level to the {MAX_LEVELS} of quant.num_emb_list: "
        f"there can be at most {MAX_LEVELS}"
    ]


def _nothing_to_count(dedupe: Dedupe, interactions: Interactions) -> list[str]:
    if dedupe.keep != "popular" or given(interactions.source) is not None:
        return []
    return [f"dedupe.keep is 'popular', which needs interactions, but interactions.source is {NOT_GIVEN!r}"]


def _methods(
    quant: dict[str, Any], method_configs: Mapping[str, type[MethodConfig]], problems: list[str]
) -> dict[str, MethodConfig]:
    configs: dict[str, MethodConfig] = {}
    meant = _unknown("quant.", quant, [*Quant.model_fields, *method_configs])[1]
    for name, kind in method_configs.items():
        section = quant.get(name)
        if not isinstance(section, dict):
            if name not in meant:
                problems.append(_no_section(f"quant.{name}", name in quant, section, kind))
            continue
        config = _section(f"quant.{name}", section, kind, problems)
        if config is not None:
            assert isinstance(config, MethodConfig)
            configs[name] = config
    return configs


def _section(
    prefix: str, section: dict[str, Any], kind: type[Section], problems: list[str], also: Any = ()
) -> Section | None:
    unknown, meant = _unknown(prefix + ".", section, [*kind.model_fields, *also], kind.moved)
    problems += unknown
    known = {key: value for key, value in section.items() if key in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # a list whose entries are wrong counts as too short as well, which it need not be
        faulty = {detail["loc"][:-1] for detail in details}
        problems += [
            _problem(prefix, detail)
            for detail in details
            if detail["loc"] not in faulty
            and not (detail["type"] == "missing" and detail["loc"] in _meant(details, meant))
        ]
        return None


def _no_section(key: str, given: bool, value: Any, kind: type[Section]) -> str:
    state = f"is {_show(value)}" if given else "is missing"
    return f"{key} {state}: must be a section of keys ({', '.join(kind.model_fields)})"


def _unusable(raw: dict[str, Any], choices: Mapping[str, Collection[str]]) -> list[str]:
    """Values of the right type that name nothing that can be used."""
    problems = []
    for key, names in choices.items():
        value = _get(raw, *key.split("."))
        entries = {f"{key}[{place}]": name for place, name in enumerate(value)} if isinstance(value, list) else {}
        problems += [
            f"{place} is {name!r}: must be one of {', '.join(names)}"
            for place, name in (entries or {key: value}).items()
            if isinstance(name, str) and name not in names
        ]
    for section, key in (("prepare", "embeddings"), ("export", "prompts")):
        if _get(raw, section, key) == NOT_GIVEN:
            problems.append(f"{section}.{key} is {NOT_GIVEN!r}: must name a file, since this input is not optional")
    return problems


def _get(raw: dict[str, Any], section: str, key: str) -> Any:
    found = raw.get(section)
    return found.get(key) if isinstance(found, dict) else None


def _unknown(
    prefix: str, section: dict[str, Any], known: Any, moved: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[str], set[str]]:
    """A line for each unknown key, and the keys that are missing because they are misspelled: one mistake, one line."""
    problems: list[str] = []
    meant: set[str] = set()
    for key in map(str, section):
        if key in moved:
            problems.append(f"{prefix}{key} is no longer a key: {moved[key]}")
        elif key not in known:
            close = difflib.get_close_matches(key, list(known), n=1)
            meant.update(name for name in close if name not in section)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known keys here: {', '.join(known)}"
            problems.append(f"{prefix}{key} is an unknown key; {hint}")
    return problems, meant


def _meant(details: Sequence[Any], meant: Collection[str]) -> set[tuple[Any, ...]]:
    """Where keys are missing that are misspelled, in a section and in the sections within it."""
    places: set[tuple[Any, ...]] = {(name,) for name in meant}
    missing = [detail["loc"] for detail in details if detail["type"] == "missing"]
    for detail in details:
        if detail["type"] == "extra_forbidden":
            beside = {str(loc[-1]): loc for loc in missing if loc[:-1] == detail["loc"][:-1]}
            close = difflib.get_close_matches(str(detail["loc"][-1]), list(beside), n=1)
            places.update(beside[name] for name in close)
    return places


def _problem(prefix: str, detail: Any) -> str:
    """pydantic's account of one fault as one line: key, what it is, what it must be."""
    key = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{key} is missing: give it a value"
    if detail["type"] == "extra_forbidden":  # in a section within a section
        return f"{key} is an unknown key"
    limits = detail.get("ctx", {})
    if detail["type"] == "string_pattern_mismatch":
        rule = _PATTERNS[limits["pattern"]]
    elif detail["type"] == "too_short":
        rule = f"must have at least {limits['min_length']} entries"
    elif detail["type"] == "too_long":
        rule = f"must have at most {limits['max_length']} entries"
    elif detail["type"] == "string_too_long":
        rule = f"must have at most {limits['max_length']} characters"
    elif detail["type"] == "string_too_short":
        rule = "must not be empty text"
    else:
        rule = (
            detail["msg"]
            .removeprefix("Value error, ")
            .replace("Input should be", "must be")
            .replace("valid tuple", "list")
        )
        rule = rule[0].lower() + rule[1:]
    return f"{key} is {_show(detail['input'])}: {rule}"


def _show(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(list(value)) if isinstance(value, tuple) else repr(value)
