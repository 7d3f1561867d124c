"""The networks: the recipes of the paper, their training, two networks of ImageNet, and QuocNet scaled down."""
