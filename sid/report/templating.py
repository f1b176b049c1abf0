"""The template engine of the pages."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Jinja2 over this package's templates: everything is escaped, and a name that isn't there is an error."""
    return Environment(
        loader=PackageLoader("sid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
