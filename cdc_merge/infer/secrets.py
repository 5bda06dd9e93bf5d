"""Keeps what is secret in a warehouse's URL out of the configuration: it comes from the environment there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cdc_merge.config.document import read_document
from cdc_merge.logs import SECRET_WORDS

_PREFIX = "CDC_MERGE_WAREHOUSE"
# scheme://user:password@…; up to the last @, because a password may hold one that nobody escaped.
_PASSWORD = re.compile(r"(?P<before>^[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:)(?P<secret>.+)(?=@)")
# Options of drivers: password, sslpassword, passcode, token, private_key, private_key_file_pwd.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_OPTION = re.compile(rf"(?P<before>[?&](?P<name>[\w-]*{SECRET_WORDS}[\w-]*)=)(?P<secret>[^&]+)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:/@]*):[0-9]+(/.*)?")
_REFERENCE = re.compile(r"\$\{[^}]*\}")


@dataclass(frozen=True)
class SafeUrl:
    """A URL with references such as `${CDC_MERGE_WAREHOUSE_PASSWORD}` for its secrets, and the variables' names."""

    url: str
    variables: tuple[str, ...] = ()


def hide_secrets(url: str) -> SafeUrl:
    """References that are there already stay as they are."""
    variables: list[str] = []

    def hidden(found: re.Match[str], name: str) -> str:
        if _REFERENCE.fullmatch(found["secret"]):
            return found[0]
        variables.append(f"{_PREFIX}_{name}")
        return f"{found['before']}${{{variables[-1]}}}"

    def hidden_option(found: re.Match[str]) -> str:
        return hidden(found, re.sub(r"\W", "_", found["name"]).upper())

    address, mark, options = url.partition("?")
    authority = address.partition("://")[2]
    # A user and a colon, but no host before the question mark: it is in a password that nobody escaped.
    is_user = ":" in authority.partition("/")[0] and not _HOST_AND_PORT.fullmatch(authority)
    if "@" in options and "@" not in authority and is_user:
        address, mark, options = url, "", ""
    address = _PASSWORD.sub(lambda found: hidden(found, "PASSWORD"), address)
    options = _OPTION.sub(hidden_option, mark + options)
    return SafeUrl(address + options, tuple(dict.fromkeys(variables)))


def with_environment(url: str, environ: Mapping[str, str]) -> str:
    """The URL as a run would read it, with the environment put in; what is not set stays as it is written."""
    return str(read_document(f"url: {json.dumps(url, ensure_ascii=False)}\n", environ).root.get("url").value)
