"""One reader for all tables: columns by name, in batches, and no row lost silently.

`open_table` finds out what a path names (a file or a folder of shards; CSV, TSV, JSON, JSONL, Parquet, Arrow, RecBole's
atomic files; compressed or not). It reads only the columns that are asked for. Whatever it can't read is refused with
its file and line.
"""

from sid.tables.batches import Batch, Column
from sid.tables.ids import alike, as_text, differences
from sid.tables.table import Table, changed, open_table

__all__ = ["Batch", "Column", "Table", "alike", "as_text", "changed", "differences", "open_table"]
