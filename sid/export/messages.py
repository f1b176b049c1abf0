"""Chats of system, user and assistant, for TRL's SFTTrainer and others that apply a chat template.

Source: docs/source/dataset_formats.md of huggingface/trl.
"""

from __future__ import annotations

from typing import Any

from sid.export.jsonfiles import RecordFiles
from sid.export.records import Record
from sid.export.source import Format


def _view(record: Record) -> dict[str, Any]:
    turns = (("system", record.system), ("user", record.question), ("assistant", record.output))
    return {
        "messages": [{"role": role, "content": content} for role, content in turns if content or role != "system"],
        "task": record.task,
        "user_id": record.user_id,
        "item_id": record.item_id,
    }


FORMAT = Format(open=lambda folder, source: RecordFiles(folder, ".jsonl", _view))
