"""Which tracks are melody, bass and drums."""

from bridge.music.midi_files import MidiScore, MidiTrack
from bridge.music.notes import Note
from bridge.music.roles import by_general_midi, roles_of


def track(name="", channel=0, program=0, pitch=60, polyphony=1):
    notes = tuple(Note(pitch + 4 * voice, beat, 1, 90) for beat in range(8) for voice in range(polyphony))
    return MidiTrack(name, channel, program, notes)


def score(*tracks):
    return MidiScore(tracks, (), 120.0, 8.0)


def test_channel_ten_is_drums_whatever_it_is_called():
    roles = by_general_midi(score(track("Lead melody", channel=9, pitch=36), track(pitch=72)))
    assert [t.channel for t in roles.drums] == [9]
    assert [t.channel for t in roles.melody] == [0]


def test_bass_by_program_name_or_register():
    for bass in (track(program=33), track("Slap Bass", pitch=60), track(pitch=36)):
        roles = by_general_midi(score(track("melody", pitch=72), bass))
        assert roles.bass == (bass,)
        assert bass not in roles.melody


def test_a_named_melody_goes_before_other_lines():
    lead, other = track("Lead", pitch=60), track("Flute", pitch=80)
    assert by_general_midi(score(other, lead)).melody == (lead,)
    assert by_general_midi(score(other, track("Flute 2", pitch=70))).melody[0] == other


def test_chords_are_no_melody_where_there_is_a_line():
    chords, line = track("Piano", pitch=60, polyphony=3), track("Oboe", pitch=70)
    assert by_general_midi(score(chords, line)).melody == (line,)


def test_a_lone_low_track_is_still_a_melody():
    low = track("", pitch=40)
    assert by_general_midi(score(low)).melody == (low,)


def test_a_manifest_counts_tracks_that_sound_and_drums_are_channel_ten():
    tracks = (track("a", 0, pitch=72), track("b", 9, pitch=36), track("c", 1, pitch=40))
    roles = roles_of(score(*tracks), {"melody": [0], "bass": [2], "drums": [1]}, named=False)
    assert roles.of("melody") == (tracks[0],)
    assert roles.of("bass") == (tracks[2],)
    assert roles.of("drums") == (tracks[1],)
    everything = roles_of(score(tracks[1]), {"drums": "all"}, named=False)
    assert everything.drums == (tracks[1],)
    assert everything.melody == ()


def test_a_manifest_that_points_nowhere_gives_nothing():
    roles = roles_of(score(track()), {"melody": [7, "x", -1], "bass": None}, named=False)
    assert roles.melody == roles.bass == roles.drums == ()


def test_labelled_tracks_with_second_lines():
    tracks = (track("melody:Voice"), track("melody2:top line"), track("bass:derived"), track("piano:RH"))
    roles = roles_of(score(*tracks), None, named=True)
    assert roles.melody == tracks[:2]
    assert roles.bass == (tracks[2],)
    assert roles.drums == ()
