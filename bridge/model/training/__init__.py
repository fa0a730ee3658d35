"""Training of all the family, from the corpus to the weights and the card."""
