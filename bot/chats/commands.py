"""The commands: one row each, for every chat, the help, the menus and docs/commands.md.

A row needs the texts `command-NAME`, `help-NAME`, `telegram-NAME` and `discord-NAME`, and for each argument
`discord-NAME-ARGUMENT`; see docs/how-to/add-a-command.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.core.loras import DEFAULT_EXTRA_STEPS, MAX_EXTRA_STEPS, MIN_EXTRA_STEPS
from bot.core.messages import Reply, Request, UseCase
from bot.core.photos import PHOTOS_PER_LORA
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts.commands import command_names, help_text


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands behind a command: a text, or a whole number where there is a `number_range`."""

    name: str
    is_required: bool = True
    number_range: tuple[int, int] | None = None
    default: int | None = None
    suggests_codes: bool = False  #: a platform that can offers the person's LoraCodes


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name in English, what it does, what stands behind it, and who may use it."""

    name: str
    use_case: Callable[[Services], UseCase]
    arguments: tuple[Argument, ...] = ()
    level: AccessLevel = AccessLevel.PERSON

    @property
    def is_admin(self) -> bool:
        """Whether it is for administrators."""
        return self.level is AccessLevel.ADMIN

    @property
    def names(self) -> tuple[str, ...]:
        """All names that it is understood by: its own, then those in other languages."""
        return (self.name,) if self.is_admin else command_names(self.name)


def _show_help(services: Services) -> UseCase:
    async def show_help(request: Request) -> Reply:
        """List the commands."""
        return help_text(
            request.identity.platform, COMMAND_NAMES, is_admin=services.access.is_admin(request.identity)
        )

    return show_help


_CODE = Argument("code", suggests_codes=True)
_STEPS = Argument("steps", False, (MIN_EXTRA_STEPS, MAX_EXTRA_STEPS), DEFAULT_EXTRA_STEPS)
_ADMIN = AccessLevel.ADMIN

#: In the order in which they are listed.
COMMANDS = (
    Command(
        "start",
        lambda services: services.messages.start_chat,
        (Argument("word", is_required=False),),
        AccessLevel.INVITED,
    ),
    Command("train", lambda services: services.photo_sets.start_training),
    Command("generate", lambda services: services.drafts.generate_from_text),
    Command(
        "compare",
        lambda services: services.comparisons.compare_strengths,
        (_CODE, Argument("prompt", is_required=False)),
    ),
    Command("show", lambda services: services.results.show_result, (Argument("id"),)),
    Command("codes", lambda services: services.loras.list_loras),
    Command("more", lambda services: services.continuations.continue_from_text, (_CODE, _STEPS)),
    Command(
        "replace",
        lambda services: services.continuations.replace_photo,
        (_CODE, Argument("photo", number_range=(1, PHOTOS_PER_LORA))),
    ),
    Command("ask", lambda services: services.sharing.request_access, (Argument("code"),)),
    Command("export", lambda services: services.results.export_lora, (_CODE,)),
    Command("queue", lambda services: services.jobs.show_queue),
    Command("cancel", lambda services: services.jobs.cancel_latest, (Argument("code", is_required=False),)),
    Command(
        "link",
        lambda services: services.account_links.link_accounts,
        (Argument("word", is_required=False),),
        AccessLevel.LINKING,
    ),
    Command("settings", lambda services: services.preferences.show_settings),
    Command(
        "report",
        lambda services: services.reports.report_lora,
        (Argument("code"), Argument("words", is_required=False)),
    ),
    Command("privacy", lambda services: services.accounts.show_privacy, level=AccessLevel.ANYBODY),
    Command("forgetme", lambda services: services.accounts.ask_to_erase, level=AccessLevel.ANYBODY),
    Command("help", _show_help, level=AccessLevel.ANYBODY),
    Command("status", lambda services: services.status.show_status, level=_ADMIN),
    Command("logs", lambda services: services.status.show_logs, level=_ADMIN),
    Command("reports", lambda services: services.status.show_reports, level=_ADMIN),
    Command("pause", lambda services: services.admin.pause, level=_ADMIN),
    Command("resume", lambda services: services.admin.resume, level=_ADMIN),
    Command("drain", lambda services: services.admin.drain, level=_ADMIN),
    Command("ban", lambda services: services.admin.ban, level=_ADMIN),
    Command("unban", lambda services: services.admin.unban, level=_ADMIN),
    Command("quota", lambda services: services.admin.show_quota, level=_ADMIN),
    Command("takedown", lambda services: services.admin.take_down, level=_ADMIN),
    Command("broadcast", lambda services: services.admin.broadcast, level=_ADMIN),
    Command("invite", lambda services: services.admin.invite, level=_ADMIN),
)


#: Those that everybody is offered.
COMMAND_NAMES = tuple(command.name for command in COMMANDS if not command.is_admin)


def find_command(name: str) -> Command | None:
    """Return the command of that name, in whatever language; None when there is none."""
    return next((command for command in COMMANDS if name in command.names), None)
