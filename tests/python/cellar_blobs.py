"""Reads the files that a workspace keeps by docs/FORMAT.md alone, as cellar_reader.py does the rest.

``media(workspace, run)`` gives the media of a run by id, ``code(workspace, run)`` its code by path, ``versions(workspace)`` the
artifacts: all bytes, with every sum and id compared on the way.
"""

import struct

from blake3 import blake3

from cellar_reader import TYPES, Bytes, Fields, body, decrypt, derive, keyed, need, unseal, unzstd

TYPES |= {
    "AliasSet": "name:text version:id clock:u64",
    "Artifact": "project:id name:text kind:text created:i64 collection:bool next_version:u32 versions:[VersionRef"
    " aliases:[AliasSet extra:Extra",
    "Content": ("FileContent", "[byte", "", "Reference"),
    "FileContent": "size:u64 offset:u64 executable:bool chunks:[u32,id source:FileFacts",
    "FileFacts": "inode:u64 modified_ns:i64 changed_ns:i64",
    "Manifest": "packs:[id entries:[ManifestEntry extra:Extra",
    "ManifestEntry": "path:[byte content:Content extra:Extra",
    "Media": "kind:text format:text metadata:[Token parts:[id extra:Extra",
    "Reference": "uri:text size:?u64 digest:text",
    "Version": "artifact:id number:u32 created:i64 read_from_ns:i64 digest:hash files:u64 bytes:u64 parts:[[byte"
    " description:text metadata:[Token made_by:id used_by:[id,i64 extra:Extra",
    "VersionRef": "number:u32 version:id time:i64",
}
FILE, LINK, DIRECTORY, REFERENCE = range(4)

# Packs


class Pool:
    """All chunks of a class of a project, out of its packs and their buckets."""

    def __init__(self, workspace, project, purpose):
        rows = [row[0] for row in workspace.keys.values() if row[1:3] == (project, purpose)]
        need(len(rows) == 1, "one blob key")
        self.workspace, self.key, self.chunks = workspace, workspace.key(rows[0]), {}
        self.name = derive("runcellar 1 chunk id", self.key[1])
        for path in workspace.directory.glob("packs/*/*.pack"):
            self.take(bytes.fromhex(path.stem), path.read_bytes())

    def take(self, pack, data):
        need(data[:12] == b"rcpackfl\1\1\0\0" and data[12:28] == pack and data[-4:] == pack[:4], "pack: header or end")
        need(len(data) % 4096 == 0, "pack: off the grid")
        end = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
        sealed = data[end:-8]
        if sealed[4:20] != self.key[0]:
            return  # another pool's
        text = unseal(self.key, self.workspace.id, 23, pack, sealed)
        need(text == self.workspace.objects[23, pack, 0], "pack: another directory than its row")
        directory, bucket = Bytes(text), Bytes(self.workspace.objects[14, pack, 0])
        version, count = directory.get("BI")
        need(version == 1 and 1 <= count <= 4096 and bucket.get("BH") == (1, count), "pack: directory or bucket")
        ids = [directory.take(16) for _ in range(count)]
        facts = [int.from_bytes(directory.take(3), "little") for _ in range(count)]
        at = 28
        for chunk, fact, key in zip(ids, facts, keys_of(bucket, count)):
            form, length = fact >> 18, (fact & 0x3FFFF) + 1
            stored = 16 + (int.from_bytes(directory.take(3), "little") + 1 if form else length)
            if key:
                self.chunks[chunk] = key, data[at : at + stored], form, length
            at += stored
        padding = directory.get("I")
        need(at + padding == end and not any(directory.data[directory.at :]), "pack: lengths")
        secret = derive("runcellar 1 padding", self.key[1] + pack + struct.pack("<I", padding), 44)
        zeros = decrypt(secret[:32], secret[32:], data[at:end], self.workspace.id + pack)
        need(not any(zeros), "pack: padding")

    def chunk(self, chunk):
        need(chunk in self.chunks, f"chunk {chunk.hex()} is missing")
        key, sealed, form, length = self.chunks[chunk]
        secret = derive("runcellar 1 chunk", key + chunk + bytes([form]), 44)
        place = self.workspace.id + struct.pack("<H16sBI", 12, chunk, form, length)
        content = opened(decrypt(secret[:32], secret[32:], sealed, place), form, length)
        need(keyed(self.name, content)[:16] == chunk, "chunk: another content than its id names")
        return content

    def file(self, content):
        data = b"".join(self.chunk(chunk) for _, chunk in content.chunks)
        need(len(data) == content.size, "file: length")
        return data


