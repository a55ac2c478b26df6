"""Reads a runcellar workspace by docs/FORMAT.md alone: no code is shared with the store.

``Workspace(directory, key_file)`` opens it, checks the keyed sums and gives ``runs``: metadata, and all points of all
metrics, those of journals that were never ingested too. It writes nothing.
"""

import fcntl
import pathlib
import sqlite3
import struct
from types import SimpleNamespace as Fields

import numpy
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pcodec.wrapped import FileDecompressor

NIL = bytes(16)
HEAD = 76  # bytes of a sealed object before its ciphertext
HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
SCHEMA = "c7b67232c57fac6bf994cdd08591fe0c032ee603334c9c9222262e1b22328025"  # BLAKE3 of the sorted statements
RUNNING, CRASHED = 0, 3


class FormatError(Exception):
    """Bytes that the format refuses."""


def need(fits, what):
    if not fits:
        raise FormatError(what)


# Notation, Key pairs, Sealed object


def derive(context, data, length=32):
    return blake3(data, derive_key_context=context).digest(length)


def keyed(key, data):
    return blake3(data, key=key).digest()


def decrypt(key, nonce, text, associated):
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, text, associated)
    except InvalidTag:
        raise FormatError("changed, or moved from its place") from None


def pair(secret, salt):
    return X25519PrivateKey.from_private_bytes(derive("runcellar 1 pair", secret + salt))


def unseal(key, workspace, kind, obj, sealed, part=NIL, at=0, sub=0, device=NIL, seq=0):
    """Opens a sealed object with an owner key: (id, secret)."""
    need(sealed[:4] == b"rc\1\1" and len(sealed) >= HEAD + 16, "not a sealed object")
    derived = derive("runcellar 1 object", key[1] + sealed[20:44], 76)
    need(sealed[4:20] == key[0] and sealed[44:76] == derived[32:64], "sealed under another key")
    place = struct.pack("<2s16sH16s16s16sqI16sq", b"\1\1", workspace, kind, key[0], obj, part, at, sub, device, seq)
    return decrypt(derived[:32], derived[64:], sealed[HEAD:], place)


# Record bodies

TYPES = {
    "Close": "state:enum5 exit_code:?i32 time:i64 dropped:u64 extra:Extra",
    "Event": "time:i64 kind:u16 text:text",
    "Extra": "fields:[u16,[byte",
    "FieldChange": "field:enum19 key:text value:[Token",
    "Fields": "clock:u64 fields:[FieldChange",
    "GroupEntry": "place:u32 writer:id number:u32 first_sequence:u64 last_sequence:u64 rows:u32"
    " points:u64 first_step:i64 last_step:i64 first_time:i64 last_time:i64 parts:u32 best:bool sum:hash",
    "GroupPage": "entries:[GroupEntry",
    "GroupRange": "writer:id first:u32 last:u32",
    "Launched": "job:text restart:u32",
    "Launches": "writers:[id,u64,u32",
    "MetricDefinition": "name:text summary:[text step_metric:text goal:text hidden:bool",
    "Project": "name:text created:i64 extra:Extra",
    "Rewind": "time:i64 step:i64 launch:id writers:[id hidden:[GroupRange",
    "Rewinds": "all:[Rewind",
    "RootRow": "lineage:id device:id next_device_seq:u64 counter:u64 sum:hash keyslots_version:u64"
    " keyslots_hash:hash inode:u64 clock:u64",
    "RunHead": "version:u64 points:u64 rows:u64 series:u32 next_group:u32 sum:hash",
    "RunRecord": "id:text project:id created:i64 finished:?i64 state:enum5 exit_code:?i32 dropped:u64"
    " next_step:i64 name:text,u64 notes:text,u64 group:text,u64 job_type:text,u64 removed:?i64,u64"
    " tags:[Tag config:[text,[Token,u64 summary:[text,Value,u64 metrics:[MetricDefinition start:Start"
    " sessions:[Session extra:Extra",
    "SeriesEntry": "name:text points:u64 non_finite:u64 kinds:byte first_step:i64 last_step:i64"
    " min:?Value max:?Value sum:float first:Value last:Value",
    "SeriesPage": "entries:[SeriesEntry",
    "Session": "writer:id rank:u32 forked:bool superseded:bool state:enum5 started:i64 ended:i64",
    "Start": "run:id project:id run_id:text project_name:text name:text notes:text group:text"
    " job_type:text tags:[text config:[Token started:i64 resumed:bool forked_from:id rank:u32 host:text"
    " boot_id:text pid:u32 device:id program:text git_commit:text git_branch:text runtime:text extra:Extra",
    "Tag": "name:text add_id:id",
    "Tombstone": "clock:u64 keys:[id extra:Extra",
    "Token": ("", "bool", "i64", "float", "text", "u32", "u32"),
    "Value": ("float", "i64", "bool", "text"),
    "WriterRow": "run:id sequence:u64 closed:bool next_group:u32 missing:[u64,u64",
}


