"""The server: speaks Postgres' protocol to the client and to a Postgres, and stands between them.

https://www.postgresql.org/docs/current/protocol.html
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder

from tests.doubles.redshift.copy import Column, CopyCommand, DynamoDBCommand, read_dynamodb, read_files
from tests.doubles.redshift.documents import JsonCommand, Scanned, read_documents
from tests.doubles.redshift.refusals import Refused
from tests.doubles.redshift.translation import OWN, Translated, translate

_SSL, _CANCEL = 80877103, 80877102
_BYTEA, _JSONB, _VARBYTE, _SUPER = 17, 3802, 6551, 4000
_VERSION = b"server_version"
_REDSHIFTS_VERSION = b"8.0.2"  # https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-and-postgres-sql.html
BEHIND: dict[str, str] = {}
"""The Postgres behind each URL of a double: for tests of what no user of Redshift could see."""

_SETUP = Path(__file__).with_name("setup.sql")


def prepare_database(url: str) -> None:
    """Put what Postgres lacks of Redshift into a database, and undo its settings. `url`: of the Postgres itself."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_SETUP.read_text(encoding="utf-8"))
            cursor.execute("SELECT format('ALTER DATABASE %I RESET ALL', current_database())")
            ((reset,),) = cursor.fetchall()
            cursor.execute(reset)
    finally:
        connection.close()


class RedshiftDouble:
    """Listens on a port of its own; each connection goes on to the Postgres."""

    def __init__(self, postgres_url: str) -> None:
        parts = urlsplit(postgres_url)
        self._postgres = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="redshift-double", daemon=True).start()

    def url(self, postgres_url: str, *, staging: str) -> str:
        """The URL of the database behind `postgres_url`, through the double; `BEHIND` knows it from then on."""
        parts = urlsplit(postgres_url)
        user = parts.netloc.rpartition("@")[0]
        options = f"sslmode=disable&staging={staging}&iam_role=arn:aws:iam::123456789012:role/reads-staging"
        url = parts._replace(scheme="redshift", netloc=f"{user}@127.0.0.1:{self.port}", query=options).geturl()
        BEHIND[url] = postgres_url
        return url

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError, EOFError), client:
            while True:
                startup = _read_startup(client)
                (code,) = struct.unpack_from("!i", startup, 4)
                if code != _SSL:
                    break
                client.sendall(b"N")
            with socket.create_connection(self._postgres) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.sendall(startup)
                if code != _CANCEL:
                    _Conversation(_Wire(client), _Wire(server)).run()


@contextmanager
def redshift_double(postgres_url: str) -> Iterator[RedshiftDouble]:
    """A double for the time of the block."""
    double = RedshiftDouble(postgres_url)
    try:
        yield double
    finally:
        double.close()


