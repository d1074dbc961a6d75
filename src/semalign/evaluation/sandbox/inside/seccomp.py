"""A system call filter for programs: no new processes, no tracing, nothing that outlives or escapes the limits.

Namespaces and rlimits carry the isolation; this keeps one program at one process, so that its memory limit is a total,
also where the kernel ignores RLIMIT_NPROC (as it does for root). Installed on x86_64 and aarch64, else left out.
"""

import ctypes
import errno
import functools
import os
import struct

from .confine import LIBC

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, KILL, REFUSE, MISSING = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
CLONE_THREAD = 0x10000
X32_BIT = 0x40000000  # the same calls under other numbers, on x86_64 only
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data

# name: (x86_64, aarch64); None where the architecture does not have the call
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "shmget": (29, 194),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "open_by_handle_at": (304, 265),
}
MACHINES = {"x86_64": (0xC000003E, 0, 56), "aarch64": (0xC00000B7, 1, 220)}  # audit number, column, clone
CLONE3 = 435


def install() -> None:
    """Filters the calling process and all it starts; OSError when the kernel has no seccomp."""
    code = compiled()
    if not code:
        return
    buffer = ctypes.create_string_buffer(code)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def compiled() -> bytes:
    """The filter for this machine, eight bytes an instruction; empty where there is none."""
    machine = os.uname().machine
    return b"".join(_program(*MACHINES[machine])) if machine in MACHINES else b""


def _program(audit: int, column: int, clone: int) -> list[bytes]:
    refused = [number for numbers in REFUSED.values() if (number := numbers[column]) is not None]
    lines = [
        _instruction(LOAD, ARCHITECTURE),
        _instruction(JUMP_EQUAL, audit, yes=1),
        _instruction(RETURN, KILL),
        _instruction(LOAD, NUMBER),
        _instruction(JUMP_AT_LEAST, X32_BIT, no=1),
        _instruction(RETURN, REFUSE),
        _instruction(JUMP_EQUAL, CLONE3, no=1),
        _instruction(RETURN, MISSING),  # the C library then falls back on clone, whose flags can be read
    ]
    for number in refused:
        lines += [_instruction(JUMP_EQUAL, number, no=1), _instruction(RETURN, REFUSE)]
    return [
        *lines,
        _instruction(JUMP_EQUAL, clone, no=3),
        _instruction(LOAD, FIRST_ARGUMENT),
        _instruction(JUMP_BITS, CLONE_THREAD, yes=1),
        _instruction(RETURN, REFUSE),
        _instruction(RETURN, ALLOW),
    ]


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)