class Bytes:
    """Takes fields from the front of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(count <= len(self.data) - self.at, "ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def get(self, fields):
        values = struct.unpack("<" + fields, self.take(struct.calcsize("<" + fields)))
        return values if len(values) > 1 else values[0]

    def decode(self, kind):
        """Decodes a type: `[T` is a list of T, `?T` an option, `enumN` one of N, `T,U` fields side by side."""
        if kind.startswith("["):
            return [self.decode(kind[1:]) for _ in range(self.decode("u64"))]
        if "," in kind:
            return tuple(self.decode(part) for part in kind.split(","))
        if kind.startswith("?"):
            return self.decode(kind[1:]) if self.decode("bool") else None
        if kind[0] in "uie" and kind[-1].isdigit():
            first = self.get("B")
            need(first <= 253, "integer")
            value = first if first <= 250 else self.get("HIQ"[first - 251])
            need(first <= 250 or value > (250, 2**16 - 1, 2**32 - 1)[first - 251], "long form of an integer")
            need(value < (int(kind[4:]) if kind[0] == "e" else 2 ** int(kind[1:])), f"{kind}: too large")
            return value >> 1 ^ -(value & 1) if kind[0] == "i" else value
        if kind in ("bool", "byte", "float"):
            value = self.get("d" if kind == "float" else "B")
            need(kind != "bool" or value <= 1, "bool")
            return value == 1 if kind == "bool" else value
        if kind in ("text", "id", "hash"):
            data = self.take({"id": 16, "hash": 32}.get(kind) or self.decode("u64"))
            return data.decode() if kind == "text" else data
        if isinstance(TYPES[kind], tuple):
            number = self.decode(f"enum{len(TYPES[kind])}")
            value = self.decode(TYPES[kind][number]) if TYPES[kind][number] else None
            return value if kind == "Value" else (number, value)
        fields = (field.split(":") for field in TYPES[kind].split())
        return Fields(**{name: self.decode(inner) for name, inner in fields})


def unzstd(packed, limit=64 << 20):
    need(packed[:4] == b"\x28\xb5\x2f\xfd" and 0 <= zstandard.frame_content_size(packed) <= limit, "zstd")
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    text = unpacker.decompress(packed)
    need(unpacker.eof and not unpacker.unused_data, "not one whole zstd frame")
    return text


def body(kind, record):
    need(record[:1] == b"\1" and record[1:2] in (b"\0", b"\1"), f"{kind}: version or compression")
    data = Bytes(unzstd(record[2:]) if record[1] else record[2:])
    value = data.decode(kind)
    need(data.at == len(data.data), f"{kind}: trailing bytes")
    return value


def field(record, number, kind):
    """Decodes the body in a field of `extra`; none if there is none."""
    found = dict(record.extra.fields).get(number)
    return body(kind, bytes(found)) if found else None


def nested(tokens):
    """Builds the value that tokens walk."""

    def one():
        number, value = next(rest)
        if number == 5:
            return [one() for _ in range(value)]
        return {one(): one() for _ in range(value)} if number == 6 else value

    rest = iter(tokens)
    value = one()
    need(next(rest, None) is None, "trailing tokens")
    return value


# Row groups


def widen(singles):
    bits = singles.view("<u4").astype("<u8")
    nans = bits >> 31 << 63 | 0x7FF << 52 | (bits & 0x7F_FFFF) << 29
    with numpy.errstate(invalid="ignore"):  # a signalling NaN is cast, too, and not taken
        return numpy.where(numpy.isnan(singles), nans, singles.astype("<f8").view("<u8")).view("<f8")


def pco(data, count, kind, dtype):
    file, at = FileDecompressor.new(data)
    chunk, more = file.chunk_decompressor(data[at:], kind)
    out = numpy.empty(count, dtype)
    progress, page = chunk.read_page_into(data[at + more :], count, out)
    need(progress.finished and at + more + page == len(data), "pco")
    return out


def integers(tag, data, count):
    plain = numpy.frombuffer(data, "<i8") if tag in (1, 2, 9) else None
    if tag in (1, 2):
        return plain[0] + numpy.arange(count) * (plain[1] if tag == 2 else 0)
    need(tag in (3, 4, 9), "integer column")
    return plain if tag == 9 else pco(data, count, *(("i64", "<i8") if tag == 3 else ("i32", "<i4"))).astype("<i8")


def floats(tag, data, count):
    if tag in (1, 9):
        return integers(tag, data, count).view("<f8")
    if tag in (7, 8):
        return widen(pco(data, count, "f32", "<f4")) if tag == 7 else pco(data, count, "f64", "<f8")
    need(tag in (5, 6), "float column")
    numbers = integers(data[1], data[2:], count)
    values = numbers / numpy.float64(10 ** data[0])
    values = values if tag == 5 else widen(values.astype("<f4"))
    for above, special in enumerate((-0.0, numpy.inf, -numpy.inf, numpy.nan), 1):
        values[numbers == 2**53 + above] = special
    return values


def bools(tag, data, count):
    bits = numpy.frombuffer(data, "u1")
    return (numpy.unpackbits(bits, count=count, bitorder="little") if tag == 10 else bits.repeat(count)) == 1


def texts(tag, data, count):
    if tag == 1:
        return [data.decode()] * count
    data = Bytes(unzstd(data, (64 << 20) + 4 * count) if tag == 11 else data)
    return [data.take(length).decode() for length in struct.unpack(f"<{count}I", data.take(4 * count))]


def media(tag, data, count):
    """Ids of media files in hexadecimal."""
    need(tag in (1, 13) and len(data) == (16 if tag == 1 else 16 * count), "media column")
    return [data.hex()] * count if tag == 1 else [data[at : at + 16].hex() for at in range(0, len(data), 16)]


def histograms(data, count):
    """Lists of edges, which one each histogram has, and all counts one after the other."""
    data = Bytes(data)
    known = data.get("I")
    need(known <= count, "histogram: more edges than histograms")
    bins = [data.get("I") for _ in range(known)]
    need(all(1 <= one <= 4096 for one in bins), "histogram: bins")
    tag, length = data.get("BI")
    which = integers(tag, data.take(length), count).tolist()
    need(list(dict.fromkeys(which)) == list(range(known)), "histogram: edges are not numbered by first use")
    tag, length = data.get("BI")
    edges = floats(tag, data.take(length), sum(bins) + known).tolist()
    starts = [sum(bins[:at]) + at for at in range(known)]
    counts = floats(data.get("B"), data.take(len(data.data) - data.at), sum(bins[at] for at in which)).tolist()
    for at in which:
        mine, counts = counts[: bins[at]], counts[bins[at] :]
        yield histogram(edges[starts[at] : starts[at] + bins[at] + 1], mine)


def histogram(edges, counts):
    need(all(low <= high for low, high in zip(edges, edges[1:], strict=False)), "histogram: edges")
    need(all(count >= 0 for count in counts), "histogram: counts")
    return {"edges": edges, "counts": counts}


def group(part):
    """Yields (series, step, time, value) of each point of a row group; `part(n)` opens its n-th part."""
    main = Bytes(part(0))
    version, flags, rows = main.get("BB16xI16x")
    need((version, flags) == (1, 0), "row group: version or flags")

    def numbers(count):
        tag, length = main.get("BI")
        return integers(tag, main.take(length), count).tolist()

    steps, times = numbers(rows), numbers(rows)
    presences = [range(rows)] + [numbers(main.get("I")) for _ in range(main.get("I"))]
    parts = 0
    for _ in range(main.get("I")):
        series, kind, tag, presence, length = main.get("IBBII")
        if length > 512:
            main.take((44, 40, 40, 0, 0, 0)[kind - 1])
            parts += 1
        data, present = part(parts) if length > 512 else main.take(length), presences[presence]
        need(len(data) == length, "row group: length of a part")
        need(1 <= kind <= 6 and (kind == 5) == (tag == 12), "row group: kind or tag")
        if kind == 5:
            values = list(histograms(data, len(present)))
        else:
            values = (floats, integers, bools, texts, None, media)[kind - 1](tag, data, len(present))
        for row, value in zip(present, values if kind >= 4 else values.tolist(), strict=True):
            yield series, steps[row], times[row], value


# Journal


def frames(data, at, keys, workspace, journal):
    """Yields (sequence, text) of all frames that open; what does not is passed over."""
    while 0 <= at <= len(data) - 44:
        length, sequence, nonce = struct.unpack_from("<4xIQ12s", data, at)
        prefix, text = data[at : at + 16], data[at + 28 : at + 44 + length]
        try:
            need(prefix[:4] == journal[:4] and length <= 16 << 20 and len(text) == length + 16, "frame")
            text = decrypt(keys[:32], nonce, text, workspace + journal + prefix)
        except FormatError:
            at = data.find(journal[:4], at + 1)
            continue
        yield sequence, text
        at += 44 + length


def values_of(data, heads):
    """The values of a row by the metric's index."""
    values = {}
    for head in heads:
        kind = head >> 24
        need(1 <= kind <= 7, "type of a value")
        if kind == 6:
            bins = data.get("I")
            need(1 <= bins <= 4096, "histogram: bins")
            numbers = struct.unpack(f"<{2 * bins + 1}d", data.take(8 * (2 * bins + 1)))
            values[head & 0xFF_FFFF] = histogram(list(numbers[: bins + 1]), list(numbers[bins + 1 :]))
            continue
        if kind == 7:
            values[head & 0xFF_FFFF] = data.take(16).hex()
            continue
        value = data.take(data.get("I")).decode() if kind == 5 else data.get(".dfqB"[kind])
        if kind == 2:
            value = widen(numpy.frombuffer(data.data[data.at - 4 : data.at], "<f4")).tolist()[0]
        need(kind != 4 or value <= 1, "bool")
        values[head & 0xFF_FFFF] = value == 1 if kind == 4 else value
    return values


