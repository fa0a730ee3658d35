"""New bars from a frozen model: sampling, going on, morphing, and every way of bending them."""
