"""The patch: which objects there are, how they are wired, and Live's parameters, as Max's JSON."""

from __future__ import annotations

import itertools
from typing import Any, Final

from device.container import DATE, MIDI_EFFECT
from device.controls import BANKS, CONTROLS, HEIGHT, LABELS, STATUS_RECT, WIDTH, Control

_PORTS: Final[dict[str, tuple[int, list[str]]]] = {  # inlets, types of the outlets
    "live.dial": (1, ["", "float"]),
    "live.numbox": (1, ["", "float"]),
    "live.menu": (1, ["", "", "float"]),
    "live.tab": (1, ["", "", "float"]),
    "live.text": (1, ["", ""]),
    "live.comment": (1, []),
    "message": (2, [""]),
    "midiin": (1, ["int"]),
    "midiout": (1, []),
    "midiflush": (1, ["int"]),
    "midiformat": (7, ["int", ""]),
    "makenote": (3, ["float", "float"]),
    "live.thisdevice": (1, ["bang", "int", "int"]),
    "js": (1, ["", "", "", ""]),
    "udpsend": (1, []),
    "udpreceive": (1, [""]),
    "transport": (2, ["int", "int", "float", "float", "float", "", "int", "float", ""]),
    "cpuclock": (1, ["float"]),
    "metro": (2, ["bang"]),
    "delay": (2, ["bang"]),
    "deferlow": (1, [""]),
    "prepend": (1, [""]),
}
_METRO_MS: Final = 25


class Patch:
    """Boxes and cords in the making; ids are given in order, so the same description gives the same patch."""

    def __init__(self) -> None:
        self.boxes: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.words: dict[str, tuple[str, int]] = {}  # where the script's words to the patch come out: box and outlet

    def add(self, text: str, **more: Any) -> str:
        """An object by its text, placed below the one before; its id."""
        inlets, outlets = _arity(text)
        return self._box("newobj", inlets, outlets, text=text, **more)

    def message(self, text: str) -> str:
        """A message box; its id."""
        return self._box("message", *_PORTS["message"], text=text)

    def widget(self, maxclass: str, **more: Any) -> str:
        """An object with a face; its id."""
        return self._box(maxclass, *_PORTS[maxclass], **more)

    def _box(self, maxclass: str, inlets: int, outlets: list[str], **more: Any) -> str:
        number = len(self.boxes) + 1
        column, row = divmod(number - 1, 24)
        box: dict[str, Any] = {
            "id": f"obj-{number}",
            "maxclass": maxclass,
            "numinlets": inlets,
            "numoutlets": len(outlets),
        }
        if outlets:
            box["outlettype"] = outlets
        box["patching_rect"] = [20 + column * 180, 20 + row * 30, 160, 22]
        box.update(more)
        self.boxes.append({"box": box})
        return f"obj-{number}"

    def wire(self, source: str, outlet: int, destination: str, inlet: int = 0) -> None:
        """A cord."""
        self.lines.append({"patchline": {"source": [source, outlet], "destination": [destination, inlet]}})

    def chain(self, *ids: str) -> None:
        """Cords from each to the next, first outlet to first inlet."""
        for source, destination in itertools.pairwise(ids):
            self.wire(source, 0, destination)


def _arity(text: str) -> tuple[int, list[str]]:
    name, *arguments = [word for word in text.split() if not word.startswith("@")]
    if name == "t":
        return 1, [{"b": "bang", "f": "float"}[word] for word in arguments]
    if name == "pack":
        return len(arguments), [""]
    if name == "unpack":
        return 1, ["int"] * len(arguments)
    if name == "route":
        return len(arguments) + 1, [""] * (len(arguments) + 1)
    if name == "pipe":
        return len(arguments), [""] * (len(arguments) - 1)
    return _PORTS[name]


def patcher(script: str) -> dict[str, Any]:
    """The whole device as JSON; `script` is the file name of its js."""
    patch = Patch()
    js = _script(patch, script)
    registry = _controls(patch, js)
    _transport(patch, js)
    _faces(patch)
    return {"patcher": _top(patch, registry, script)}


