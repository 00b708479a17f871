"""What is wrong with MLflow's store, in one line with its remedy, and soon: MLflow itself tries for minutes."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from urllib.parse import urlsplit

SQL = ("sqlite", "postgresql", "mysql", "mssql")
LONGEST = 160  # of an error's own words
PACKAGES = {"psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary]", "botocore": "boto3",
            "MySQLdb": "mysqlclient", "pymysql": "pymysql", "pyodbc": "pyodbc"}  # fmt: skip
ELSEWHERE = "name another store in MLFLOW_TRACKING_URI"
NEWER = f"a newer MLflow made it: install that one, or {ELSEWHERE}"
FILES = "stores of files are no longer taken: set MLFLOW_TRACKING_URI to sqlite:///mlflow.db, or leave it out"
KINDS = "MLFLOW_TRACKING_URI begins with http://, https://, sqlite:///, postgresql:// or mysql://"
_REMEDIES = (
    (r"database is locked", "another program holds it: end that first"),
    (r"not a database", f"move that file away, or {ELSEWHERE}"),
    (r"unable to open database", f"it is a folder or may not be opened: move it away, or {ELSEWHERE}"),
    (r"readonly database|read-only", f"make it writable, or {ELSEWHERE}"),
    (r"database or disk is full", "free some space"),
    (r"out-of-date database schema", "back it up and run `mlflow db upgrade` with its address"),
    (r"locate revision", NEWER),
    (r"unsupported URI", KINDS),
    (r"valid JSON format|error code 404|no MLflow server", "correct MLFLOW_TRACKING_URI, or leave it out"),
    (r"error code 40[13]", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
    (r"failed with exception HTTPS?ConnectionPool", f"start that server, or {ELSEWHERE}"),
    (r"maintenance mode|file ?store|filesystem tracking", FILES),
)


def without_password(text: str) -> str:
    """Return a text with the passwords of its addresses left out: ``http://me:***@host``."""
    return re.sub(r"(://[^\s/@:]*):[^\s/@]*@", r"\1:***@", text)


def address_problem(uri: str) -> str | None:
    """Say why an address names no store that would keep anything, in one line with its remedy; None where it may."""
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        return f"MLFLOW_TRACKING_URI = {uri!r} is no address ({error}); correct it, or leave it out"
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        return f"MLFLOW_TRACKING_URI = {uri!r} has no http:// at its beginning; add it"
    if parts.scheme.partition("+")[0] == "sqlite" and parts.path.strip("/") in ("", ":memory:"):
        return f"MLFLOW_TRACKING_URI = {uri!r} names no file, so nothing would be kept; write sqlite:///mlflow.db"
    return None


def probe(uri: str) -> None:
    """Connect once to a store that is a database, which MLflow would try ten times with growing pauses.

    Raises:
        SQLAlchemyError: it cannot be opened or read.
        ImportError: the package that speaks with it is missing.
    """
    if re.split(r"[:+]", uri, maxsplit=1)[0] not in SQL:
        return
    import sqlalchemy

    if uri.startswith("sqlite:///"):  # MLflow makes the folder too
        Path(sqlalchemy.make_url(uri).database or ".").parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(uri)
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def told(error: Exception) -> str:
    """Return an error of the store as one line with its remedy, where that is known."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = PACKAGES.get(error.name, error.name)
        return f"the store needs the package {package}, which is not installed: pip install {package}"
    text = str(error).strip()
    first = textwrap.shorten((text.splitlines() or [type(error).__name__])[0], LONGEST, placeholder=" ...")
    found = re.search(r"found version (\w+)", text)
    if found and not _is_known_schema(found[1]):
        return f"{first}; {NEWER}"
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text, re.IGNORECASE)), None)
    return f"{first}; {remedy}" if remedy else first


def _is_known_schema(revision: str) -> bool:
    """Tell whether the MLflow that is installed knows a revision of the schema, so that it can bring it up to date."""
    import mlflow.store.db_migrations

    folders = [Path(folder, "versions") for folder in mlflow.store.db_migrations.__path__]
    return any(list(folder.glob(f"{revision}_*.py")) for folder in folders)


def deleted(experiment: str, number: str, uri: str) -> str:
    """Return what to say of an experiment that was deleted on MLflow's pages, which keep its name taken."""
    return (
        f"the experiment '{experiment}' of {uri} was deleted: restore it (MLFLOW_TRACKING_URI={uri} mlflow experiments "
        f"restore -x {number}), or set tracking.experiment to another name"
    )
