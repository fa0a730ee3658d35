"""What is learnt and what it compiles to: the modules, the prior, the resident form, the files."""
