"""The built-in preview voice: what a model plays, heard without a synthesiser."""
