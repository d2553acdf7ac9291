"""Digests whose state can be kept, sent to another process or machine, and continued there.

hashlib computes the same digests, but does not give away their state. OpenSSL's functions
SHA256_Init, _Update, _Final and MD5_Init, _Update, _Final keep it in a plain struct, SHA256_CTX or MD5_CTX
(openssl/sha.h and openssl/md5.h; the manual pages SHA256_Init(3) and MD5_Init(3)). The structs have no
pointers, and are the same in OpenSSL 1.1 and 3 and on all little-endian machines, such as x86-64 and arm64.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from prep.errors import PrepError

BLOCK = 64  # bytes that both algorithms process at once; up to 63 are pending in a state


class _Struct(NamedTuple):
    """The struct of a digest: 32-bit words, of which these two tell how far it has come."""

    functions: str  # their names begin so
    words: int
    low: int  # the word with the low 32 bits of the number of bits absorbed
    pending: int  # the word with the number of pending bytes
    constants: dict[int, int]  # words with a fixed value
    digest: int  # bytes

    @property
    def size(self) -> int:
        return 4 * self.words


STRUCTS = {
    # h[8], Nl, Nh, data[16], num, md_len
    "sha256": _Struct("SHA256", words=28, low=8, pending=26, constants={27: 32}, digest=32),
    # A, B, C, D, Nl, Nh, data[16], num
    "md5": _Struct("MD5", words=23, low=4, pending=22, constants={}, digest=16),
}


class _Functions(NamedTuple):
    init: Callable[..., int]
    update: Callable[..., int]
    final: Callable[..., int]


def begin(algorithm: str) -> bytes:
    """The state of a digest, "sha256" or "md5", that has absorbed nothing.

    A state is opaque: about 110 bytes that only the functions of this module understand.

    Raises:
        PrepError: OpenSSL's libcrypto is not there.
        ValueError: no such algorithm.
    """
    struct = _struct(algorithm)
    context = ctypes.create_string_buffer(struct.size)
    _functions(algorithm).init(context)
    return _tag(algorithm) + context.raw


def absorb(algorithm: str, state: bytes, *pieces: bytes | memoryview) -> bytes:
    """The state after these pieces, of any length. They are not copied; other threads run meanwhile.

    Raises:
        PrepError: OpenSSL's libcrypto is not there.
        ValueError: the state is none, or is one of another algorithm.
    """
    context = _context(algorithm, state)
    update = _functions(algorithm).update
    for piece in pieces:
        if len(piece):
            data = np.frombuffer(piece, np.uint8)  # tells the address, also of a read-only piece
            update(context, data.ctypes.data, data.nbytes)
    return _tag(algorithm) + context.raw


def digest_of(algorithm: str, state: bytes) -> str:
    """The digest, hexadecimal, of all that the state has absorbed. More can be absorbed afterwards.

    Raises:
        PrepError: OpenSSL's libcrypto is not there.
        ValueError: the state is none, or is one of another algorithm.
    """
    context = _context(algorithm, state)
    digest = ctypes.create_string_buffer(_struct(algorithm).digest)
    _functions(algorithm).final(digest, context)
    return digest.raw.hex()


def _struct(algorithm: str) -> _Struct:
    if algorithm not in STRUCTS:
        raise ValueError(f"{algorithm!r} is not one of {', '.join(STRUCTS)}")
    return STRUCTS[algorithm]


def _tag(algorithm: str) -> bytes:
    """What a state begins with."""
    return f"{algorithm} 1 ".encode()


def _context(algorithm: str, state: bytes) -> ctypes.Array[ctypes.c_char]:
    """The struct in a state. OpenSSL would write beyond its end if a wrong number of bytes were pending."""
    struct, tag = _struct(algorithm), _tag(algorithm)
    context = state[len(tag) :]
    if not state.startswith(tag) or len(context) != struct.size:
        raise ValueError(f"{len(state)} bytes are not the state of a digest {algorithm}")
    words = np.frombuffer(context, "<u4")
    whole = all(words[index] == value for index, value in struct.constants.items())
    if not whole or words[struct.pending] != (words[struct.low] >> 3) % BLOCK:
        raise ValueError(f"the state of a digest {algorithm} is damaged")
    return ctypes.create_string_buffer(context, struct.size)


@functools.cache
def _functions(algorithm: str) -> _Functions:
    """OpenSSL's functions for this algorithm.

    Raises:
        PrepError: no libcrypto has them.
    """
    name = _struct(algorithm).functions
    for library in _libraries():
        try:
            init, update, final = (getattr(library, f"{name}_{verb}") for verb in ("Init", "Update", "Final"))
        except AttributeError:  # built without the functions that OpenSSL 3 calls deprecated
            continue
        init.argtypes = [ctypes.c_void_p]
        update.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        final.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        return _Functions(init, update, final)
    raise PrepError(
        f"computing a digest ({algorithm}): no libcrypto with {name}_Init, {name}_Update and {name}_Final: "
        "install OpenSSL's library (Amazon Linux: openssl-libs; Debian: libssl3)"
    )


def _libraries() -> list[Any]:
    """Libraries that may have the functions, the likeliest first."""
    found: list[Any] = []
    for name in _names():
        try:
            found.append(ctypes.CDLL(name))  # its functions run without Python's global lock
        except OSError:
            continue
    return found


def _names() -> list[str]:
    # Symbols of a library's dependencies are found through it: so this is the libcrypto of hashlib itself.
    import _hashlib

    own = getattr(_hashlib, "__file__", None)  # none if it is part of the program
    names = [own] if own else []
    # ctypes.util.find_library is no help: it starts gcc or ldconfig, and where these are, so are the names.
    return [*names, "libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"]
