"""Storing credentials with the daemon, and having it forget them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.asking import UnaskedError, ask_password, ask_user, read_secret
from pushd.ctl.exits import Exit
from pushd.ctl.logins_page import chosen, logins_table, stored
from pushd.ctl.printing import print_lines
from pushd.ctl.texts import clean, json_line
from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from argparse import Namespace


def login(typed: Namespace) -> Exit:
    """Store a credential for a registry."""
    if typed.password_stdin and not typed.username:
        typed.parser.error("--password-stdin needs --username")
    password = token = None
    username = typed.username
    try:
        if typed.token_stdin:
            token = read_secret()
        elif typed.password_stdin:
            password = read_secret()
        else:
            username = username or ask_user()
            password = ask_password()
    except UnaskedError as error:
        typed.parser.error(str(error))
    it = Client(typed.socket).login(
        typed.registry,
        name=typed.name,
        username=username,
        password=password,
        identity_token=token,
        expires_in=typed.expires,
    )
    print_lines([json_line(it)] if typed.json else stored(it, datetime.now(UTC)))
    return Exit.DONE


def logins(typed: Namespace) -> Exit:
    """List what is stored."""
    found = Client(typed.socket).logins()
    print_lines(map(json_line, found) if typed.json else logins_table(found, datetime.now(UTC)))
    return Exit.DONE


def logout(typed: Namespace) -> Exit:
    """Have one forgotten, by its name or its registry."""
    client = Client(typed.socket)
    found = chosen(client.logins(), typed.login)
    if not found:
        hint = "`pushctl logins` shows what is stored"
        raise RequestError(Code.REQUEST_NOT_FOUND, f"login {typed.login}", "there is none", hint=hint)
    if len(found) > 1:
        names = ", ".join(clean(it["name"]) for it in found)
        typed.parser.error(f"there are several for {clean(typed.login)}, name one: {names}")
    (it,) = found
    client.logout(it["name"])
    print(json_line(it) if typed.json else f"{clean(it['name'])} for {clean(it['registry'])} is forgotten", flush=True)
    return Exit.DONE
