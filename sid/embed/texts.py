"""What of an item a model reads: a template over the fields of the metadata."""

from __future__ import annotations

from string import Formatter

import polars as pl

from sid.errors import InputError


def texts(items: pl.DataFrame, template: str) -> pl.Series:
    """Each item's text: (N,), null where it has none of the template's fields.

    Args:
        items: metadata as `sid.catalogue.metadata` reads it, all text.
        template: text with fields in braces, e.g. '{title}. {description}'. What an item lacks is empty, and blanks are
            made single.

    Raises:
        InputError: a field that the items don't have, or a template that isn't one.
    """
    names = _fields(template)
    unknown = [name for name in names if name not in items.columns]
    if unknown:
        raise InputError(
            f"embed.template has the field {', '.join(unknown)}, must have some of {', '.join(items.columns)}"
        )
    chosen = items.select(names).with_columns(pl.all().fill_null("").str.strip_chars())
    found = [
        " ".join(template.format(**row).split()) if any(row.values()) else None for row in chosen.iter_rows(named=True)
    ]
    return pl.Series("text", found, pl.String)


def _fields(template: str) -> list[str]:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"embed.template is {template!r}: {error}; write a brace as two") from None
    fields = [(name, form or conversion) for _, name, form, conversion in parts if name is not None]
    if any(extra or not name.isidentifier() for name, extra in fields):
        raise InputError(f"embed.template is {template!r}: fields must be plain names like {{title}}")
    names = list(dict.fromkeys(name for name, _ in fields))
    if not names:
        raise InputError(f"embed.template is {template!r}: must have a field like {{title}}")
    return names
