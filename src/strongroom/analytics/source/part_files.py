"""The sealed files of one task: under names that nobody reads until the driver commits them."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Final

import pyarrow as pa

from strongroom.analytics.sealing.folder import Folder
from strongroom.analytics.sealing.pending import staging_name
from strongroom.analytics.sealing.stream import SealedWriter
from strongroom.analytics.source.encode import SUFFIXES, RowWriter, row_writer
from strongroom.analytics.source.options import Options
from strongroom.datasets.manifest import FileEntry, Kind
from strongroom.secret import Secret


class PartFiles:
    """Seals rows, a new file after every `file_bytes` of them."""

    def __init__(
        self, folder: Folder, data_key: Secret, options: Options, *, kind: Kind, job: str, partition: int
    ) -> None:
        self._folder: Final = folder
        self._key: Final = data_key
        self._options: Final = options
        self._kind: Final = kind
        self._staging: Final = staging_name(job)
        self._stem: Final = f"part-{partition:05d}-{job}-{secrets.token_hex(4)}"  # two attempts never meet
        self._open: tuple[SealedWriter, RowWriter] | None = None
        self._size = 0
        self.entries: Final[list[FileEntry]] = []
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows. Raises RowsNotWritten."""
        if self._open is None:
            self._open = self._begin(batch.schema)
        self._open[1].write_batch(batch)
        self.rows += batch.num_rows
        self._size += batch.nbytes
        if self._size >= self._options.file_bytes:
            self.finish()

    def finish(self) -> None:
        """End the present file."""
        if self._open is not None:
            sealed, rows = self._open
            rows.close()
            self.entries.append(sealed.finish())
            self._open = None

    def discard(self) -> None:
        """Leave nothing of this task."""
        if self._open is not None:
            self._open[0].close()
            self._open = None
        for entry in self.entries:
            with suppress(OSError):
                self._folder.remove(f"{self._staging}/{entry.path}")

    def _begin(self, schema: pa.Schema) -> tuple[SealedWriter, RowWriter]:
        path = f"{self._stem}-{len(self.entries):03d}.{SUFFIXES[self._kind]}"
        sealed = SealedWriter(
            self._folder.create(f"{self._staging}/{path}", folders=False), self._key, stored_path=path
        )
        self._size = 0
        try:
            return sealed, row_writer(sealed, self._kind, schema, self._options)
        except BaseException:
            sealed.close()
            raise
