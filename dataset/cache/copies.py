"""How many documents of a corpus are copies of others, in memory that does not grow with it."""

MOST = 2**17  # hashes kept: some 15 MB


class Copies:
    """Counts how often each content occurs, by its hash, in a sample of all contents.

    The sample is the contents whose hash lies below a bound, which is halved whenever there are too many. The copies
    of a document share its hash, so all of them are in the sample or none.
    """

    def __init__(self, most: int = MOST):
        self._most, self._bound = most, 2**64
        self._counts: dict[int, int] = {}

    def add(self, number: int) -> None:
        """number: a hash of the document's content, evenly spread over 0 to 2^64 - 1."""
        if number >= self._bound:
            return
        self._counts[number] = self._counts.get(number, 0) + 1
        while len(self._counts) > self._most:
            self._bound //= 2
            self._counts = {number: count for number, count in self._counts.items() if number < self._bound}

    @property
    def share(self) -> float:
        """Of all documents, about how many are a copy of one before."""
        documents = sum(self._counts.values())
        return 1 - len(self._counts) / documents if documents else 0.0
