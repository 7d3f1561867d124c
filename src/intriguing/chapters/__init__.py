"""One room for every chapter of the book, named as the chapter."""
