"""The audio output that the preview voice would use, for `doctor`; the only import of sounddevice is behind it."""

from __future__ import annotations


def audio_output(device: str | int | None) -> tuple[bool, str, str]:
    """Whether there is the audio output of `audio.device` (None: the system's default), which it is, and what to do.

    Only the preview voice needs one.
    """
    try:
        import sounddevice  # raises OSError where the PortAudio library is missing
    except OSError as fault:
        advice = "for the preview voice install PortAudio; on Debian and Ubuntu: sudo apt install libportaudio2"
        return False, f"no PortAudio library ({fault})", advice
    try:
        found = sounddevice.query_devices(device, "output")
    except (ValueError, sounddevice.PortAudioError) as fault:
        advice = "only the preview voice needs one: connect an output, or name another in audio.device"
        return False, f"no such output ({fault})", advice
    return True, f"{found['name']}, {found['default_samplerate']:.0f} Hz", ""
