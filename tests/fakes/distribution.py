"""The OCI distribution spec 1.1.1 over what the fake registry holds: one request in, one reply out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from aiohttp import web

from tests.fakes.behaviour import Broken
from tests.fakes.faults import AnsweredError, CutError, error_body
from tests.fakes.shelves import Manifest, Repository, Session, digest_of
from tests.fakes.traffic import Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.fakes.behaviour import Behaviour
    from tests.fakes.faults import Exchange
    from tests.fakes.shelves import Blob
    from tests.fakes.traffic import Seen

MANIFEST_LIMIT = 4 << 20
"""Bytes of a manifest that registries should at least take (spec, "Pushing Manifests")."""

_INDEX = "application/vnd.oci.image.index.v1+json"
_CONTENT_RANGE = re.compile(r"(?P<start>\d+)-(?P<stop>\d+)")
_RANGE = re.compile(r"bytes=(?P<start>\d+)-(?P<stop>\d*)")


class RefusedError(Exception):
    """The reply is an error."""

    def __init__(self, status: int, code: str, message: str = "", **headers: str) -> None:
        super().__init__(status, code)
        self.response = failure(status, code, message)
        self.response.headers.update(headers)


class Distribution:
    """What a registry of one behaviour answers."""

    def __init__(self, behaviour: Behaviour, repositories: dict[str, Repository], url: str) -> None:
        self._behaviour = behaviour
        self._repositories = repositories
        self._url = url

    async def answer(self, exchange: Exchange) -> web.Response:
        """Do what a request asks for."""
        answers: dict[Kind | None, Callable[[Exchange, Repository], Awaitable[web.Response]]] = {
            Kind.BASE: self._base,
            Kind.BLOB: self._blob,
            Kind.OPEN: self._open,
            Kind.MOUNT: self._mount,
            Kind.SINGLE: self._single,
            Kind.CHUNK: self._patch,
            Kind.STREAM: self._patch,
            Kind.COMMIT: self._commit,
            Kind.STATUS: self._status,
            Kind.CANCEL: self._cancel,
            Kind.MANIFEST: self._manifest,
            Kind.TAGS: self._tags,
            Kind.REFERRERS: self._referrers,
        }
        try:
            repository = self._repository(exchange.seen.repository)
            return await answers[exchange.seen.kind](exchange, repository)
        except RefusedError as refused:
            return refused.response

    def _repository(self, name: str) -> Repository:
        if name and name not in self._repositories and not self._behaviour.creates_repositories:
            raise RefusedError(404, "NAME_UNKNOWN", "the repository does not exist")
        return self._repositories.setdefault(name, Repository())

    async def _base(self, exchange: Exchange, repository: Repository) -> web.Response:
        return web.json_response({})

    # ----------------------------------------------------------------------------------------------- uploads

    async def _open(self, exchange: Exchange, repository: Repository) -> web.Response:
        session = Session(self._behaviour.discard_above)
        repository.sessions[session.id] = session
        least, most = self._behaviour.chunk_min_length, self._behaviour.chunk_max_length
        bounds = {"OCI-Chunk-Min-Length": least, "OCI-Chunk-Max-Length": most}
        headers = {name: str(bound) for name, bound in bounds.items() if bound and self._behaviour.announces}
        return web.Response(status=202, headers=headers | self._standing(exchange, session))

    async def _mount(self, exchange: Exchange, repository: Repository) -> web.Response:
        digest, origin = exchange.seen.query["mount"], exchange.seen.query.get("from")
        if origin is not None:
            candidates = [self._repositories.get(origin, Repository())]
        else:
            candidates = list(self._repositories.values()) if self._behaviour.anonymous_mount else []
        blob = next((found for one in candidates if (found := one.blobs.get(digest))), None)
        if blob is None or not self._behaviour.mounts:
            if self._behaviour.mount_refusal:
                raise RefusedError(self._behaviour.mount_refusal, "UNAUTHORIZED", "no such blob to mount")
            return await self._open(exchange, repository)
        repository.blobs[digest] = blob
        return self._created(exchange, blob)

    async def _single(self, exchange: Exchange, repository: Repository) -> web.Response:
        if not self._behaviour.single_post:
            await exchange.drain()
            return await self._open(exchange, repository)
        session = Session(self._behaviour.discard_above)
        session.writer = exchange
        async for piece in exchange.body:
            session.append(piece, exchange)
        return self._close(exchange, repository, session)

    async def _patch(self, exchange: Exchange, repository: Repository) -> web.Response:
        session = self._find(exchange, repository)
        start = session.size
        self._check_body(exchange, self._behaviour.chunk_max_length, self._behaviour.chunk_refusal)
        if exchange.seen.kind is Kind.CHUNK:
            if not self._behaviour.chunks:
                raise RefusedError(404, "UNSUPPORTED", "no chunks here")
            self._check_range(exchange, session)
        if session.short:
            raise RefusedError(400, "BLOB_UPLOAD_INVALID", "the chunk before this one was too small")
        await self._write(exchange, repository, session)
        session.short = session.size - start < self._behaviour.chunk_min_length
        session.took(session.size - start)
        return web.Response(status=self._behaviour.chunk_status, headers=self._standing(exchange, session))

    async def _commit(self, exchange: Exchange, repository: Repository) -> web.Response:
        session = self._find(exchange, repository)
        self._check_body(exchange, self._behaviour.put_max, 413)
        if exchange.request.body_exists and not session.size and not self._behaviour.single_put:
            raise RefusedError(404, "UNSUPPORTED", "no blobs in one piece here")
        if session.size and not exchange.request.body_exists and not self._behaviour.empty_put:
            raise RefusedError(500, "UNKNOWN", "nothing was put")
        await self._write(exchange, repository, session)
        return self._close(exchange, repository, session)

    async def _status(self, exchange: Exchange, repository: Repository) -> web.Response:
        return web.Response(status=204, headers=self._standing(exchange, self._find(exchange, repository)))

    async def _cancel(self, exchange: Exchange, repository: Repository) -> web.Response:
        del repository.sessions[self._find(exchange, repository).id]
        return web.Response(status=204)

    def _find(self, exchange: Exchange, repository: Repository) -> Session:
        """Find the session a Location names, or refuse."""
        session = repository.sessions.get(exchange.seen.reference)
        if session is None:
            raise RefusedError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if self._behaviour.broken is Broken.DROPPED:
            session.settle()
        state = exchange.seen.query.get("_state", "")
        works = state in session.offsets
        if self._behaviour.newest_location_only:
            works = works and state == list(session.offsets)[-1]
        if self._behaviour.broken is Broken.LOST:
            works = works and session.offsets[state] == session.size
        if not works:
            raise RefusedError(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        return session

    def _check_body(self, exchange: Exchange, most: int, status: int) -> None:
        length = exchange.request.content_length
        if length is None and exchange.request.body_exists and not self._behaviour.transfer_encoding:
            raise RefusedError(400, "SIZE_INVALID", "a body without a length")
        if most and (length or 0) > most:
            raise RefusedError(status, "SIZE_INVALID", "the body is too long")

    def _check_range(self, exchange: Exchange, session: Session) -> None:
        if not self._behaviour.checks_range:
            return
        match = _CONTENT_RANGE.fullmatch(exchange.seen.headers["Content-Range"])
        if match is None:
            raise RefusedError(400, "BLOB_UPLOAD_INVALID", "Content-Range is not <start>-<end>")
        start, stop = int(match["start"]), int(match["stop"])
        if stop - start + 1 != exchange.request.content_length:
            raise RefusedError(400, "SIZE_INVALID", "provided length did not match content length")
        if start != session.size:
            explained = self._standing(exchange, session) if self._behaviour.explains_416 else {}
            raise RefusedError(416, "RANGE_INVALID", "invalid content range", **explained)

    async def _write(self, exchange: Exchange, repository: Repository, session: Session) -> None:
        """Append the body; when it breaks off, do with the session what this registry does."""
        session.writer = exchange
        try:
            async for piece in exchange.body:
                session.append(piece, exchange)
        except (CutError, AnsweredError):
            if self._behaviour.broken is Broken.DELETED:
                repository.sessions.pop(session.id, None)
            raise
        session.settled = session.size

    def _close(self, exchange: Exchange, repository: Repository, session: Session) -> web.Response:
        blob = session.close(exchange.seen.query.get("digest", ""))
        if blob is not None or self._behaviour.mismatch_ends:
            repository.sessions.pop(session.id, None)
        if blob is None:
            raise RefusedError(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        repository.blobs[blob.digest] = blob
        return self._created(exchange, blob)

    def _standing(self, exchange: Exchange, session: Session) -> dict[str, str]:
        where = f"/v2/{exchange.seen.repository}/blobs/uploads/{session.id}"
        if self._behaviour.foreign_path:
            where = f"/uploads/{exchange.seen.repository}/sessions/{session.id}"
        path = f"{where}?_state={session.renew()}"
        if self._behaviour.foreign_path:
            path += f"&signature={'A1%2Fb' * 100}%3D"
        return {
            "Location": path if self._behaviour.relative_location else self._url + path,
            "Range": session.range(self._behaviour.told),
            "Docker-Upload-Uuid": session.id,
        }

    def _created(self, exchange: Exchange, blob: Blob) -> web.Response:
        path = f"/v2/{exchange.seen.repository}/blobs/{blob.digest}"
        return web.Response(status=201, headers={"Location": path, "Docker-Content-Digest": blob.digest})

    def _absent(self, seen: Seen) -> int:
        return self._behaviour.absent if seen.method == "HEAD" else 404

    # ------------------------------------------------------------------------------------------------- blobs

    async def _blob(self, exchange: Exchange, repository: Repository) -> web.Response:
        seen = exchange.seen
        blob = repository.blobs.get(seen.reference)
        if blob is None:
            raise RefusedError(self._absent(seen), "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Docker-Content-Digest": blob.digest, "Accept-Ranges": "bytes"}
        if seen.method == "DELETE":
            del repository.blobs[blob.digest]
            return web.Response(status=202)
        if seen.method == "HEAD":
            headers |= {"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"}
            return web.Response(headers=headers)
        if blob.content is None:
            raise NotImplementedError(f"{blob.digest} was discarded and cannot be read back")
        wanted = seen.headers.get("Range")
        if wanted is None or not self._behaviour.ranges:
            return web.Response(body=blob.content, headers=headers)
        match = _RANGE.fullmatch(wanted)
        if match is None or int(match["start"]) >= blob.size:
            raise RefusedError(416, "RANGE_INVALID", **{"Content-Range": f"bytes */{blob.size}"})
        start, stop = int(match["start"]), min(int(match["stop"] or blob.size), blob.size - 1)
        headers["Content-Range"] = f"bytes {start}-{stop}/{blob.size}"
        return web.Response(status=206, body=blob.content[start : stop + 1], headers=headers)

    # --------------------------------------------------------------------------------------------- manifests

    async def _manifest(self, exchange: Exchange, repository: Repository) -> web.Response:
        seen = exchange.seen
        if seen.method == "PUT":
            return await self._put_manifest(exchange, repository)
        manifest = repository.manifest(seen.reference)
        # distribution answers 404 to who does not say that they understand the media type.
        if manifest is None or (seen.method != "DELETE" and not _accepts(exchange, manifest.media_type)):
            raise RefusedError(self._absent(seen), "MANIFEST_UNKNOWN", "manifest unknown")
        if seen.method == "DELETE":
            if repository.tags.pop(seen.reference, None) is None:
                del repository.manifests[manifest.digest]
                repository.tags = {tag: to for tag, to in repository.tags.items() if to != manifest.digest}
            return web.Response(status=202)
        headers = {"Docker-Content-Digest": manifest.digest, "Content-Type": manifest.media_type}
        return web.Response(body=manifest.content, headers=headers)

    async def _put_manifest(self, exchange: Exchange, repository: Repository) -> web.Response:
        seen = exchange.seen
        content = b"".join([piece async for piece in exchange.body])
        if len(content) > MANIFEST_LIMIT:
            raise RefusedError(413, "MANIFEST_INVALID", "the manifest is too large")
        media_type = seen.headers.get("Content-Type", "")
        try:
            document = json.loads(content)
        except ValueError:
            raise RefusedError(400, "MANIFEST_INVALID", "the manifest is not JSON") from None
        if document.get("mediaType", media_type) != media_type:
            raise RefusedError(400, "MANIFEST_INVALID", "Content-Type is not the manifest's mediaType")
        by_digest = ":" in seen.reference
        digest = digest_of(content, seen.reference.partition(":")[0] if by_digest else "sha256")
        if by_digest and digest != seen.reference:
            raise RefusedError(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        manifest = Manifest(digest, media_type, content)
        missing = repository.missing(manifest)
        if missing:
            raise RefusedError(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing[0]}")
        repository.manifests[digest] = manifest
        if not by_digest:
            repository.tags[seen.reference] = digest
        headers = {"Location": f"/v2/{seen.repository}/manifests/{digest}", "Docker-Content-Digest": digest}
        if self._behaviour.referrers and "subject" in document:
            headers["OCI-Subject"] = document["subject"]["digest"]
        return web.Response(status=201, headers=headers)

    async def _tags(self, exchange: Exchange, repository: Repository) -> web.Response:
        if not repository.manifests:
            raise RefusedError(404, "NAME_UNKNOWN", "repository name not known to registry")
        return web.json_response({"name": exchange.seen.repository, "tags": sorted(repository.tags)})

    async def _referrers(self, exchange: Exchange, repository: Repository) -> web.Response:
        if not self._behaviour.referrers:
            raise RefusedError(404, "NOT_FOUND", "no referrers API here")
        found = repository.referrers(exchange.seen.reference)
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found}
        return web.Response(body=json.dumps(index).encode(), content_type=_INDEX)


def _accepts(exchange: Exchange, media_type: str) -> bool:
    accepted = ",".join(exchange.request.headers.getall("Accept", []))
    return media_type in [one.partition(";")[0].strip() for one in accepted.split(",")]


def failure(status: int, code: str, message: str) -> web.Response:
    """Answer with an error body."""
    return web.Response(status=status, body=error_body(code, message), content_type="application/json")