def _script(patch: Patch, script: str) -> str:
    """MIDI straight through; the script with its network, its notes and its status line. The id of the script."""
    midiin, midiout = patch.add("midiin"), patch.add("midiout")
    patch.wire(midiin, 0, midiout)
    saved = {"filename": script, "parameter_enable": 0}
    js = patch.add(f"js {script}", saved_object_attributes=saved)
    patch.chain(patch.add("live.thisdevice"), patch.add("deferlow"), js)
    to_bridge = patch.add("udpsend 127.0.0.1 9100")
    patch.wire(js, 0, to_bridge)
    words = ("listen", "target", "self", "probe", "status", "label", "ask", "stamp", "poll", "unplan", "cut", "halt")
    route = patch.add("route " + " ".join(words))
    patch.wire(js, 2, route)
    patch.words = {word: (route, index) for index, word in enumerate(words)}
    receive = patch.add("udpreceive 9200")
    to_self = patch.add("udpsend 127.0.0.1 9200")
    for word, target in (("listen", receive), ("target", to_bridge), ("self", to_self)):
        port = patch.add("prepend port")
        patch.wire(*patch.words[word], port)
        patch.wire(port, 0, target)
    patch.wire(*patch.words["probe"], to_self)
    patch.chain(receive, patch.add("deferlow"), js)
    stamp, stamped = patch.add("cpuclock"), patch.add("prepend stamp")
    patch.wire(*patch.words["stamp"], stamp)
    patch.chain(stamp, stamped, js)
    _notes(patch, js, midiout)
    return js


def _notes(patch: Patch, js: str, midiout: str) -> None:
    """Notes ahead of their time wait in [pipe]; [makenote] and [midiflush] see to it that each is closed.

    All that reaches midiout leaves in the scheduler: bytes of a note and of its end, sent by two threads, could mix.
    """
    pipe = patch.add("pipe 0 0 0 0.")
    makenote = patch.add("makenote 100 250 @repeatmode 2")
    pair, form, flush = patch.add("pack 0 0"), patch.add("midiformat 1"), patch.add("midiflush")
    patch.wire(js, 3, pipe)
    for inlet in range(3):
        patch.wire(pipe, inlet, makenote, inlet)
    patch.wire(makenote, 0, pair, 0)
    patch.wire(makenote, 1, pair, 1)
    patch.chain(pair, form, flush, midiout)
    clear, stop = patch.message("clear"), patch.message("stop")
    halt, soon, close = patch.add("t b b b"), patch.add("delay 0"), patch.add("t b b")
    patch.wire(*patch.words["unplan"], clear)
    patch.wire(*patch.words["halt"], halt)
    patch.wire(halt, 2, clear)
    patch.chain(halt, soon, close)
    set_off, cut, forget = patch.add("t b f"), patch.add("delay 0"), patch.message("stop")
    patch.wire(*patch.words["cut"], set_off)  # all that sounds is closed in so many ms, unless it is halted before
    patch.wire(set_off, 1, cut, 1)
    patch.wire(set_off, 0, cut, 0)
    patch.wire(cut, 0, stop)
    patch.wire(halt, 1, forget)
    patch.wire(forget, 0, cut)
    patch.wire(close, 1, stop)
    patch.wire(close, 0, flush)
    patch.wire(clear, 0, pipe)
    patch.wire(stop, 0, makenote)


def _transport(patch: Patch, js: str) -> None:
    """Live's transport and the time of its reading, taken together in the scheduler."""
    metro = patch.add(f"metro {_METRO_MS} @active 1")
    both, transport, clock = patch.add("t b b"), patch.add("transport"), patch.add("cpuclock")
    reading = patch.add("pack 0. 1 1 0. 120. 4 4 0 0.")
    signature = patch.add("unpack 4 4")
    patch.wire(metro, 0, both)
    patch.wire(*patch.words["poll"], both)
    patch.wire(both, 1, transport)  # first: it fills the inlets that wait
    patch.wire(both, 0, clock)  # then: the time, which sends the reading off
    patch.wire(clock, 0, reading, 0)
    for outlet, inlet in ((0, 1), (1, 2), (2, 3), (4, 4), (6, 7), (7, 8)):
        patch.wire(transport, outlet, reading, inlet)
    patch.wire(transport, 5, signature)
    patch.wire(signature, 0, reading, 5)
    patch.wire(signature, 1, reading, 6)
    patch.chain(reading, patch.add("prepend transport"), patch.add("deferlow"), js)


def _controls(patch: Patch, js: str) -> dict[str, list[Any]]:
    """Controls, the cords from them to the script and back; the registry of parameters."""
    registry: dict[str, list[Any]] = {}
    values = [control for control in CONTROLS if not control.is_button]
    back = patch.add("route " + " ".join(control.key for control in values))
    patch.wire(js, 1, back)
    ask = patch.message("outputvalue")
    patch.wire(*patch.words["ask"], ask)
    for order, control in enumerate(CONTROLS):
        box = _parameter(patch, control, order)
        registry[box] = [control.longname, control.shortname, order]
        if control.is_button:
            drop, bang, press = patch.add("route 0"), patch.add("t b"), patch.message(f"press {control.key}")
            patch.wire(box, 0, drop)  # the release of a mapped button is no press
            patch.wire(drop, 1, bang)
            patch.chain(bang, press, js)
        else:
            said, shown = patch.add(f"prepend control {control.key}"), patch.add("prepend set")
            patch.chain(box, said, js)
            patch.wire(back, values.index(control), shown)
            patch.wire(shown, 0, box)
            patch.wire(ask, 0, box)
        if control.key == "generate":
            text = patch.add("prepend text")
            patch.wire(*patch.words["label"], text)
            patch.wire(text, 0, box)
    return registry


