"""Pure values and functions of music. Imports nothing: who needs one of its modules pays for that one alone."""
