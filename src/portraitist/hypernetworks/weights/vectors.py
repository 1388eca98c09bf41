"""Many adapters as vectors ``[N, P]``, a few in memory at a time: SDXL's LoRAs have 5.8 million numbers each.

What is taken from all of them (mean, deviations, principal components, errors) goes through them part by part, and a
training step reads the rows that it asks for.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from portraitist.adapters import Adapter
from portraitist.files import require_writable, write_aside
from portraitist.hypernetworks.weights.layout import WeightLayout

# Bytes of the rows that are in memory together, at most; and of all of them, where no file is worth it.
_PART = 2**26
_SMALL = 2**29
_BYTES = 4  # of a number in float32
_SUFFIX = ".npy"


class WeightVectors:
    """The numbers of many adapters of one kind, by row, in memory or in a file.

    Args:
        rows: ``[N, P]``, a tensor or a memory-mapped array.
        chosen: Which of them are meant, in which order; all when not given.
        change: Applied to rows whenever they are read; each stays a row of P numbers.
    """

    def __init__(
        self,
        rows: Tensor | np.ndarray,
        chosen: np.ndarray | None = None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._rows, self._change = rows, change
        self._chosen = np.arange(len(rows)) if chosen is None else chosen

    @classmethod
    def gather(
        cls,
        layout: WeightLayout,
        count: int,
        banks: Callable[[range], Adapter],
        file: Path,
        small: int = _SMALL,
    ) -> "WeightVectors":
        """Read LoRAs, a few at a time; where all of them together are large, they go into a file that is mapped.

        Args:
            layout: How they lie in a vector.
            count: How many there are.
            banks: Returns some of them, by number, as a bank.
            file: Where they go, named after what they are: one that is there is taken up as it is.
            small: Bytes up to which they are held in memory.

        Raises:
            BadConfig: If they are of another space than the layout's.
            UnwritableFolder: If there is no room for the file.
        """
        size = _BYTES * count * layout.count
        parts = (layout.vectors(banks(part)) for part in _parts(count, layout.count))
        if size <= small:
            return cls(torch.cat(list(parts)))
        place = file.with_suffix(_SUFFIX)
        if not place.exists():
            require_writable(place.parent, size)
            with write_aside(place) as temporary:
                written = np.lib.format.open_memmap(temporary, "w+", np.float32, (count, layout.count))
                first = 0
                for part in parts:
                    written[first : first + len(part)] = part.numpy()
                    first += len(part)
                written.flush()
                del written
        return cls(np.load(place, mmap_mode="r"))

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, chosen: slice | Sequence[int] | np.ndarray) -> Tensor:
        """Return rows ``[n, P]``, copies."""
        rows = self._rows[self._chosen[chosen]]
        found = rows if isinstance(rows, Tensor) else torch.from_numpy(rows)
        return found if self._change is None else self._change(found)

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield all rows in their order, a few at a time, with which they are."""
        for part in _parts(len(self), self._rows.shape[1]):
            rows = slice(part.start, part.stop)
            yield rows, self[rows]

    def mean(self) -> Tensor:
        """Return the mean of all rows, ``[P]``."""
        total = torch.zeros(self._rows.shape[1], dtype=torch.float64)
        for _, rows in self.parts():
            total += rows.sum(0)
        return (total / len(self)).float()

    def only(self, chosen: Sequence[int]) -> "WeightVectors":
        """Return some of the rows, in the order that they are named in."""
        return WeightVectors(self._rows, self._chosen[np.asarray(chosen)], self._change)

    def changed(self, change: Callable[[Tensor], Tensor]) -> "WeightVectors":
        """Return the same rows, changed whenever they are read."""
        assert self._change is None
        return WeightVectors(self._rows, self._chosen, change)


def _parts(count: int, width: int) -> Iterator[range]:
    """Yield the numbers of rows that fit into memory together."""
    each = max(1, _PART // (_BYTES * width))
    return (range(first, min(first + each, count)) for first in range(0, count, each))
