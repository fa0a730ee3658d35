"""Pure values and functions of music. Imports nothing: the player process lives on this floor and must stay small."""
