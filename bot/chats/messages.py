"""What people write to the bot: commands as they type them, plain words, and words under photos."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cachetools import LRUCache

from bot.chats.actions import route_action
from bot.chats.base import handle, handle_command
from bot.chats.commands import COMMAND_NAMES, Command, find_command
from bot.core.accounts import ChatAddress
from bot.core.loras import parse_code, split_code
from bot.core.messages import PhotoInput, Reply, Request
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts import current_language, translate, use_language
from bot.texts.commands import command_name, command_names, list_command_synonyms
from bot.texts.photo_sets import prepend_refusals

#: What is not meant for us is answered by nothing.
NO_REPLY = Reply("")
#: So many refused messages are known, should one of them be edited.
MAX_REFUSED_MESSAGES = 10_000
#: A slash, also a full-width one, the name, and whose command it is in a group; `/generate40713386` too.
_COMMAND_PATTERN = re.compile(
    r"[/\uff0f]([^\W\d_]+)(?:@(\w+))?(?:\s+|(?=[\d<])|[.!?,:;]+(?:\s+|\Z)|\Z)(.*)\Z", re.DOTALL
)
#: What people write for a slash, before a command that there is.
_LOOSE_COMMAND_PATTERN = re.compile(r"[/\uff0f\\!.]\s?([^\W\d_]+)(?::?\s+|\Z)(.*)\Z", re.DOTALL)
#: Commands that a word alone is taken for.
_WORD_COMMANDS = {"help", "codes", "queue", "settings", "privacy", "train"}
#: What a copied command may stand in, and a mention before it.
_MARKUP, _MENTION_PATTERN = "`*_~| \t\n", re.compile(r"\A\s*<@!?[0-9]+>")
#: Commands that photos belong to, and those that say what photos are for.
_PHOTO_COMMANDS, _SET_COMMANDS = {"start", "train"}, {"more", "replace"}
_GENERATE = "generate"


def has_slash(text: str) -> bool:
    """Return whether a message is written as a command."""
    return _without_markup(text).startswith(("/", "\uff0f"))


def _without_markup(text: str) -> str:
    text = _MENTION_PATTERN.sub("", text, count=1).strip()
    return text.strip(_MARKUP) if text.startswith(tuple(_MARKUP)) else text


@dataclass(frozen=True, slots=True)
class TypedCommand:
    """A command as it was typed; `command` is None where there is none of that name."""

    command: Command | None
    name: str
    mention: str = ""  #: the bot that it is for, in a group
    arguments: str = ""


def parse_command(text: str) -> TypedCommand | None:
    """Read a command, in whatever letters and formatting; None for plain words.

    A LoraCode with words behind it is what `/generate` takes.
    """
    match = _COMMAND_PATTERN.match(_without_markup(text))
    if match is not None:
        name = match[1].lower()
        command = find_command(name)
        return TypedCommand(command, name, match[2] or "", _without_option_names(command, match[3]))
    loose = _LOOSE_COMMAND_PATTERN.match(text.strip())
    if loose is not None and (command := find_command(loose[1].lower())) is not None:
        return TypedCommand(command, command.name, arguments=_without_option_names(command, loose[2]))
    word, _, rest = text.strip().partition(" ")
    arguments = rest if word.lower().rstrip(":") in command_names(_GENERATE) else text
    code_text, prompt = split_code(arguments)
    if prompt.strip("?!.,;: ") and parse_code(code_text) is not None:
        return TypedCommand(find_command(_GENERATE), _GENERATE, arguments=arguments)
    return TypedCommand(None, "") if has_slash(text) else None


def _without_option_names(command: Command | None, arguments: str) -> str:
    """Return what stands behind a command without the names that it has in a form: `code:40713386`.

    Those of `/generate` are read with its options.
    """
    names = [] if command is None else [each.name for each in command.arguments]
    if names:
        arguments = re.sub(rf"(?<!\S)(?:{'|'.join(names)}):\s*", "", arguments)
    return arguments.strip()


async def handle_message(
    services: Services, request: Request, answer_unknown: Callable[[Request], Awaitable[Reply]] | None = None
) -> Reply:
    """Return the reply to what a person wrote; what is not understood is answered by `answer_unknown`."""
    typed = parse_command(request.text)
    if typed is not None and typed.command is not None:
        return await handle_command(services, typed.command, replace(request, text=typed.arguments))

    async def answer_words(request: Request) -> Reply:
        if typed is not None:
            return await answer_lost(request, typed.name)
        action = services.messages.find_confirmed_action(request)
        if action:
            routed_action, request = route_action(action, request)
            return await routed_action.use_case(services)(request)
        return await services.messages.answer_text(request) or await answer_lost(request, "")

    async def answer_lost(request: Request, name: str) -> Reply:
        if answer_unknown is not None:
            return await answer_unknown(request)
        if not name:
            return await _answer_word(services, request) or await services.messages.answer_lost(request)
        return Reply(_unknown_command_text(name), is_refusal=True)

    return await handle(services, answer_words, request, AccessLevel.INVITED)


async def _answer_word(services: Services, request: Request) -> Reply | None:
    """Take a word alone for the command of that name, and a LoraCode for its card; None for other words."""
    word = request.text.strip(" .!?").lower()
    command = find_command(word)
    if command is not None and command.name in _WORD_COMMANDS:
        return await command.use_case(services)(replace(request, text="", command=command.name))
    code = parse_code(word)
    if code is None:
        return None
    routed_action, request = route_action(f"code:{code}", request)
    return replace(await routed_action.use_case(services)(request), edits_message=False)


async def handle_photos(
    services: Services, request: Request, get_uploads: Callable[[], Awaitable[Sequence[PhotoInput]]]
) -> Reply:
    """Return the reply to photos with words under them: a command, or words that are told not to be read."""

    add_photos = partial(fetch_and_add_photos, services, get_uploads=get_uploads)
    typed = parse_command(request.text)
    command = None if typed is None else typed.command
    if typed is None or command is None or command.name in _PHOTO_COMMANDS:
        reply = await handle(services, add_photos, request)
        is_note_needed = bool(request.text.strip()) and command is None
        return _add_note(reply, "caption-not-read") if is_note_needed else reply
    reply = await handle_command(services, command, replace(request, text=typed.arguments))
    if command.name in _SET_COMMANDS and reply.shows_photo_set:
        added_reply = await handle(services, add_photos, request)
        return replace(added_reply, closed_photo_set=added_reply.closed_photo_set or reply.closed_photo_set)
    return _add_note(reply, "photo-with-prompt" if command.name == _GENERATE else "photo-with-command")


async def fetch_and_add_photos(
    services: Services, request: Request, get_uploads: Callable[[], Awaitable[Sequence[PhotoInput]]]
) -> Reply:
    """Add photos of somebody who was let in; what would not be taken is not even fetched."""
    refusal = await services.photo_sets.check_before_fetch(request)
    if refusal is not None:
        return refusal
    return await services.photo_sets.add_photos(replace(request, uploads=tuple(await get_uploads())))


def _add_note(reply: Reply, key: str) -> Reply:
    with use_language(reply.language):
        note = translate(key)
    if reply.shows_photo_set:  # which stays below the photos until further ones come
        return replace(reply, text=f"{reply.text}\n{note}")
    return prepend_refusals([note], reply)


def _unknown_command_text(name: str) -> str:
    commands = {each: command for command in COMMAND_NAMES for each in command_names(command)}
    commands |= list_command_synonyms()
    matches = difflib.get_close_matches(name, commands, 1, cutoff=0.7) or [
        each for each in commands if len(name) > 1 and each.startswith(name)
    ]
    if not matches:
        return translate("unknown-command")
    nearest = command_name(commands[matches[0]], current_language())
    return translate("unknown-command-near", near=f"/{nearest}")


class RefusedMessages:
    """Remembers which messages were refused: edited, they are carried out.

    In memory: after a restart an edited message is only answered.
    """

    def __init__(self) -> None:
        self._keys: LRUCache[tuple[ChatAddress, str], bool] = LRUCache(MAX_REFUSED_MESSAGES)

    def note(self, address: ChatAddress, message_id: str, reply: Reply) -> None:
        """Note what became of a message."""
        if reply.is_refusal:
            self._keys[address, message_id] = True
        else:
            self._keys.pop((address, message_id), None)

    def take(self, address: ChatAddress, message_id: str) -> bool:
        """Return whether a message was refused; it is not known as refused from then on."""
        return self._keys.pop((address, message_id), False)


async def answer_edit(services: Services, request: Request) -> Reply:
    """Return the reply to a message that was edited after it was answered."""

    async def refuse(request: Request) -> Reply:
        return Reply(translate("edited-too-late"))

    return await handle(services, refuse, request)
