"""The data sets: real images, which networks see in [0, 1], and a manifest of files with their sums."""

from .digits import CLASSES, Digits, Images, card, mnist, sample, usps
from .manifest import MANIFEST, DataError, DataSet, File, MissingData, data_folder, find, looked_in, verify

__all__ = [
    "CLASSES",
    "MANIFEST",
    "DataError",
    "DataSet",
    "Digits",
    "File",
    "Images",
    "MissingData",
    "card",
    "data_folder",
    "find",
    "looked_in",
    "mnist",
    "sample",
    "usps",
    "verify",
]
