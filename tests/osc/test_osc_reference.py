"""The reference page is the one that the table makes, and whole."""

from bridge.osc.reference import PAGE, page
from bridge.osc.routes import ERROR_CODES, EVENTS, ROUTES
from bridge.osc.table import AddressTable


def test_the_committed_page_is_the_one_that_the_table_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: run python -m bridge.osc.reference"


def test_every_request_event_and_error_is_on_it():
    text = page()
    for route in ROUTES:
        assert f"### `{route.address}{' ' if route.signature else ''}{route.signature}`" in text
        assert route.text in text
    for event in EVENTS:
        assert event.address in text
    for code, meaning in ERROR_CODES.items():
        assert f"| {code} | {meaning} |" in text


def test_every_example_is_a_request_that_is_taken(rig):
    """Examples are written as a shell would send them: words with a point are floats, other numbers are integers."""
    shown = [route for route in ROUTES if route.example]
    assert {route.address for route in ROUTES if route.arguments} <= {route.address for route in shown}
    for route in shown:
        address, *words = route.example.split()
        rig.errors.clear()
        rig.say(address, *map(value, words))
        assert not rig.codes, route.example


def value(word):
    try:
        return float(word) if "." in word else int(word)
    except ValueError:
        return word


def test_concrete_addresses_are_those_of_the_voices():
    addresses = AddressTable(("keys",)).addresses
    assert "/keys/next" in addresses
    assert not [address for address in addresses if "VOICE" in address or "melody" in address]
    assert len(addresses) == len(ROUTES)