def keys_of(bucket, count):
    """Returns the keys of a bucket in order; None for one that was dropped."""
    keys = []
    while len(keys) < count:
        run = bucket.get("H")
        here = run & 0x7FFF
        need(1 <= here <= count - len(keys), "bucket: a run")
        keys += [None] * here if run & 0x8000 else grown(bucket.take(32), here)
    need(bucket.at == len(bucket.data), "bucket: trailing bytes")
    return keys


def grown(secret, count):
    """Returns the keys that grow from the secret of a run."""
    if count == 1:
        return [secret]
    both, half = derive("runcellar 1 chunk keys", secret, 64), 1 << (count - 1).bit_length() - 1
    return grown(both[:32], half) + grown(both[32:], count - half)


def opened(stored, form, length):
    """Undoes the form of a chunk."""
    if form == 0:
        content = stored
    elif form == 1:
        content = unzstd(stored)
    else:
        size, planes = 2 ** (form - 1), Bytes(stored)
        count, out = length // size, bytearray(length)
        for place in range(size):
            tag, held = planes.get("BI")
            plane = planes.take(held)
            need(tag == 0 or (tag == 1 and held < count), "plane")
            out[place : count * size : size] = unzstd(plane) if tag else plane
        out[count * size :] = planes.take(length - count * size)
        need(planes.at == len(stored), "planes: trailing bytes")
        content = bytes(out)
    need(len(content) == length and (form == 0 or len(stored) < length), "chunk: length")
    return content


# Manifests


def entries(workspace, obj, first):
    """Returns the entries of a manifest in order: of a path that is listed again the later one."""
    found = {}
    places = sorted(at for kind, of, at in workspace.objects if (kind, of) == (13, obj) and first <= at < first + 2**32)
    for at in places:
        for entry in body("Manifest", workspace.objects[13, obj, at]).entries:
            path, (kind, content) = bytes(entry.path), entry.content
            parts = path.split(b"/")
            need(b"\0" not in path and not {b"", b".", b".."} & set(parts), "path")
            if kind == FILE and content.offset:
                content.chunks = found[path].content.chunks + content.chunks
            extra = {number: bytes(text) for number, text in entry.extra.fields}
            found[path] = Fields(kind=kind, content=content, extra=extra)
    return found


def code(workspace, run):
    """Returns the code that is kept with a run, by path."""
    listed = entries(workspace, run.object, 2**32)
    pool = Pool(workspace, run.project, 41) if listed else None
    return {path: pool.file(entry.content) for path, entry in listed.items()}


def media(workspace, run):
    """Returns the media of a run by id in hexadecimal: what is said of each, and its files by name."""
    listed = entries(workspace, run.object, 2**33)
    pool, found, said = Pool(workspace, run.project, 42) if listed else None, {}, {}
    for path, entry in listed.items():
        number, name = path.decode().split("/", 1)
        found.setdefault(number, {})[name] = pool.file(entry.content)
        if name == "content":
            said[number] = entry.extra[1]
    for number, files in found.items():
        ordered = sorted(files.items(), key=lambda file: (file[0] != "content", file[0]))
        text = [said[number]] + [part for name, content in ordered for part in (name.encode(), content)]
        text = b"".join(struct.pack("<Q", len(part)) + part for part in text)
        need(keyed(derive("runcellar 1 media id", pool.key[1]), text)[:16].hex() == number, "media id")
    return {number: (body("Media", said[number]), files) for number, files in found.items()}


# Artifacts


def versions(workspace):
    """Returns all versions of artifacts and links by (project, name, number): the record, and what stands at each path."""
    artifacts = {obj: body("Artifact", text) for (kind, obj, _), text in workspace.objects.items() if kind == 20}
    found = {}
    for artifact in artifacts.values():
        for listed in artifact.versions:
            version = body("Version", workspace.objects[24, listed.version, 0])
            pool = Pool(workspace, artifacts[version.artifact].project, 40)
            hasher, content = blake3(b"runcellar 1 artifact"), {}
            for path, entry in entries(workspace, listed.version, 0).items():
                kind, what = entry.kind, entry.content
                hasher.update(sized(path) + bytes([kind]))
                if kind == FILE:
                    hasher.update(struct.pack("<?Q", what.executable, what.size) + b"".join(id for _, id in what.chunks))
                    content[path] = pool.file(what), what.executable
                elif kind == LINK:
                    content[path] = bytes(what)
                    hasher.update(sized(content[path]))
                elif kind == REFERENCE:
                    size = 2**64 - 1 if what.size is None else what.size
                    hasher.update(sized(what.uri.encode()) + struct.pack("<Q", size) + sized(what.digest.encode()))
                    content[path] = what.uri, what.size, what.digest
                else:
                    content[path] = None
            need(hasher.digest() == version.digest, "digest of a version")
            found[workspace.projects[artifact.project], artifact.name, listed.number] = version, content
    return found


def sized(part):
    return struct.pack("<Q", len(part)) + part
