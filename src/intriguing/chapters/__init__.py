"""One room for each chapter of the book: what its page computes, decides, tabulates and draws."""
