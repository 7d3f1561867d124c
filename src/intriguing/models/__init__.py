"""The networks: the recipes of the paper, their training, networks of ImageNet, and QuocNet scaled down."""
