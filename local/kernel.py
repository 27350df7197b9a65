"""System calls for namespaces that Python 3.11 does not offer.

A network namespace is held by a file descriptor of this process and by nothing else: no name under
/run/netns, so that it ends with the last process that uses it, however that process ended.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def new_network_namespace() -> int:
    """Make a network namespace; the answer is a descriptor that keeps it alive.

    Raises:
        OSError: the kernel or a missing privilege forbids it.
    """

    def make() -> int:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return _in_thread(make)


def within(namespace: int, do: Callable[[], T]) -> T:
    """Do something inside the network namespace, such as opening a socket, which then stays there.

    Raises:
        OSError: the namespace cannot be entered, or whatever `do` raises.
    """

    def enter_and_do() -> T:
        _check(_libc.setns(namespace, _CLONE_NEWNET), "setns")
        return do()

    return _in_thread(enter_and_do)


def _in_thread(do: Callable[[], T]) -> T:
    """Run in a thread of its own: namespaces belong to threads, and the caller's is to stay."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(do())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
