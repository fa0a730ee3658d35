"""The committed Barline.amxd against what is known of such files: nothing here asks our builder."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from maxforlive.amxd_file import SELECTORS, AmxdFile, arguments, object_name, ports
from needs import need

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "maxforlive"
DEVICE_HEIGHT = 169


@pytest.fixture(scope="module")
def device() -> AmxdFile:
    return AmxdFile.read(FOLDER / "Barline.amxd")


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything built anew, by a Python with no packages and another hash seed."""
    folder = tmp_path_factory.mktemp("rebuilt")
    command = [
        sys.executable,
        "-E",
        "-s",
        "-S",
        str(FOLDER / "build.py"),
        "--out",
        str(folder),
        "--unfrozen",
        str(folder / "open"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def script_of(device: AmxdFile) -> str:
    return device.members[1].data.decode("ascii")


# -- the file --------------------------------------------------------------------------------------------------------


def test_a_rebuild_gives_the_committed_bytes(rebuilt: Path) -> None:
    for name in ("Barline.amxd", "barline.svg"):
        assert (rebuilt / name).read_bytes() == (FOLDER / name).read_bytes(), f"run python3 maxforlive/build.py: {name}"


def test_the_unfrozen_form_agrees_with_the_frozen_one(rebuilt: Path, device: AmxdFile) -> None:
    unfrozen = AmxdFile.read(rebuilt / "open" / "Barline.amxd")
    assert unfrozen.chunks["ptch"] == device.members[0].data
    assert unfrozen.chunks["meta"] == b"\1\0\0\0"
    script = device.members[1]
    assert (rebuilt / "open" / script.name).read_bytes() == script.data
    assert len(list((rebuilt / "open").iterdir())) == 2


def test_it_is_a_frozen_midi_effect(device: AmxdFile) -> None:
    assert list(device.chunks) == ["ampf", "meta", "ptch"]
    assert device.chunks["ampf"] == b"mmmm"
    assert device.chunks["meta"] == b"\7\0\0\0"
    assert [(member.kind, member.flag) for member in device.members] == [("JSON", 0x11), ("TEXT", 0)]
    assert device.members[0].name == "Barline.amxd"
    assert all(member.date == 3590052786 for member in device.members), "dates are fixed, or builds would differ"
    assert device.patcher["project"]["amxdtype"] == int.from_bytes(b"mmmm", "big")


def test_it_can_be_opened_by_live_11(device: AmxdFile) -> None:
    version = device.patcher["appversion"]
    assert (version["major"], version["minor"], version["revision"]) == (8, 5, 5)
    assert device.patcher["openinpresentation"] == 1
    assert device.patcher["classnamespace"] == "box"
    assert device.patcher["latency"] == 0


def test_the_script_is_named_by_its_content_and_found_by_its_name(device: AmxdFile) -> None:
    script = device.members[1]
    assert script.name == f"barline_{hashlib.sha256(script.data).hexdigest()[:10]}.js"
    (box,) = [box for box in device.boxes.values() if object_name(box) == "js"]
    assert arguments(box) == [script.name]
    assert box["saved_object_attributes"]["filename"] == script.name
    assert [entry["name"] for entry in device.patcher["dependency_cache"]] == [script.name]


# -- the patch -------------------------------------------------------------------------------------------------------


def test_every_object_is_known_and_has_its_own_ports(device: AmxdFile) -> None:
    for box in device.boxes.values():
        inlets, outlets = ports(box)
        assert box["numinlets"] == inlets, box
        assert box["numoutlets"] == len(outlets), box
        assert box.get("outlettype", []) == outlets, box


def test_ids_are_unique_and_cords_end_at_real_ports(device: AmxdFile) -> None:
    assert len(device.boxes) == len(device.patcher["boxes"])
    for source, outlet, target, inlet in device.cords:
        assert 0 <= outlet < device.boxes[source]["numoutlets"], (source, outlet)
        assert 0 <= inlet < device.boxes[target]["numinlets"], (target, inlet)
    assert len(set(device.cords)) == len(device.cords)


def test_nothing_lies_about_unconnected(device: AmxdFile) -> None:
    connected = {end for source, _, target, _ in device.cords for end in (source, target)}
    loose = [box for box in device.boxes.values() if box["id"] not in connected and box["maxclass"] != "live.comment"]
    assert not loose


def test_midi_passes_with_nothing_in_its_way(device: AmxdFile) -> None:
    kinds = {name: object_name(box) for name, box in device.boxes.items()}
    straight = [(source, target) for source, _, target, _ in device.cords if kinds[source] == "midiin"]
    assert [kinds[target] for _, target in straight] == ["midiout"]


def test_what_comes_from_the_network_is_deferred_before_the_script(device: AmxdFile) -> None:
    kinds = {name: object_name(box) for name, box in device.boxes.items()}
    into_script = {kinds[source] for source, _, target, _ in device.cords if kinds[target] == "js"}
    assert into_script <= {"deferlow", "prepend", "message"}
    for source, _, target, _ in device.cords:
        if kinds[source] in {"udpreceive", "live.thisdevice"}:
            assert kinds[target] == "deferlow"


def test_the_script_s_notes_leave_in_the_scheduler_alone(device: AmxdFile) -> None:
    """Two threads that send bytes to one midiout could mix them: every way there goes through [pipe] or [delay]."""
    kinds = {name: object_name(box) for name, box in device.boxes.items()}
    (script,) = [name for name, kind in kinds.items() if kind == "js"]
    (midiout,) = [name for name, kind in kinds.items() if kind == "midiout"]
    reached, fresh = set(), {script}
    while fresh:
        reached |= fresh
        onward = {target for source, _, target, _ in device.cords if source in fresh}
        fresh = {name for name in onward - reached if kinds[name] not in {"pipe", "delay", "makenote"}}
    assert midiout not in reached
    makenote = {target for _, _, target, _ in device.cords if kinds[target] == "makenote"}
    tellers = {source for source, _, target, _ in device.cords if target in makenote}
    assert {kinds[source] for source in tellers} == {"pipe", "message"}
    assert not {source for source in tellers if kinds[source] == "message"} & reached


def test_objects_are_only_told_what_they_understand(device: AmxdFile) -> None:
    for source, _, target, _ in device.cords:
        teller, hearer = device.boxes[source], device.boxes[target]
        name, understood = object_name(teller), SELECTORS.get(object_name(hearer))
        if name == "message":
            word = teller["text"].split()[0]
        elif name == "prepend":
            word = arguments(teller)[0]
        else:
            continue
        if understood is not None:
            assert word in understood, f"{hearer['maxclass']} has no message {word}"


def test_one_outlet_feeds_several_only_where_order_is_no_matter(device: AmxdFile) -> None:
    """Cords from one outlet fire by screen position: fine for readers of one value, never where one must be first."""
    for (source, outlet), cords in itertools.groupby(sorted(device.cords), key=lambda cord: cord[:2]):
        targets = {object_name(device.boxes[cord[2]]) for cord in cords}
        box = device.boxes[source]
        assert len(targets) == 1 or (object_name(box), box.get("text", "")) == ("message", "outputvalue"), (
            source,
            outlet,
            targets,
        )


def test_every_word_the_patch_says_has_a_handler_and_every_word_the_script_says_a_route(device: AmxdFile) -> None:
    script = script_of(device)
    handlers = set(re.findall(r"^function (\w+)\(", script, re.MULTILINE))
    kinds = {name: object_name(box) for name, box in device.boxes.items()}
    reaching = {source for source, _, target, _ in device.cords if kinds[target] == "js"}
    reaching |= {source for source, _, target, _ in device.cords if target in reaching and kinds[target] == "deferlow"}
    words = {"message": 0, "prepend": 1}
    said = {device.boxes[source]["text"].split()[words[kinds[source]]] for source in reaching if kinds[source] in words}
    assert said <= handlers
    assert handlers - said == {"bang", "anything", "notifydeleted"}
    routes = {frozenset(arguments(box)) for box in device.boxes.values() if object_name(box) == "route"}
    assert frozenset(re.findall(r'B\.toPatch\("(\w+)"', script)) in routes
    keys = set(re.findall(r"^B\.CONTROLS\.(\w+) =", script, re.MULTILINE))
    assert frozenset(keys) in routes
    pressed = {
        arguments_of_press
        for box in device.boxes.values()
        if (text := box.get("text", "")).startswith("press ")
        for arguments_of_press in [text.split()[1]]
    }
    body = script[script.index("B.presses = {") :]
    assert pressed == set(re.findall(r"^    (\w+): function", body[: body.index("\n};")], re.MULTILINE))


# -- the parameters --------------------------------------------------------------------------------------------------


def test_parameters_have_unique_names_ranges_units_and_initial_values(device: AmxdFile) -> None:
    names = [valueof["parameter_longname"] for _, valueof in device.parameters]
    assert len(set(names)) == len(names) == 38
    for box, valueof in device.parameters:
        name, low, high = valueof["parameter_longname"], valueof["parameter_mmin"], valueof["parameter_mmax"]
        (initial,) = valueof["parameter_initial"]
        assert valueof["parameter_initial_enable"] == 1, name
        assert low <= initial <= high, name
        assert low < high, name
        assert valueof["parameter_unitstyle"] in range(10), name
        assert len(valueof["parameter_shortname"]) <= 10, name
        assert box["varname"] == name
        assert box["annotation"], name
        if valueof["parameter_type"] == 2:
            assert (low, high) == (0, len(valueof["parameter_enum"]) - 1), name
            assert valueof["parameter_modmode"] in (0, 4), name
        else:
            assert valueof["parameter_type"] == 0, name
            assert "parameter_enum" not in valueof, name
        assert valueof["parameter_type"] != 1 or high <= 255, name


def test_knobs_cover_the_contract_s_ranges(device: AmxdFile) -> None:
    known = {valueof["parameter_longname"]: valueof for _, valueof in device.parameters}
    ranges = {name: (known[name]["parameter_mmin"], known[name]["parameter_mmax"]) for name in known}
    assert ranges["Temperature"] == (0.05, 2.0)
    assert ranges["Swing"] == (50.0, 75.0)
    assert all(
        ranges[name] == (0.0, 100.0) for name in ("Morph", "X", "Y", "Surprise", "Quantise", "Humanise", "Vary Amount")
    )
    assert all(ranges[name] == (-100.0, 100.0) for name in ("Density", "Syncopation"))
    assert known["Bars"]["parameter_enum"] == ["1", "2", "4", "8", "16"]
    assert known["Launch"]["parameter_enum"] == ["now", "step", "beat", "bar", "loop"]
    assert known["Jam"]["parameter_enum"] == ["off", "respond", "follow"]
    assert known["Bars"]["parameter_initial"] == [1], "two bars"
    assert known["Launch"]["parameter_initial"] == [3], "bar"
    assert known["Temperature"]["parameter_unitstyle"] == 1
    assert known["Swing"]["parameter_unitstyle"] == 5


def test_all_but_two_are_automatable(device: AmxdFile) -> None:
    hidden = {valueof["parameter_longname"] for _, valueof in device.parameters if valueof.get("parameter_invisible")}
    assert hidden == {"Bridge Port", "Settings Saved"}


def test_buttons_are_buttons_and_switches_are_switches(device: AmxdFile) -> None:
    modes = {box["varname"]: box["mode"] for box, _ in device.parameters if box["maxclass"] == "live.text"}
    switches = {name for name, mode in modes.items() if mode == 1}
    assert switches == {"Play", "Overwrite", "Launch Clip"}
    assert {
        "Generate",
        "Sample",
        "Vary",
        "Undo",
        "Redo",
        "Store A",
        "Store B",
        "Store C",
        "Store D",
        "Write Clip",
    } == modes.keys() - switches


def test_the_registry_says_what_the_parameters_say(device: AmxdFile) -> None:
    registry = device.patcher["parameters"]
    entries = {key: value for key, value in registry.items() if key.startswith("obj-")}
    assert entries == {
        box["id"]: [valueof["parameter_longname"], valueof["parameter_shortname"], valueof["parameter_order"]]
        for box, valueof in device.parameters
    }
    assert sorted(valueof["parameter_order"] for _, valueof in device.parameters) == list(range(38))


def test_push_banks_have_exactly_eight_known_names(device: AmxdFile) -> None:
    banks = device.patcher["parameters"]["parameterbanks"]
    visible = {
        valueof["parameter_longname"] for _, valueof in device.parameters if not valueof.get("parameter_invisible")
    }
    named: list[str] = []
    for index, bank in enumerate(banks.values()):
        assert list(banks)[index] == str(index) == str(bank["index"])
        assert len(bank["parameters"]) == len(bank["buttons"]) == 8
        assert bank["parameters"][0] != "-", "an empty bank has crashed Live"
        named += [name for name in bank["parameters"] if name != "-"]
    assert len(named) == len(set(named))
    assert set(named) == visible


# -- the face --------------------------------------------------------------------------------------------------------


def test_everything_shown_lies_inside_the_device_on_whole_pixels(device: AmxdFile) -> None:
    width = device.patcher["devicewidth"]
    assert device.patcher["openrect"] == [0.0, 0.0, width, float(DEVICE_HEIGHT)]
    shown = [box for box in device.boxes.values() if box.get("presentation")]
    assert len(shown) > 40
    for box in shown:
        x, y, w, h = box["presentation_rect"]
        assert all(isinstance(number, int) for number in (x, y, w, h))
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= DEVICE_HEIGHT - 1, "168 is the safe ceiling"


def test_nothing_shown_overlaps(device: AmxdFile) -> None:
    shown = [box for box in device.boxes.values() if box.get("presentation")]
    for one, other in itertools.combinations(shown, 2):
        ax, ay, aw, ah = one["presentation_rect"]
        bx, by, bw, bh = other["presentation_rect"]
        apart = ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
        assert apart, (one.get("varname", one.get("text")), other.get("varname", other.get("text")))


def test_every_visible_parameter_is_shown_and_generate_is_the_largest(device: AmxdFile) -> None:
    areas = {}
    for box, valueof in device.parameters:
        assert bool(box.get("presentation")) == (valueof["parameter_longname"] != "Settings Saved")
        if box.get("presentation"):
            areas[box["varname"]] = box["presentation_rect"][2] * box["presentation_rect"][3]
    assert max(areas, key=lambda name: areas[name]) == "Generate"
    assert areas["Generate"] >= 2 * sorted(areas.values())[-2] * 0.9


def test_the_drawing_shows_each_shown_object_where_it_is(device: AmxdFile) -> None:
    root = ET.fromstring((FOLDER / "barline.svg").read_text(encoding="utf-8"))
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"Generate next 2 bars", "Quantise", "Bridge port", "respond", "melody-2bar"} <= texts | {"melody-2bar"}
    rects = {
        tuple(float(element.attrib[key]) for key in ("x", "y", "width", "height"))
        for element in root.iter()
        if element.tag.endswith("rect") and "x" in element.attrib
    }
    for box, _ in device.parameters:
        if box.get("presentation") and box["maxclass"] in {"live.text", "live.menu", "live.numbox"}:
            assert tuple(float(number) for number in box["presentation_rect"]) in rects
    assert (FOLDER / "barline.svg").stat().st_size < 30_000


# -- the script ------------------------------------------------------------------------------------------------------

_STRINGS_AND_COMMENTS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
#: What parses as ES5 and is still not there, or not safe, in Max's [js].
_NOT_IN_MAX = {
    "names": r"\b(Promise|Map|Set|WeakMap|Symbol|Proxy|Reflect|globalThis|BigInt|setTimeout|console|require)\b",
    "methods": r"\.(includes|startsWith|endsWith|find|findIndex|padStart|padEnd|fill|flat|flatMap|bind|entries)\(",
    "statics": r"\b(Object\.(assign|entries|values)|Number\.is\w+|Math\.(sign|trunc|fround)|Array\.(from|of))\b",
    "applied outlets": r"\b(outlet|messnamed)\.apply\b",
}
_PARSE = """
const acorn = require('internal/deps/acorn/acorn/dist/acorn');
let text = '';
process.stdin.on('data', (part) => { text += part; }).on('end', () => acorn.parse(text, {ecmaVersion: 5}));
"""


def parses_as_es5(code: str) -> bool:
    """By acorn, which Node carries inside."""
    command = [need("node"), "--expose-internals", "-e", _PARSE]
    return subprocess.run(command, input=code, text=True, capture_output=True, check=False).returncode == 0


def test_the_script_is_es5(device: AmxdFile) -> None:
    assert parses_as_es5(script_of(device))
    assert parses_as_es5("var a = function (b) { return b; };")
    assert not parses_as_es5("var a = (b) => b;")


def test_the_script_uses_nothing_that_max_lacks(device: AmxdFile) -> None:
    script = script_of(device)
    code = _STRINGS_AND_COMMENTS.sub('""', script)
    for what, pattern in _NOT_IN_MAX.items():
        found = [code[max(0, match.start() - 40) : match.end() + 20] for match in re.finditer(pattern, code)]
        assert not found, f"{what}: {found[:3]}"
    assert script.isascii()
    assert max(len(line) for line in script.splitlines()) <= 130, "Max's error reporter has crashed on long lines"


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("names", "new Map()"),
        ("methods", "a.includes(1)"),
        ("statics", "Object.assign(a)"),
        ("applied outlets", "outlet.apply(this, a)"),
    ],
)
def test_that_check_sees_what_it_should(what: str, sample: str) -> None:
    assert re.search(_NOT_IN_MAX[what], sample)
