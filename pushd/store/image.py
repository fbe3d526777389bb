"""A job's image: its manifests' original bytes, each kept once however many jobs push them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pushd.errors import Code, StoreError
from pushd.oci.descriptor import Descriptor
from pushd.oci.digest import Digest
from pushd.oci.document import Document
from pushd.oci.image import Image
from pushd.oci.manifest import Manifest
from pushd.store.jobs import row as job

if TYPE_CHECKING:
    import sqlite3

    from pushd.store.transaction import Transaction


_DETACH = "DELETE FROM documents WHERE job = ? RETURNING digest"
_DROP = """
    DELETE FROM manifests WHERE digest IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM documents WHERE documents.digest = manifests.digest)
"""
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode


def save(transaction: Transaction, job: int, image: Image) -> None:
    """Write the documents of the job numbered `job`."""
    for position, document in enumerate(image.documents):
        digest = str(document.descriptor.digest)
        transaction.execute(
            "INSERT INTO manifests (digest, content) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (digest, document.content),
        )
        transaction.execute(
            "INSERT INTO documents (job, position, digest, media_type) VALUES (?, ?, ?, ?)",
            (job, position, digest, document.descriptor.media_type),
        )
    if image.tags:
        tags = msgspec.json.encode({tag: str(digest) for tag, digest in image.tags}).decode()
        transaction.execute("UPDATE jobs SET cosign_tags = ? WHERE number = ?", (tags, job))


def replace(transaction: Transaction, job: int, image: Image) -> None:
    """Write other documents of the job numbered `job`; those it had, and nobody else has, go."""
    gone = [digest for (digest,) in transaction.execute(_DETACH, (job,)).fetchall()]
    save(transaction, job, image)
    transaction.execute(_DROP, (msgspec.json.encode(gone).decode(),))


def load(connection: sqlite3.Connection, job_id: str) -> Image:
    """Read the image of a job.

    Raises:
        RequestError: `request.not_found`.
        StoreError: `store.damaged`, a manifest is not what its digest names.
    """
    found = job(connection, job_id)
    rows = connection.execute(
        """SELECT documents.digest, documents.media_type, manifests.content
           FROM documents JOIN manifests ON manifests.digest = documents.digest
           WHERE documents.job = ? ORDER BY documents.position""",
        (found["number"],),
    )
    tags = _decode_tags(found["cosign_tags"]).items()
    return Image(tuple(_document(row) for row in rows), tuple((tag, Digest.parse(digest)) for tag, digest in tags))


def _document(row: sqlite3.Row) -> Document:
    digest, content = Digest.parse(row["digest"]), bytes(row["content"])
    if not digest.matches(content):
        raise StoreError(
            Code.STORE_DAMAGED,
            row["digest"],
            "the stored manifest is not what its digest names",
            hint="restore a backup of the database, or submit the image again",
        )
    descriptor = Descriptor(row["media_type"], digest, len(content))
    return Document(descriptor, content, Manifest.parse(content, row["media_type"]))
