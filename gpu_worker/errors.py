"""Every error of the worker, one tree.

WorkerError
├── ProtocolError        the other side does not speak our protocol
├── BadInput             what we were given cannot be used; carries the sentence for the person
└── BaseModelError       the base model cannot be found, loaded or used
"""

from __future__ import annotations


class WorkerError(Exception):
    """Something went wrong in the worker."""


class ProtocolError(WorkerError):
    """The other side sent something that is not a message of this protocol."""


class BadInput(WorkerError):
    """What we were given cannot be used; the message is one clear sentence."""


class BaseModelError(WorkerError):
    """The base model cannot be found, loaded or used; the message is one clear sentence."""
