"""The networks: the recipes of the paper, their training, and two networks of ImageNet."""