def _parameter(patch: Patch, control: Control, order: int) -> str:
    stepped = bool(control.choices)
    valueof: dict[str, Any] = {
        "parameter_initial": [control.initial if not stepped else int(control.initial)],
        "parameter_initial_enable": 1,
        "parameter_linknames": 1,
        "parameter_longname": control.longname,
        "parameter_mmin": control.low if not stepped else 0,
        "parameter_mmax": control.high if not stepped else len(control.choices) - 1,
        "parameter_modmode": 0 if control.is_button else 4 if stepped or control.unit == 0 else 2,
        "parameter_order": order,
        "parameter_shortname": control.shortname,
        "parameter_type": 2 if stepped else 0,
        "parameter_unitstyle": control.unit,
        "parameter_info": control.hint,
    }
    if stepped:
        valueof["parameter_enum"] = list(control.choices)
    if control.stored_only:
        valueof["parameter_invisible"] = 1
    more: dict[str, Any] = {
        "annotation": control.hint,
        "annotation_name": control.longname,
        "parameter_enable": 1,
        "saved_attribute_attributes": {"valueof": valueof},
        "varname": control.longname,
        **control.extra,
    }
    if control.maxclass == "live.dial" and control.low < 0:
        more["needlemode"] = 2
    if control.rect is not None:
        more |= {"presentation": 1, "presentation_rect": list(control.rect)}
    return patch.widget(control.maxclass, **more)


def _faces(patch: Patch) -> None:
    """Labels and the status line."""
    for text, rect in LABELS:
        patch.widget("live.comment", text=text, presentation=1, presentation_rect=list(rect), textjustification=0)
    status = patch.widget(
        "live.comment",
        text="Barline",
        varname="Status",
        presentation=1,
        presentation_rect=list(STATUS_RECT),
        textjustification=0,
    )
    show = patch.add("prepend set")
    patch.wire(*patch.words["status"], show)
    patch.wire(show, 0, status)


def _top(patch: Patch, registry: dict[str, list[Any]], script: str) -> dict[str, Any]:
    banks = {
        str(index): {"index": index, "name": name, "parameters": list(names), "buttons": ["-"] * 8}
        for index, (name, names) in enumerate(BANKS)
    }
    return {
        "fileversion": 1,
        "appversion": {"major": 8, "minor": 5, "revision": 5, "architecture": "x64", "modernui": 1},
        "classnamespace": "box",
        "rect": [60.0, 100.0, 1280.0, 800.0],
        "openrect": [0.0, 0.0, float(WIDTH), float(HEIGHT)],
        "bglocked": 0,
        "openinpresentation": 1,
        "default_fontsize": 10.0,
        "default_fontface": 0,
        "default_fontname": "Arial Bold",
        "gridonopen": 1,
        "gridsize": [8.0, 8.0],
        "gridsnaponopen": 1,
        "objectsnaponopen": 1,
        "statusbarvisible": 2,
        "toolbarvisible": 1,
        "boxanimatetime": 500,
        "enablehscroll": 1,
        "enablevscroll": 1,
        "devicewidth": float(WIDTH),
        "description": "Bars of melody, bass and drums from a model that plays along",
        "digest": "Barline",
        "tags": "midi generative",
        "style": "",
        "subpatcher_template": "",
        "assistshowspatchername": 0,
        "boxes": patch.boxes,
        "lines": patch.lines,
        "parameters": {**registry, "parameterbanks": banks, "inherited_shortname": 1},
        "dependency_cache": [
            {"name": script, "bootpath": ".", "patcherrelativepath": ".", "type": "TEXT", "implicit": 1}
        ],
        "latency": 0,
        "is_mpe": 0,
        "minimum_live_version": "",
        "minimum_max_version": "",
        "platform_compatibility": 0,
        "project": _project(),
        "autosave": 0,
    }


def _project() -> dict[str, Any]:
    return {
        "version": 1,
        "creationdate": DATE,
        "modificationdate": DATE,
        "viewrect": [0.0, 0.0, 300.0, 500.0],
        "autoorganize": 1,
        "hideprojectwindow": 1,
        "showdependencies": 1,
        "autolocalize": 0,
        "contents": {"patchers": {}},
        "layout": {},
        "searchpath": {},
        "detailsvisible": 0,
        "amxdtype": int.from_bytes(MIDI_EFFECT, "big"),
        "readonly": 0,
        "devpathtype": 0,
        "devpath": ".",
        "sortmode": 0,
        "viewmode": 0,
        "includepackages": 0,
    }
