"""The models that ship: exported from their training runs, scored on test songs, and told in models/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.model.evaluation import table
from bridge.model.exporting import export
from bridge.model.registry import list_models
from bridge.paths import models_folder

LICENCE = "CC BY 4.0 (the weights; every source allows it); what they play is yours"
_CREDITS = """\
- **Groove MIDI Dataset** v1.0.0, CC BY 4.0: Jon Gillick, Adam Roberts, Jesse Engel, Douglas Eck, David Bamman,
  "Learning to Groove with Inverse Sequence Transformations", ICML 2019.
- **EasyRPG RTP**, CC BY 4.0: Maoudamashii, morusque, Junichi Inoue, Juan Manuel Nigretti; CC0: northivanastan,
  Someoneman.
- **Freedoom** and its earlier tracks, BSD 3-clause: copyright the contributors to the Freedoom project. Redistribution
  and use in source and binary forms, with or without modification, are permitted provided that the copyright notice,
  the conditions and the disclaimer of the licence are retained; provided "as is", without warranty of any kind.
- **OpenEWLD** (MIT) and **drum-machine-patterns** by montoyamoraga (MIT): their copyright and permission notices apply;
  provided "as is", without warranty of any kind.
- **OpenScore Lieder** and **OpenScore String Quartets**, CC0, with thanks to their transcribers.
- Ryan's Mammoth Collection, O'Neill's Music of Ireland and Aird's Airs, public domain, as transcribed in the
  **music21** corpus.
- The **Open Hymnal** Project, public domain.
"""


def release(
    names: Sequence[str], data_paths: Sequence[Path], *, models_dir: Path | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Export the named models from models/.training/NAME, and write the page about all that are there.

    Returns the cards of the exported models.

    Raises:
        ModelFileError: a run that has left no weights.
    """
    models = models_dir or models_folder()
    cards = [
        export(
            name, models / ".training" / name, data_paths,
            models_dir=models, cache=models / ".cache", seed=seed, card={"licence": LICENCE},
        )
        for name in names
    ]  # fmt: skip
    (models / "README.md").write_text(page(list_models(models)), encoding="utf-8")
    return cards


def page(cards: Sequence[Mapping[str, Any]]) -> str:
    """models/README.md: what the models are, how good they are on songs they never saw, and whom to thank."""
    rows = [dict(card["scores"]) for card in cards]
    runs = "\n".join(
        f"| {card['name']} | {card['parameters']:,} | {card['latent_size']} | {card['trained_on']} "
        f"| {card['minutes']:.0f} | {card['steps']:,} | {card['windows_seen']:,} | {card['prior']['components']} "
        f"| {card['prior'].get('following_gain_nats', 0.0):.1f} nats |"
        for card in cards
    )
    by_source = "\n".join(
        f"- {card['name']}: "
        + ", ".join(f"{source} {value:.2f}" for source, value in card["scores"]["note_f1_by_source"].items())
        for card in cards
    )
    data = "\n".join(f"- {line}" for line in sorted({line for card in cards for line in card["data"]}))
    return f"""\
# The models

One folder a model: `weights.safetensors` (fp16, with the fitted prior) and `card.json` (what it is, how it was trained,
what it scored, the hash of its weights). This page is written by `bridge/model/release.py` from the cards.

| model | parameters | latent | trained on | minutes | steps | windows seen | prior components | following gain |
|---|---|---|---|---|---|---|---|---|
{runs}

*Following gain*: how many nats a window the distribution of what comes next is better than the same kind of
distribution without a memory, on validation songs.

## On songs they never saw

Test songs are 5 % of all songs, by hash of their name; songs that share 30 % of their windows count as one, and every
distinct window belongs to one song only. z is sampled from the posterior, temperature 1, seed 0. "No event" counts as a
token. *forced*: argmax given the true past. *sampled*: the token played, given what was played. *argmax*: the likeliest
token under that same past. *shuffled z*: played from another window's z. *chance*: always the commonest token. Note F1:
right pitch (or drum class) on the right step, averaged over sources.

{table(rows)}

Note F1 by source:

{by_source}

## Data

{data}

## Credits

The weights may be used, changed and shared under CC BY 4.0 with these credits:

{_CREDITS}"""