def records(text, shapes):
    """Yields (kind, content) of the records of a frame; `shapes` are those of its file so far."""
    data, bodies = Bytes(text), {1: "Start", 4: "Fields", 6: "Close", 7: "Event"}
    while data.at < len(text):
        kind = data.get("B")
        if kind in bodies:
            yield bodies[kind], body(bodies[kind], data.take(data.get("I")))
        elif kind == 2:
            index, length = data.get("II")
            need(index < 1 << 24 and length <= 4096, "metric")
            yield "Metric", (index, data.take(length).decode())
        elif kind == 3:
            step, time, count = data.get("qqI")
            yield "Row", (step, time, values_of(data, (data.get("I") for _ in range(count))))
        elif kind == 8:
            number, count = data.get("BI")
            heads = [data.get("I") for _ in range(count)]
            need(all(1 <= head >> 24 <= 6 for head in heads), "type of a value")
            need(shapes.setdefault(number, heads) == heads, "a shape that was another before")
            need(sum(map(len, shapes.values())) <= 1 << 16, "heads of shapes")
        elif kind == 9:
            number, step, time = data.get("Bqq")
            need(number in shapes, "a row of an unknown shape")
            yield "Row", (step, time, values_of(data, shapes[number]))
        else:
            need(kind == 5, f"record of kind {kind}")
            yield "Heartbeat", data.get("q")


