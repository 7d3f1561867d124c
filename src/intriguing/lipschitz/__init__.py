"""How much a network can stretch: norms of layers, bounds of networks, and radii that they certify."""
