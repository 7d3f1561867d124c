"""Since 2013: one gradient sign, many of them, and training against them, on the networks of the paper."""
