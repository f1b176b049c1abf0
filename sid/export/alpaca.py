"""Alpaca records for LLaMA-Factory, the dataset_info.json that names their columns, and what adds the tokens.

Source: data/README.md of hiyouga/LLaMA-Factory.
"""

from __future__ import annotations

from pathlib import Path

from sid.export.jsonfiles import RecordFiles
from sid.export.records import Record
from sid.export.source import Format, Source
from sid.files import write_json
from sid.ids import vocabulary

_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}

_SETTINGS = """\
# Copy these lines into the YAML that llamafactory-cli train gets: without them Semantic IDs are cut into pieces.
add_tokens: "{tokens}"
resize_vocab: true
skip_special_tokens: false
"""


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
        self._settings, self._tokens = folder / "llamafactory.yaml", vocabulary(source.sids.code_sizes)

    def close(self) -> None:
        super().close()
        entries = {
            f"{self._dataset}_{split}": {"file_name": name, "formatting": "alpaca", "columns": _COLUMNS}
            for split, name in self.names().items()
        }
        write_json(self._info, entries)
        self._settings.write_text(_SETTINGS.format(tokens=",".join(self._tokens)), encoding="utf-8")


FORMAT = Format(open=_Alpaca)
