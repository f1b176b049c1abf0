"""Prompts and completions as texts, for TRL's SFTTrainer, which then counts the loss on the completion alone.

Texts rather than lists of messages: they need no chat template, so that base models train on them as they are; the
trainer ends each completion with the tokenizer's eos_token, on which constrained decoding ends too. Whoever wants a
template has `messages`. Source: docs/source/dataset_formats.md and trainer/sft_trainer.py of huggingface/trl.
"""

from __future__ import annotations

from sid.export.jsonfiles import RecordFiles
from sid.export.records import Record
from sid.export.source import Format


def _view(record: Record) -> dict[str, str]:
    return {
        # a line break ends the prompt: tokens never reach over it into the completion
        "prompt": "\n".join(filter(None, (record.system, record.question))) + "\n",
        "completion": record.output,
        "task": record.task,
        "user_id": record.user_id,
        "item_id": record.item_id,
    }


FORMAT = Format(open=lambda folder, source: RecordFiles(folder, ".jsonl", _view))
