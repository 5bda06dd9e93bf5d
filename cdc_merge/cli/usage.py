"""What people mistype on the command line, and what to write instead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn

import click

_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")


class Moment(click.DateTime):
    """A day or a second, in UTC."""

    def __init__(self) -> None:
        super().__init__(_FORMATS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment: datetime = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no time: write 2026-11-24 or 2026-11-24T10:58:00Z (UTC)", param, ctx)
        return moment.replace(tzinfo=UTC)


class Command(click.Command):
    """A command that says what a word too many may have been meant as."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [a for a in args if not a.startswith("-")]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            takes_source = any(p.name == "source" for p in self.params)
            if "unexpected extra argument" in error.message and takes_source:
                _say(error, f"to name a source: {ctx.command_path} --source {words[0]}")
            raise


class Commands(click.Group):
    """The group of all commands: their options stand behind them."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in {o for c in self.commands.values() for p in c.params for o in p.opts}:
                _say(error, f"options stand after the command: {ctx.command_path} COMMAND {error.option_name} …")
            raise


Commands.group_class = Commands


def _say(error: click.UsageError, hint: str) -> NoReturn:
    raise click.UsageError(f"{error.format_message()}\n  hint: {hint}", error.ctx) from error


__all__ = ["Command", "Commands", "Moment"]
