"""Alpaca records for LLaMA-Factory, and the dataset_info.json that names their columns to it.

Source: data/README.md of hiyouga/LLaMA-Factory.
"""

from __future__ import annotations

from pathlib import Path

from sid.export.jsonfiles import RecordFiles
from sid.export.records import Record
from sid.export.source import Format, Source
from sid.files import write_json

_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}


def _view(record: Record) -> dict[str, str]:
    return {
        "instruction": record.instruction,
        "input": record.input,
        "output": record.output,
        "system": record.system,
        "task": record.task,
        "user_id": record.user_id,
        "item_id": record.item_id,
    }


class _Alpaca(RecordFiles):
    def __init__(self, folder: Path, source: Source) -> None:
        super().__init__(folder, ".json", _view)
        self._info, self._dataset = folder / "dataset_info.json", source.dataset

    def close(self) -> None:
        super().close()
        entries = {
            f"{self._dataset}_{split}": {"file_name": name, "formatting": "alpaca", "columns": _COLUMNS}
            for split, name in self.names().items()
        }
        write_json(self._info, entries)


FORMAT = Format(open=_Alpaca)
