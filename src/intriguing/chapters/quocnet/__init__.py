"""The room of the chapter on QuocNet: features learned without labels, cars recognised by them, and cars unmade."""
