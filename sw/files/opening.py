"""One door for every kind of market data file."""

import os

from tickgate.sw.files.binaryfile import BinaryFileReader
from tickgate.sw.files.mold_source import MoldSource
from tickgate.sw.files.sniff import FileKind, sniff
from tickgate.sw.files.source import MessageSource
from tickgate.sw.files.stream import ByteStream


def open_source(path: str | os.PathLike[str] | ByteStream) -> MessageSource:
    """The messages of a BinaryFILE, pcap or pcapng, plain or gzip: the content decides, not the name.

    A stream that has not been read from is taken as it is, and closed with the source.

    Raises
    ------
    UserError
        No such file, empty, or none of these kinds; see `sniff`. While reading: see the readers.
    """
    stream = path if isinstance(path, ByteStream) else ByteStream(path)
    try:
        kind = sniff(stream.head, stream.path)
    except BaseException:
        stream.close()
        raise
    if kind is FileKind.BINARYFILE:
        return BinaryFileReader(stream, check=False)
    return MoldSource(stream)
