"""Says which rows of a few-shot checkpoint's offset were learned, and which caption they fit.

Only the tokens of the caption that it was trained with get a gradient, so the rows that are not 0 are as many as they.
PartSLIP's training joins names by ". " and ends with the last; its inference joins by " . " and adds one. So the rows tell
which of the two a checkpoint was trained with, and how many pieces its names had.
"""

import pathlib

import torch

import checkpoint
import offset
from checkpoint import Refused
from vocabulary import Tokenizer


def read(path: pathlib.Path) -> torch.Tensor:
    state = checkpoint.read(path)
    table = state.get(offset.KEY, state.get("text_offset"))
    if table is None:
        raise Refused(f"{path}: there is no offset ({offset.KEY})")
    if table.ndim != 2 or not table.isfinite().all():
        raise Refused(f"{path}: its offset {list(table.shape)} is no table of finite numbers")
    return table.float()


def explain(table: torch.Tensor, parts: list[str], vocabulary: pathlib.Path) -> str:
    """Words about `table` `[rows, D]` and the captions of `parts`."""
    try:
        tokenizer = Tokenizer(vocabulary.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, KeyError) as e:
        raise Refused(f"{vocabulary}: not the vocab.txt of bert-base-uncased: {e!r}") from None
    ids, spans = tokenizer.caption([part.strip() for part in parts])
    words = {number: token for token, number in tokenizer.ids.items()}
    inference = [words[i] for i in ids]
    training = inference[:-2] + inference[-1:]
    learned = table.ne(0).any(1).nonzero()[:, 0].tolist()
    count = len(learned)
    lines = [f"{count} of {len(table)} rows are not 0" + (f": {span(learned)}" if learned else "")]
    for name, caption in (("training", training), ("inference", inference)):
        fits = learned == list(range(len(caption)))
        lines.append(f"PartSLIP's caption of {name} has {len(caption)} tokens, {' '.join(caption)}: "
                     f"{'these are its rows' if fits else 'not its rows'}")
    if learned not in (list(range(len(training))), list(range(len(inference)))):
        lines.append("The names, their order or their pieces were others when it was learned"
                     if learned == list(range(count)) else "The rows have gaps: this was not learned by one caption alone")
    return "\n".join(lines)


def span(learned: list[int]) -> str:
    return f"{learned[0]} to {learned[-1]}" if learned == list(range(learned[0], learned[-1] + 1)) else ", ".join(map(str, learned))