# From records to runs


def clock_of(time):
    return (max(time, 0) // 1000) << 16 | max(time, 0) % 1000


def put(entries, key, value, clock):
    """Sets an entry (value, clock) unless the one that stands there has a higher clock."""
    if key not in entries or clock >= entries[key][1]:
        entries[key] = (value, clock)


def add_tag(run, name, add_id):
    if add_id not in run.tags:
        run.tags[add_id] = name


def set_field(run, change, clock):
    value, key, field = nested(change.value), change.key, change.field
    if field in (0, 1, 2, 3, 8):
        put(vars(run), {0: "name", 1: "notes", 2: "group", 3: "job_type", 8: "removed"}[field], value, clock)
    elif field in (4, 5):
        put(run.config if field == 4 else run.summary, key, value, clock)
    elif field in (11, 12):
        entries = run.config if field == 11 else run.summary
        if key in entries and clock >= entries[key][1]:
            del entries[key]
    elif field == 6:
        add_tag(run, key, bytes.fromhex(value))
    elif field == 7:
        run.tags = {add: name for add, name in run.tags.items() if name != key or add.hex() not in value.split()}


def begin(run, writer, start, new):
    """Takes the start of a writer in."""
    forked, clock = start.forked_from != NIL, clock_of(start.started)
    if writer in run.sessions:
        return
    launched = field(start, 3, "Launched")
    job = launched and int.from_bytes(blake3(launched.job.encode()).digest(8), "little")
    if new or (start.resumed and not forked):
        for session in run.sessions.values():
            other_job, restart = run.launches.get(session.writer, (None, 0))
            if launched and other_job == job:
                session.superseded |= session.rank == start.rank or restart < launched.restart
            else:
                session.superseded |= session.state != RUNNING or session.rank == start.rank
        for key, value in nested(start.config).items():
            put(run.config, key, value, clock)
        for tag in start.tags:
            add_tag(run, tag, blake3(tag.encode()).digest(16))
        for name in ("name", "notes", "group", "job_type"):
            if getattr(start, name):
                put(vars(run), name, getattr(start, name), clock)
    session = Fields(writer=writer, rank=start.rank, forked=forked, superseded=False, state=RUNNING)
    session.started = session.ended = start.started
    if launched:
        run.launches[writer] = (job, launched.restart)
    run.sessions[writer] = session


def take(run, writer, kind, content, names):
    """Takes a record in."""
    session = run.sessions[writer]
    if kind == "Row":
        step, time, values = content
        session.ended = max(session.ended, time)
        if not values or not all(names.get(index, "").startswith("\0") for index in values):
            if any(writer in rewind.writers and step > rewind.step for rewind in run.rewinds):
                return
            run.next_step = max(run.next_step, step + 1)
        for index, value in values.items():
            if index not in names:
                continue  # named in a damaged frame
            if not names[index].startswith("\0") and not isinstance(value, dict):
                put(run.summary, names[index], value, clock_of(time))
            run.points.setdefault(names[index], []).append((step, time, writer, value))
    elif kind == "Fields":
        for change in content.fields:
            set_field(run, change, content.clock)
    elif kind == "Heartbeat":
        session.ended = max(session.ended, content)
    elif kind == "Close":
        session.state, session.ended = content.state, max(session.ended, content.time)
        run.dropped += content.dropped
        if content.exit_code is not None and not session.forked:
            run.exit_code = content.exit_code


def settle(run):
    """Derives how a run stands from its sessions, and orders its points."""
    counted = [session for session in run.sessions.values() if not (session.forked or session.superseded)]
    severity = (4, 0, 1, 3, 2)  # of running, finished, failed, crashed, killed
    run.state = max((session.state for session in counted), key=lambda state: severity[state], default=RUNNING)
    run.finished = max(session.ended for session in counted) if run.state != RUNNING else None
    for points in run.points.values():
        points.sort(key=lambda point: point[:3])


def as_run(record, obj):
    """Makes of a run record what journals are folded into."""
    record.object, record.series, record.points = obj, [], {}
    launches = field(record, 3, "Launches")
    rewinds = field(record, 2, "Rewinds")
    record.rewinds = rewinds.all if rewinds else []
    record.launches = {writer: launch for writer, *launch in launches.writers} if launches else {}
    record.tags = {tag.add_id: tag.name for tag in record.tags}
    record.sessions = {session.writer: session for session in record.sessions}
    record.config = {key: (nested(value), clock) for key, value, clock in record.config}
    record.summary = {key: (value, clock) for key, value, clock in record.summary}
    return record


# Key file, keyslots, Key table, cellar.db, Keyed sums


class Workspace:
    """A workspace, opened with its key file; `runs` by the ids that users see."""

    def __init__(self, directory, key_file):
        self.directory = directory = pathlib.Path(directory).absolute()
        self.unlock((directory / "keyslots").read_bytes(), pathlib.Path(key_file).read_bytes())
        # Journals before the database: what is ingested in between is then in the database.
        journals = [self.journal(path) for path in directory.glob("journals/*.jnl")]
        db = sqlite3.connect(f"{(directory / 'cellar.db').as_uri()}?mode=ro", uri=True, isolation_level=None)
        db.execute("BEGIN")
        self.load(db)
        for journal in sorted(filter(None, journals), key=lambda journal: (journal.writer, journal.first)):
            self.replay(journal)
        for run in self.runs.values():
            settle(run)

    def unlock(self, slots, key_file):
        for data, magic in ((slots, b"rckeyslt"), (key_file, b"rckeyfil")):
            need(data[:12] == magic + b"\1\0\0\0" and data[-32:] == blake3(data[:-32]).digest(), magic.decode())
        entries = struct.iter_unpack("16s16s16x32s", key_file[16:-32])
        secrets = {slot: secret for workspace, slot, secret in entries if workspace == slots[12:28]}
        data = Bytes(slots[:-32])
        self.id, count = data.get("12x16s8xB")
        epochs = [data.get("8x16s16x") for _ in range(count)]
        data.take(36)
        data.take(64 * data.get("I"))
        every = [data.take(data.get("I")) for _ in range(data.get("I"))]
        slot = next((slot for slot in every if slot[:16] in secrets and slot[16] == 1), None)
        need(slot, "no slot for this key file")
        private = pair(secrets[slot[:16]], slot[:16])
        need(private.public_key().public_bytes_raw() == slot[22:54], "wrong key")
        self.epochs = {}
        for index, epoch in enumerate(epochs):
            sealed, info = slot[59 + 84 * index :][:80], b"runcellar 1 slot" + self.id + slot[:17] + epoch
            key = self.epochs[epoch] = HPKE.decrypt(sealed, private, info)
            mac = keyed(derive("runcellar 1 keyslots mac", key), slots[: -32 * (1 + count)])
            need(mac == data.take(32), "keyslots: MAC")

    def key(self, key_id):
        """Opens a key of the key table: at most two wraps."""
        need(key_id in self.keys, f"key {key_id.hex()} is missing")
        _, owner, purpose, epoch, wrap = self.keys[key_id]
        by = wrap[4:20]
        need(by == epoch or (purpose != 33 and self.keys[by][2] == 33), "wrapping key")
        wrapping = (epoch, self.epochs[epoch]) if by == epoch else self.key(by)
        return key_id, unseal(wrapping, self.id, 1, owner, wrap, part=epoch, at=purpose, device=key_id)

    def load(self, db):
        schema = sorted(sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"))
        need(blake3("\n".join(schema).encode()).hexdigest() == SCHEMA, "schema of cellar.db")
        self.keys = {row[0]: row for row in db.execute("SELECT id, owner, purpose, epoch, wrap FROM key")}
        own = {purpose: self.key(key_id) for key_id, _, purpose, *_ in self.keys.values() if purpose >= 64}
        self.lookup, self.ingest, integrity = own[64][1], own[68], own[66][1]

        def hashed(table, *columns):
            columns = b"".join(struct.pack("<Q", len(column)) + column for column in columns)
            return int.from_bytes(keyed(integrity, b"runcellar 1 row" + table + b"\0" + columns), "little")

        def compare(total, found, what):
            need((total % 2**256).to_bytes(32, "little") == found, f"{what}: rows are gone, or older ones put back")

        u16, u32, u64 = (struct.Struct(width).pack for width in ("<H", "<I", "<q"))
        epochs = db.execute("SELECT number, id, parent FROM epoch")
        total = sum(hashed(b"epoch", u64(number), *ids) for number, *ids in epochs)
        total += sum(hashed(b"key", *row[:2], bytes([row[2]]), row[3], row[4][:HEAD]) for row in self.keys.values())
        texts, pages, tags, self.objects = {}, {}, {}, {}
        sql = "SELECT kind, id, position, device, seq, tag, body FROM object ORDER BY kind, id, position"
        rows = db.execute(sql).fetchall()

        def opened(kind, obj, at, device, seq, _tag, sealed):
            return unseal(self.key(sealed[4:20]), self.id, kind, obj, sealed, at=at, device=device, seq=seq)

        # What is sealed under a key that a tombstone names was erased, and is no damage.
        erased = {key for row in rows if row[0] == 18 for key in body("Tombstone", opened(*row)).keys}
        need(not erased & self.keys.keys(), "a key that was erased is there")
        for kind, obj, at, device, seq, tag, sealed in rows:
            if sealed[4:20] not in erased:
                text = opened(kind, obj, at, device, seq, tag, sealed)
                texts.setdefault((kind, obj), []).append(text)
                tags[tag], self.objects[kind, obj, at] = obj, text
            row = hashed(b"object", u16(kind), obj, u64(at), device, u64(seq), tag or b"", sealed[:HEAD])
            if kind in (5, 6, 22):
                pages[obj] = pages.get(obj, 0) + row
            total += row if kind not in (5, 6, 9, 22) else 0
        compare(total, body("RootRow", texts[9, NIL][0]).sum, "cellar.db")
        self.tags, self.runs = tags, {}
        self.projects = {obj: body("Project", text).name for (kind, obj), [text, *_] in texts.items() if kind == 2}
        self.writers = {obj: body("WriterRow", text) for (kind, obj), [text, *_] in texts.items() if kind == 11}
        for obj in [obj for kind, obj in texts if kind == 3]:
            run = as_run(body("RunRecord", texts[3, obj][0]), obj)
            self.runs[run.id] = run
            compare(pages.get(obj, 0), body("RunHead", texts[4, obj][0]).sum, f"run {run.id}")
            run.series = [entry.name for text in texts.get((5, obj), []) for entry in body("SeriesPage", text).entries]
            for entry in [entry for text in texts.get((6, obj), []) for entry in body("GroupPage", text).entries]:
                ranges = [(r.writer, r.first, r.last) for rewind in run.rewinds for r in rewind.hidden]
                hidden = any(entry.writer == of and first <= entry.number <= last for of, first, last in ranges)
                sql = "SELECT part, body FROM block WHERE run = ? AND writer = ? AND number = ?"
                parts = dict(db.execute(sql, (obj, entry.writer, entry.number)))
                place = obj, entry.writer, u32(entry.number)
                total = sum(hashed(b"block", *place, u32(part), sealed[:HEAD]) for part, sealed in parts.items())
                compare(total, entry.sum, f"block {entry.number} of run {run.id}")

                def part(number, parts=parts, obj=obj, entry=entry):
                    where = {"part": entry.writer, "at": entry.number, "sub": number}
                    return unseal(self.key(parts[number][4:20]), self.id, 7, obj, parts[number], **where)

                for series, step, time, value in () if hidden else group(part):
                    run.points.setdefault(run.series[series], []).append((step, time, entry.writer, value))

    def journal(self, path):
        """Reads a journal; none if it ends inside its header."""
        with path.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                live = False
            except OSError:
                live = True
            data = Bytes(file.read())
        try:
            magic, journal, writer, first, source, length = data.get("10s16s16sQBI")
            key, _salt, bound, commitment = data.take(length), data.take(24), data.data[: data.at], data.take(32)
        except FormatError:
            return None
        need(magic == b"rcjournl\1\1" and length == {1: 16, 2: 84}.get(source), f"{path.name}: header")
        if source == 2:
            key = key[4:]
        return Fields(id=journal, writer=writer, first=first, source=source, key=key, bound=bound,
                      commitment=commitment, data=data.data, at=data.at, live=live)  # fmt: skip

    def replay(self, journal):
        """Takes in what the database does not have of a journal."""
        if journal.source == 1:
            secret = self.key(journal.key)[1]
        else:
            info = b"runcellar 1 journal key" + self.id + journal.id + journal.writer
            secret = HPKE.decrypt(journal.key, pair(self.ingest[1], self.ingest[0]), info)
        keys = derive("runcellar 1 journal", secret + journal.bound, 96)
        need(keys[32:64] == journal.commitment, "journal: another key, or a changed header")
        row = self.writers.setdefault(journal.writer, Fields(sequence=0, closed=False, missing=[]))
        names, shapes, run, taken = {}, {}, None, row.__dict__.setdefault("taken", set())
        for sequence, text in frames(journal.data, journal.at, keys, self.id, journal.id):
            news = sequence > row.sequence or any(first <= sequence <= last for first, last in row.missing)
            news = news and sequence not in taken
            taken.add(sequence)
            for kind, content in records(text, shapes):
                need(kind == "Metric" or (kind == "Start") == (sequence == 0), "record out of place")
                if kind == "Start":
                    run = self.run_of(content)
                    begin(run, journal.writer, content, new=not run.sessions)
                elif kind == "Metric":
                    index, name = content
                    need(names.setdefault(index, name) == name, "metric of two names")
                elif news:
                    row.closed |= kind == "Close"
                    take(run, journal.writer, kind, content, names)
        if run and not (journal.live or row.closed):
            session = run.sessions[journal.writer]
            session.state = CRASHED if session.state == RUNNING else session.state

    def run_of(self, start):
        """Finds the run that a start record speaks of, or makes it."""
        tag = keyed(self.lookup, b"runcellar 1 lookup" + struct.pack("<H", 3) + NIL + start.run_id.encode())
        run = next((run for run in self.runs.values() if run.object == self.tags.get(tag)), None)
        if not run and start.run_id not in self.runs:
            # The encoding of a record that says nothing is zeros.
            run = as_run(Bytes(bytes(512)).decode("RunRecord"), start.run)
            run.id, run.project, run.created, run.start = start.run_id, start.project, start.started, start
            self.projects.setdefault(start.project, start.project_name)
            self.runs[run.id] = run
        return run or self.runs[start.run_id]
