"""``python -m intriguing``: the commands of the book."""

import sys

from intriguing.press.commands import main

if __name__ == "__main__":
    sys.exit(main())
