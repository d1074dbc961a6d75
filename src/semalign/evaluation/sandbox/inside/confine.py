"""Takes away from a process what a program must not have: other namespaces, resources, capabilities, descriptors."""

import ctypes
import os
import resource

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
MS_NOSUID_NODEV = 2 | 4
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 24, 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
N_CAPABILITIES = 64  # the kernel refuses those that it does not know
TMPFS_OPTIONS = b"size=64m,nr_inodes=4096,mode=1777"
MEMORY_BYTES = 512 << 20
FILE_BYTES = 16 << 20
N_FILES = 64
N_PROCESSES = 64
N_DESCRIPTORS_TO_CLOSE = 1024  # the server itself holds fewer than ten


def fresh_namespaces() -> None:
    """New process, IPC and mount namespaces for the next child, with an empty /tmp; OSError where not allowed."""
    _check(LIBC.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID))
    _check(LIBC.mount(b"tmpfs", b"/tmp", b"tmpfs", MS_NOSUID_NODEV, TMPFS_OPTIONS))
    os.chdir("/tmp")


def adopt_orphans() -> None:
    """Makes the calling process the parent of its grandchildren, so that it can wait for them."""
    _check(LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def hide_memory() -> None:
    """No process of the same user may attach to this one or to what it forks."""
    _check(LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))


def keep_only(descriptors: list[int]) -> None:
    """Moves `descriptors` to 3, 4, ... and closes everything else but 0, 1 and 2."""
    aside = [os.dup(descriptor) for descriptor in descriptors]
    # Duplicated twice: a wanted descriptor may sit where another one has to go.
    high = [os.dup2(descriptor, 512 + i) for i, descriptor in enumerate(aside)]
    for i, descriptor in enumerate(high):
        os.dup2(descriptor, 3 + i)
    os.closerange(3 + len(descriptors), N_DESCRIPTORS_TO_CLOSE)


def limit_resources(cpu_seconds: int) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, N_FILES),
        (resource.RLIMIT_NPROC, N_PROCESSES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def drop_rights() -> None:
    """No capability is left and none can come back."""
    _check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(N_CAPABILITIES):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _check(LIBC.capset(header, (ctypes.c_uint32 * 6)()))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
