"""The MusicVAE family: corpus, modules, training, evaluation, and the compiled models the engine keeps resident."""
