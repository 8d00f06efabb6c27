"""Everything that `mrl` refuses, in one short tree.

    MrlError
    ├── InputError        an argument or a piece of data cannot be used       (also a ValueError)
    │   ├── NestingError  dims that do not nest, or do not fit the vectors
    │   └── CardError     two things that do not belong together
    ├── StorageError      something on disk cannot be read or written         (also an OSError)
    │   ├── ExistsError   the output is already there; nothing is overwritten
    │   ├── DamagedError  bytes differ from what was committed; the file is named
    │   └── UnfinishedError  a writer stopped before it was done
    ├── EndpointError     an endpoint cannot be reached, or refuses             (also a ConnectionError)
    ├── GateError         a fitted map is not surely better than none
    ├── DivergedError     training met a loss that is not finite              (also an ArithmeticError)
    └── MissingError      an optional package is absent                       (also an ImportError)

Every message has the value, the rule and the remedy.
"""

from __future__ import annotations


class MrlError(Exception):
    """Root of all errors that `mrl` raises on purpose."""


class InputError(MrlError, ValueError):
    """An argument or a piece of data cannot be used."""


class NestingError(InputError):
    """Dims that do not nest, or do not fit the vectors."""


class CardError(InputError):
    """Two things that do not belong together, such as queries of one model and a database of another."""


class StorageError(MrlError, OSError):
    """Something on disk cannot be read or written."""


class ExistsError(StorageError):
    """The output is already there; nothing is overwritten."""


class DamagedError(StorageError):
    """Bytes differ from what was committed; the message names the file."""


class UnfinishedError(StorageError):
    """A writer stopped before it was done."""


class EndpointError(MrlError, ConnectionError):
    """An endpoint over the network cannot be reached, refuses what it was asked, or answers something else."""


class GateError(MrlError):
    """A fitted map is not surely better than truncation and PCA, and was not kept."""


class DivergedError(MrlError, ArithmeticError):
    """Training met a loss that is not finite."""


class MissingError(MrlError, ImportError):
    """An optional package is absent; the message says which extra brings it."""
