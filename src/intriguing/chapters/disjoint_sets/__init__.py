"""The room of the chapter *disjoint_sets*."""
