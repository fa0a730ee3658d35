"""models/README.md: what the models are, what they score and show, and whom to thank; made from cards and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.model.evaluation.evaluate import table
from bridge.model.playing.candidates import CANDIDATES
from bridge.model.playing.drawing import DRAWS_ALONE
from bridge.model.reporting import report_tables as tables
from bridge.model.reporting.showcase import CONTINUATIONS, MORPHS, SAMPLES

Figures = Mapping[str, Mapping[str, Any]]
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


def page(cards: Sequence[Mapping[str, Any]], figures: Figures, left_out: Figures) -> str:
    """The page. By model, for those that have been measured: the `figures`, and what was scored on a collection that
    was `left_out` of a training.
    """
    parts = [_HEAD, _models(cards), _scores(cards), _comparisons(cards), _left_out(cards, left_out)]
    if figures:
        parts += [_realism(figures), _smoothness(figures), _attributes(figures), _continuation(figures)]
    parts += [_shown(cards), _runs(cards), _sources(cards)]
    return "\n".join(part for part in parts if part)


_HEAD = """\
# The models

One folder a model: `weights.safetensors` (with the fitted prior), `card.json` (what it is, how it was trained, what it
scored, the hash of its weights) and `figures.json` (what else was measured of those weights). This page and its
pictures are written from them by one command, which measures anew what has changed:

    python3 run_bridge.py models --report --data SONGS     (folders or .zips of MIDI files)
"""


def _models(cards: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            card["name"], f"{card['parameters']:,}", card["latent_size"], card["trained_on"], f"{card['minutes']:.0f}",
            f"{card['steps']:,}", f"{card['windows_seen']:,}", _gain(card["prior"]),
        ]
        for card in cards
    ]  # fmt: skip
    head = ("model", "parameters", "latent", "trained on", "minutes", "steps", "windows seen", "context gain")
    return f"""\
{tables.markdown(head, rows)}

*Context gain*: how many nats a window the prior of what comes next is better when it is told of up to four windows
before it than the same prior when it is told of none, on validation songs (which also said when its fit was best; on
test songs: see *What follows* below).
"""


def _gain(prior: Mapping[str, Any]) -> str | None:
    gain = prior.get("context_gain_nats")
    return None if gain is None else f"{gain:.1f} nats"


def _scores(cards: Sequence[Mapping[str, Any]]) -> str:
    by_source = []
    for card in cards:
        for part, found in (card["scores"].get("parts") or {"": card["scores"]}).items():
            listed = ", ".join(f"{source} {value:.2f}" for source, value in found["note_f1_by_source"].items())
            by_source.append(f"- {card['name']} {part}".rstrip() + f": {listed}")
    return f"""\
## On songs they never saw

Test songs are 5 % of all songs, by hash of their name; songs that share 30 % of their windows count as one, and every
distinct window belongs to one song only. z is sampled from the posterior, temperature 1, seed 0. Note F1: right pitch
(or drum class) on the right step, averaged over sources; beside it the same with another window's z. Then the share of
steps that are right, "no event" counted. *sampled*: the token played, given what was played. *argmax*: the likeliest
token under that same past. *forced*: argmax given the true past. *shuffled z*: played from another window's z, beside
which stands that *other window* itself: windows of drums have much in common. *chance*: always the commonest token.
*rate*: how much of a window z tells.

{table([dict(card["scores"]) for card in cards])}

Note F1 by source:

{chr(10).join(by_source)}

Beside the paper (Roberts et al. 2018, on its own data: 1.5 million files; its code scores the argmax of the logits
under the sampled past, which is our *argmax*):

{tables.beside_the_paper(cards)}
"""


def _comparisons(cards: Sequence[Mapping[str, Any]]) -> str:
    flat = {card["name"]: card["scores"]["flat_baseline"] for card in cards if "flat_baseline" in card["scores"]}
    if not flat:
        return ""
    how = "\n".join(f"- {name}: {found['protocol']}." for name, found in flat.items())
    return f"""\
## Hierarchical beside flat

{how}

Step accuracy on test songs, T = 1; the interval is a bootstrap over songs, seed 0.

{tables.flat(flat)}
"""


def _left_out(cards: Sequence[Mapping[str, Any]], left_out: Figures) -> str:
    if not left_out:
        return ""
    return f"""\
## A whole collection left out

Trained anew without one collection, from nothing, and scored on all of it (at most 4000 windows, seed 0); beside it the
shipped model, which learnt from nine tenths of that collection, on its test songs.

{tables.left_out(left_out, {card["name"]: card for card in cards})}
"""


def _realism(figures: Figures) -> str:
    return f"""\
## Realism

