"""initdb for a user without an entry in the user database, as in a container with an arbitrary uid.

initdb fails where getpwuid(3) finds no name for its user, although it needs none. A preloaded library replaces that
function by one that returns a constant. It is assembled here, as an ELF file, since there may be no compiler.
"""

import contextlib
import os
import platform
import pwd
import struct
from collections.abc import Callable, Iterator
from typing import Any

from copilot_socket.store.embedded.account import Account
from copilot_socket.store.embedded.errors import EmbeddedError

_SYMBOL = b"getpwuid"
_NAME, _DIRECTORY, _SHELL = b"copilot", b"/", b"/bin/sh"
_PAGE = 0x10000
"""As large as the largest page: the writable part begins in another page."""

# elf(5)
_EHDR, _PHDR = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
_SYM, _RELA, _DYN = struct.Struct("<IBBHQQ"), struct.Struct("<QQq"), struct.Struct("<qQ")
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_READ_EXECUTE, _READ_WRITE = 5, 6
_PASSWD = struct.Struct("<QQIIQQQ")
"""struct passwd: name, password, uid, gid, gecos, directory, shell; the loader fills in the pointers."""
_POINTERS = (0, 8, 24, 32, 40)


def _x86_64(distance: int) -> bytes:
    return b"\x48\x8d\x05" + struct.pack("<i", distance - 7) + b"\xc3"  # lea rax, [rip + …]; ret


def _aarch64(distance: int) -> bytes:
    return struct.pack(
        "<II", 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5, 0xD65F03C0
    )  # adr; ret


_MACHINES = {"x86_64": (62, 8, _x86_64), "aarch64": (183, 1027, _aarch64)}
"""Machine → its number in ELF, its relocation "base + addend", and code that returns the address at a distance."""


@contextlib.contextmanager
def with_a_name(account: Account) -> Iterator[dict[str, Any]]:
    """Arguments of `subprocess` for a program of *account* that needs a name for its user.

    Raises EmbeddedError for a user without a name on a machine that is not in :data:`_MACHINES`.
    """
    options = account.process_options()
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        pass
    else:
        yield options
        return
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise EmbeddedError(
            f"user {account.uid} has no entry in the user database, which PostgreSQL needs to create a database: "
            "start as a user who has one, or set DATABASE_URL"
        )
    with os.fdopen(os.memfd_create("user"), "wb", buffering=0) as file:
        file.write(_library(machine, account.uid, account.gid))
        environ = {**options["env"], "LD_PRELOAD": f"/proc/self/fd/{file.fileno()}"}
        yield {**options, "env": environ, "pass_fds": (file.fileno(),)}


def _library(machine: tuple[int, int, Callable[[int], bytes]], uid: int, gid: int) -> bytes:
    """The shared object. Addresses are offsets in the file, plus a page in its writable part."""
    number, relative, code = machine
    hashes = struct.pack("<5I", 1, 2, 1, 0, 0)  # one bucket, whose chain holds symbol 1
    symbols = b"\0" + _SYMBOL + b"\0"
    texts = (_NAME, b"x", _NAME, _DIRECTORY, _SHELL)

    hashes_at = _EHDR.size + 4 * _PHDR.size
    symtab_at = hashes_at + 24
    symbols_at = symtab_at + 2 * _SYM.size
    rela_at = symbols_at + 16
    code_at = rela_at + len(_POINTERS) * _RELA.size
    data_at = code_at + 16
    entry_at = data_at + 9 * _DYN.size
    texts_at = entry_at + _PASSWD.size

    where = [_PAGE + texts_at + sum(len(text) + 1 for text in texts[:each]) for each in range(len(texts))]
    relocations = b"".join(
        _RELA.pack(_PAGE + entry_at + pointer, relative, address)
        for pointer, address in zip(_POINTERS, where, strict=True)
    )
    function = code(_PAGE + entry_at - code_at)
    dynamic = (
        (4, hashes_at),
        (5, symbols_at),
        (6, symtab_at),
        (10, len(symbols)),
        (11, _SYM.size),
        (7, rela_at),
        (8, len(relocations)),
        (9, _RELA.size),
        (0, 0),
    )
    data = b"".join(_DYN.pack(*each) for each in dynamic)
    data += _PASSWD.pack(0, 0, uid, gid, 0, 0, 0) + b"".join(text + b"\0" for text in texts)

    magic = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian
    text = _EHDR.pack(magic, 3, number, 1, 0, _EHDR.size, 0, 0, _EHDR.size, _PHDR.size, 4, 0, 0, 0)
    size, dynamic_size = len(data), len(dynamic) * _DYN.size
    text += _PHDR.pack(_LOAD, _READ_EXECUTE, 0, 0, 0, data_at, data_at, _PAGE)
    text += _PHDR.pack(_LOAD, _READ_WRITE, data_at, _PAGE + data_at, _PAGE + data_at, size, size, _PAGE)
    text += _PHDR.pack(
        _DYNAMIC, _READ_WRITE, data_at, _PAGE + data_at, _PAGE + data_at, dynamic_size, dynamic_size, 8
    )
    text += _PHDR.pack(_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)
    text += hashes.ljust(24, b"\0")
    text += bytes(_SYM.size) + _SYM.pack(1, 0x12, 0, 1, code_at, len(function))  # global, a function
    text += symbols.ljust(16, b"\0") + relocations + function.ljust(16, b"\0")
    return text + data
