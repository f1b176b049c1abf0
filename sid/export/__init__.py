"""Files that trainers read, one module for each format; `write_all` makes them all."""

from sid.export.write import write_all

__all__ = ["write_all"]