def _read_startup(client: socket.socket) -> bytes:
    head = _read_exactly(client, 4)
    return head + _read_exactly(client, struct.unpack("!i", head)[0] - 4)


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    pieces = []
    while size:
        piece = sock.recv(min(size, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


@dataclass(frozen=True)
class _Message:
    kind: bytes
    body: bytes

    @property
    def bytes(self) -> bytes:
        return self.kind + struct.pack("!i", len(self.body) + 4) + self.body


class _Wire:
    """Reads and writes messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._reader = sock.makefile("rb", 1 << 16)
        self._waiting: list[bytes] = []

    def read(self) -> _Message:
        head = self._reader.read(5)
        if len(head) < 5:
            raise EOFError
        size = struct.unpack_from("!i", head, 1)[0] - 4
        body = self._reader.read(size)
        if len(body) < size:
            raise EOFError
        return _Message(head[:1], body)

    def send(self, message: _Message, *, at_once: bool = False) -> None:
        self._waiting.append(message.bytes)
        if at_once or len(self._waiting) > 100:
            self._socket.sendall(b"".join(self._waiting))
            self._waiting.clear()


class _Conversation:
    """One client's connection."""

    def __init__(self, client: _Wire, server: _Wire) -> None:
        self._client = client
        self._server = server
        self._copied = 0
        self._copies = 0
        self._status = b"I"
        self._oids: list[int] = []

    def run(self) -> None:
        self._authenticate()
        while True:
            message = self._client.read()
            if message.kind == b"X":
                self._server.send(message, at_once=True)
                return
            if message.kind != b"Q":
                self._refuse(Refused("the double speaks the simple protocol only", "0A000"))
                continue
            self._answer(message.body.rstrip(b"\0").decode())

    def _authenticate(self) -> None:
        while True:
            message = self._server.read()
            if message.kind == b"S" and message.body.startswith(_VERSION + b"\0"):
                message = _Message(b"S", _VERSION + b"\0" + _REDSHIFTS_VERSION + b"\0")
            self._client.send(message, at_once=message.kind in (b"R", b"Z", b"E"))
            if message.kind == b"Z":
                return
            if message.kind == b"E":
                raise EOFError
            if message.kind == b"R" and message.body[:4] not in (b"\0\0\0\0", b"\0\0\0\x0c"):
                self._server.send(self._client.read(), at_once=True)

    def _answer(self, sql: str) -> None:
        try:
            for translated in translate(sql, copied=self._copied, copies=self._copies) or [Translated(sql)]:
                self._run(translated)
        except Refused as refusal:
            self._refuse(refusal)
            return
        self._client.send(_Message(b"Z", self._status), at_once=True)

    def _run(self, translated: Translated) -> None:
        for sql in translated.first:
            if self._status != b"I" or not sql.startswith(
                "LOCK"
            ):  # else it is its own transaction, and locks by itself
                self._unseen(sql)
        if translated.copy:
            self._copy(translated.copy)
        else:
            self._server.send(_query(translated.sql), at_once=True)
            self._relay()
        for sql in translated.last:
            self._unseen(sql)

    def _relay(self) -> None:
        """The answer of the Postgres, as Redshift would give it; its end is left to the caller."""
        failure: Refused | None = None
        while True:
            message = self._server.read()
            match message.kind:
                case b"Z":
                    self._status = message.body
                    if failure:
                        raise failure
                    return
                case b"T":
                    self._client.send(self._described(message))
                case b"D":
                    self._client.send(self._row(message))
                case b"E":
                    failure = _failure(message)
                case b"N" | b"S" | b"A":
                    pass
                case _:
                    self._client.send(message)

    def _unseen(self, sql: str) -> list[list[bytes | None]]:
        self._server.send(_query(sql), at_once=True)
        rows: list[list[bytes | None]] = []
        failure: Refused | None = None
        while True:
            message = self._server.read()
            if message.kind == b"D":
                rows.append(_values(message.body))
            elif message.kind == b"E":
                failure = _failure(message)
            elif message.kind == b"Z":
                self._status = message.body
                if failure:
                    raise failure
                return rows

    def _copy(self, command: CopyCommand | DynamoDBCommand | JsonCommand) -> None:
        columns = [
            Column(str(name, "utf-8"), str(kind, "utf-8"), int(most) if most else None)  # type: ignore[arg-type]
            for name, kind, most in self._unseen(_columns(command.table))
        ]
        if not columns:
            raise Refused(f"relation {command.table} does not exist", "42P01")
        if isinstance(command, JsonCommand):
            [[dedup]] = self._unseen(f"SELECT current_setting('{OWN}.json_parse_dedup_attributes', true)")
            documents, scanned = read_documents(command, [c.type for c in columns], takes_the_last=dedup == b"on")
            self._load(command.table, "TEXT", ["".join(f"{_escaped(d)}\n" for d in documents).encode()])
            self._note(scanned)
            self._copied = len(documents)
        else:
            is_dynamodb = isinstance(command, DynamoDBCommand)
            table = read_dynamodb(command, columns) if is_dynamodb else read_files(command, columns)
            self._load(command.table, "BINARY", _encoded(table))
            self._copied = table.num_rows
        self._client.send(_notice(f"Load into table completed, {self._copied} record(s) loaded successfully."))
        self._client.send(_Message(b"C", b"COPY\0"))  # without a number

    def _note(self, scanned: list[Scanned]) -> None:
        """What SYS_LOAD_DETAIL tells of the last COPY."""
        self._copies += 1
        for file in scanned:
            url = file.url.replace("'", "''")
            self._unseen(
                f"INSERT INTO {OWN}.loads VALUES "
                f"(pg_backend_pid(), {self._copies}, '{url}', {file.bytes}, {file.lines}, '{file.etag}')"
            )

    def _load(self, name: str, form: str, pieces: Iterable[bytes]) -> None:
        self._server.send(_query(f"COPY {name} FROM STDIN WITH (FORMAT {form})"), at_once=True)
        failure: Refused | None = None
        while True:
            message = self._server.read()
            if message.kind == b"G":
                for piece in pieces:
                    self._server.send(_Message(b"d", piece))
                self._server.send(_Message(b"c", b""), at_once=True)
            elif message.kind == b"E":
                failure = _failure(message)
            elif message.kind == b"Z":
                self._status = message.body
                if failure:
                    raise failure
                return

    def _refuse(self, refusal: Refused) -> None:
        if self._status == b"T":
            # An error ends the transaction, for the Postgres too.
            with suppress(Refused):
                self._unseen("SELECT refused_by_the_double")
        fields = {b"S": "ERROR", b"V": "ERROR", b"C": refusal.code, b"M": str(refusal)}
        body = b"".join(k + v.encode() + b"\0" for k, v in fields.items()) + b"\0"
        self._client.send(_Message(b"E", body))
        self._client.send(_Message(b"Z", self._status), at_once=True)

    def _described(self, message: _Message) -> _Message:
        """Types as Redshift numbers them."""
        (count,) = struct.unpack_from("!h", message.body)
        body = bytearray(message.body)
        place, self._oids = 2, []
        for _ in range(count):
            place = body.index(0, place) + 1 + 6
            (oid,) = struct.unpack_from("!i", body, place)
            self._oids.append(oid)
            struct.pack_into("!i", body, place, {_BYTEA: _VARBYTE, _JSONB: _SUPER}.get(oid, oid))
            place += 12
        return _Message(b"T", bytes(body))

    def _row(self, message: _Message) -> _Message:
        if _BYTEA not in self._oids:
            return message
        values = _values(message.body)
        for i, (oid, value) in enumerate(zip(self._oids, values, strict=True)):
            if oid == _BYTEA and value is not None:
                values[i] = value.removeprefix(b"\\x")
        parts = [struct.pack("!h", len(values))]
        for value in values:
            parts.append(struct.pack("!i", -1 if value is None else len(value)))
            parts.append(value or b"")
        return _Message(b"D", b"".join(parts))


def _query(sql: str) -> _Message:
    return _Message(b"Q", sql.encode() + b"\0")


def _notice(text: str) -> _Message:
    return _Message(b"N", b"SINFO\0C00000\0M" + text.encode() + b"\0\0")


def _encoded(table: pa.Table) -> Iterator[bytes]:
    encoder = ArrowToPostgresBinaryEncoder(table.schema)
    yield encoder.write_header()
    for batch in table.to_batches():
        yield encoder.write_batch(batch)
    yield encoder.finish()


def _escaped(text: str) -> str:
    """As COPY takes text: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2"""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _values(body: bytes) -> list[bytes | None]:
    (count,) = struct.unpack_from("!h", body)
    place, values = 2, list[bytes | None]()
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, place)
        place += 4
        values.append(None if size < 0 else body[place : place + size])
        place += max(size, 0)
    return values


def _columns(table: str) -> str:
    name = table.replace("'", "''")
    return (
        "SELECT a.attname, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, NULL) "
        "ELSE format_type(a.atttypid, NULL) END, "
        "CASE WHEN t.typtype = 'd' THEN split_part(t.typname, '_', 2) END "
        "FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid "
        f"WHERE a.attrelid = to_regclass('{name}') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )


def _failure(message: _Message) -> Refused:
    """An error of the Postgres in Redshift's words where these differ."""
    found: dict[str, str] = {}
    for part in message.body.split(b"\0"):
        if part:
            found[chr(part[0])] = part[1:].decode(errors="replace")
    code, text = found.get("C", "XX000"), found.get("M", "")
    if code == "40001":
        # c_serial_isolation-serializable-isolation-troubleshooting.html
        return Refused("1023 DETAIL: Serializable isolation violation on table", "XX000")
    if code == "23514" and "varchar_" in text:
        return Refused(f"value too long for type character varying: {text}", "22001")
    return Refused(text, code)


__all__ = ["BEHIND", "RedshiftDouble", "prepare_database", "redshift_double"]
