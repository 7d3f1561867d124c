"""The data sets: real images in [0, 1], found in one way, checked before use."""

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