Samples of the prior beside test songs, both drawn by the same diet (fills, which are no loops, apart); seed 0. Lines
are drawn in one key, that of C, and come out in one of those that training songs are in, as often as they are. With
nothing before, the 2-bar models' flow makes {DRAWS_ALONE} draws, of which one is taken by the odds that a critic gives
it to be music rather than such a draw; their lines are played at {CANDIDATES} such points, and one is taken by the odds
that a judge, which has read what is played, gives it (in the bridge the `surprise` knob takes it). A draw of two
bars of drums goes to where what is played at it is read (in the bridge, where four are candidates, it does not). Models
of sixteen bars have exemplars, points kept with their weights. Those of `melody-16bar` are points of training windows,
and a draw lies near one of them on the way to another. Those of drums and trios were made, and a draw is one of them:
half-way between two training windows something was played, and where that is read is one, if it shares no longer runs
of notes with training songs than 96 % of validation windows do and, in trios, every part plays as much as in 96 % of
them. Sixteen new bars have the form of a training window: some come back, note for note. How wide the draws are, how
near, how often read and how much the odds count was set with these figures in view.
*n-gram cost*: nats a window under a 5-gram (interpolated Kneser-Ney over steps, lines by intervals) fitted on training
songs.
*AUC*: how well a logistic regression on some features of a window (52, drums 90) tells samples from songs,
cross-validated, songs kept together; 0.5 is not at all; beside it how well it tells songs that were trained on from
them. *Bars that come back*: of all but the first, and those with nothing in them, the share that has a note F1 of .9
with one before them in the window. *Longest shared run*: notes in a row, as (interval, duration), that a window shares
with any training song (drums: hits and the steps between them). *Key share*: notes within the window's best diatonic
set. Rows whose T is *songs* are of validation songs, measured as samples are: so far songs are from songs, which for
the few trios is far.

{tables.realism(figures)}
"""


def _smoothness(figures: Figures) -> str:
    return f"""\
## Between loops

The morph knob between unrelated test loops, in nine places; naive mixing takes each step from one loop or the other by
chance. In the paper the cost at the middle is .99 of the ends' (hierarchical), 1.075 (flat), 1.30 (mixed).

{tables.interpolation(figures)}

![distance to A and n-gram cost along the way](pictures/interpolation.png)

The knob turned by 2 % at a time:

{tables.small_moves(figures)}
"""


_KNOBS = """\
## Attribute knobs

Each knob in nine places on samples of the prior. *Up*, *down*: of the loops that are not at that end of the range
already, those in which the end of the knob moves the attribute so; *both ways*: of those at neither end. *Side effect*:
the largest change of another attribute over the knob's own, in standard deviations of test songs. Below each table the
whole matrix: what happens to every attribute from one end of the knob to the other, in SD. A trio's knobs turn every
part that has the attribute, and each part is measured by itself.
"""


def _attributes(figures: Figures) -> str:
    text = [_KNOBS]
    for name, found in figures.items():
        turned = found.get("attributes", {})
        for part, own in ({"": turned} if "knobs" in turned else turned).items():
            whose = f"{name} {part}".strip()
            text.append(f"**{whose}**, {own['loops']} loops\n\n{tables.knobs(own)}\n\n{tables.matrix(own)}\n")
    return "\n".join(text)


def _continuation(figures: Figures) -> str:
    measured = {name: found["continuation"] for name, found in figures.items() if found.get("continuation")}
    if not measured:
        return ""
    keys = list(dict.fromkeys(key for found in measured.values() for key in found if _plain(found[key])))
    rows = [[key.replace("_", " "), *(found.get(key) for found in measured.values())] for key in keys]
    return f"""\
## What follows

Test songs: what the model says and plays after the windows before (up to four). *pattern kept*: how often each place in
the bar is struck (drums by class) beside the last window before, as a cosine; *truth*: the same of what really came
next; *of others*: beside a window that another one came after.

{tables.markdown(("", *measured), rows)}
"""


def _plain(value: object) -> bool:
    return isinstance(value, int | float | str)


def _shown(cards: Sequence[Mapping[str, Any]]) -> str:
    sheets = "\n\n".join(
        f"### {card['name']}\n\n![piano rolls of {card['name']}](pictures/{card['name']}.png)" for card in cards
    )
    return f"""\
## Looked at and listened to

{SAMPLES} samples, {MORPHS} morphs and {CONTINUATIONS} continuations of each model, at the temperatures voices have by
default. Nobody chose them: they are of the seeds 1 to {SAMPLES} and 1 to {MORPHS}, and
`sample MODEL --count 1 --seed 3` plays sample 3. Morphs lead from one sample to the next (seeds 1 to 2, 3 to 4 …);
continuations go on after the line.
To hear all of them (WAV and MIDI, some minutes of music a model):

    python3 run_bridge.py models --wav listen

{sheets}
"""


def _runs(cards: Sequence[Mapping[str, Any]]) -> str:
    told = [card for card in cards if card.get("curves")]
    if not told:
        return ""
    text = ["## How they were trained\n"]
    for card in told:
        made = f"{card['made']}\n\n" if card.get("made") else ""
        picture = f"![curves of {card['name']}](pictures/{card['name']}-run.png)"
        text.append(f"### {card['name']}\n\n{made}{picture}\n\n{tables.run_table(card['curves'])}\n")
    return "\n".join(text)


def _sources(cards: Sequence[Mapping[str, Any]]) -> str:
    data = "\n".join(f"- {line}" for line in sorted({line for card in cards for line in card["data"]}))
    return f"""\
## Data

{data}

## Credits

The weights may be used, changed and shared under CC BY 4.0 with these credits:

{_CREDITS}"""
