"""How good a model is: scores on held-out songs, and whether what it makes could be music."""
