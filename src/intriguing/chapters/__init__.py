"""One room for each chapter of the book: what it computes, its tables and its claims."""
