"""What the report shows, heard: a WAV and a MIDI file for each."""

import wave

import pytest

from bridge import recital
from bridge.model.reporting import showcase
from bridge.music.midi_files import read_midi


def test_every_item_is_a_wav_and_a_midi_file(tmp_path, monkeypatch: pytest.MonkeyPatch):
    for name in ("SAMPLES", "MORPHS", "CONTINUATIONS"):
        monkeypatch.setattr(showcase, name, 1)
    written = recital.perform(tmp_path, ["drums-2bar"])
    assert [path.name for path in written] == ["sample-01.wav", "morph-01.wav", "continuation-01.wav"]
    for path, bars in zip(written, (4, 10, 8), strict=True):
        with wave.open(str(path)) as file:
            seconds = file.getnframes() / file.getframerate()
        assert seconds >= 0.6 * bars * 4 * 60 / 110
        score = read_midi(path.with_suffix(".mid"))
        assert {track.channel for track in score.tracks} == {9}
        assert 4 * (bars - 1) < max(note.start for track in score.tracks for note in track.notes) + 4 <= 4 * (bars + 1)
