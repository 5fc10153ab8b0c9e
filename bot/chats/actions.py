"""What each button does. A button holds its action alone, so that it works after a restart and years later.

What a button is about must belong to whoever pressed it: the use cases look that up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.core.errors import UserError
from bot.core.messages import Reply, Request, UseCase
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts import translate


@dataclass(frozen=True, slots=True)
class Action:
    """What a button of this form does; the groups of the pattern are the arguments of its request."""

    pattern: str
    use_case: Callable[[Services], UseCase]
    level: AccessLevel = AccessLevel.PERSON


_JOB, _CODE, _ACCOUNT, _SHARE = "([0-9]{1,15})", "([0-9]{8})", "([0-9]{1,15})", "([0-9]{1,16})"
_PICTURE = f"{_JOB}:([1-9])"
_OWNER = f"(?::{_ACCOUNT})?"  # buttons of earlier versions name none

ACTIONS = (
    Action("consent", lambda services: services.photo_sets.record_consent),
    Action(f"first5{_OWNER}", lambda services: services.photo_sets.train_first_five),
    Action(f"restart{_OWNER}", lambda services: services.photo_sets.discard_photos),
    Action(f"set:{_ACCOUNT}:name", lambda services: services.photo_sets.ask_name),
    Action(f"set:{_ACCOUNT}:anew", lambda services: services.photo_sets.collect_for_new_lora),
    Action(f"set:{_ACCOUNT}:class=([a-z]{{1,10}})", lambda services: services.photo_sets.set_class),
    Action(f"set:{_ACCOUNT}:drop=([0-9]{{1,15}})", lambda services: services.photo_sets.drop_photo),
    Action(f"question:drop{_OWNER}", lambda services: services.messages.drop_question),
    Action(f"cancel:{_JOB}", lambda services: services.jobs.cancel_job),
    Action(f"again:{_JOB}", lambda services: services.generation.generate_again),
    Action(f"speed:{_JOB}:(fast|fine)", lambda services: services.generation.generate_at_speed),
    Action(f"edit:{_JOB}", lambda services: services.generation.start_edit),
    Action(f"vary:{_PICTURE}", lambda services: services.generation.generate_variations),
    Action(f"large:{_PICTURE}", lambda services: services.generation.enlarge),
    Action(f"recipe:{_JOB}", lambda services: services.results.show_recipe),
    Action(f"delete:{_JOB}", lambda services: services.results.ask_to_delete),
    Action(f"delete!:{_JOB}", lambda services: services.results.delete_result),
    Action("use:(.*)", lambda services: services.drafts.start_with_code),
    Action("draw:(.*)", lambda services: services.drafts.start_after_notice),
    Action(f"draft(?::{_ACCOUNT})?:(.*)", lambda services: services.drafts.handle_button),
    Action("codes", lambda services: services.loras.list_loras),
    Action("codes:all", lambda services: services.loras.go_back_to_list),
    Action(f"code:{_CODE}", lambda services: services.loras.show_lora),
    Action(f"likeness:{_CODE}", lambda services: services.loras.show_likeness),
    Action(f"rename:{_CODE}", lambda services: services.loras.ask_new_name),
    Action(f"remove:{_CODE}", lambda services: services.loras.ask_to_delete),
    Action(f"remove!:{_CODE}", lambda services: services.loras.delete_lora),
    Action(f"export:{_CODE}", lambda services: services.results.export_lora),
    Action(f"more:{_CODE}", lambda services: services.continuations.continue_from_button),
    Action(f"share:{_CODE}(?::([0-9]{{1,3}}))?", lambda services: services.sharing.show_shares),
    Action(f"invite:{_CODE}", lambda services: services.sharing.create_link),
    Action(f"uninvite:{_CODE}", lambda services: services.sharing.end_link),
    Action(f"share:{_SHARE}:show", lambda services: services.sharing.show_share),
    Action(f"share:{_SHARE}:(once|always|no)", lambda services: services.sharing.decide),
    Action(f"share:{_SHARE}:revoke", lambda services: services.sharing.revoke_share),
    Action(f"settings:{_ACCOUNT}:style", lambda services: services.preferences.list_styles),
    Action(
        f"settings:{_ACCOUNT}:(size|style|notices|language|photos)=([a-z0-9_-]{{0,30}})",
        lambda services: services.preferences.change_setting,
    ),
    Action(
        f"forgetme!:{_ACCOUNT}:([0-9]{{1,12}})",
        lambda services: services.accounts.erase_account,
        AccessLevel.ANYBODY,
    ),
)


async def _refuse(request: Request) -> Reply:
    raise UserError(translate("stale-button"))


_UNKNOWN_ACTION = Action(".*", lambda services: _refuse)


def route_action(action: str, request: Request) -> tuple[Action, Request]:
    """Return what an action does and the request with its arguments; what no button says is refused."""
    for each in ACTIONS:
        if (match := re.fullmatch(each.pattern, action)) is not None:
            return each, replace(request, arguments=match.groups(default=""))
    return _UNKNOWN_ACTION, request
