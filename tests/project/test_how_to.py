"""The pages of docs/how-to, played: what they name is all that a new command or platform needs."""

from __future__ import annotations

from pathlib import Path

from tests.support.made_up.tree import ROOT, CodeCopy

MADE_UP = ROOT / "tests" / "support" / "made_up"
USE_CASE = '''"""What follows a tick."""

from bot.core.messages import Reply, Request
from bot.texts import translate


async def tick(request: Request) -> Reply:
    """Answer a tick."""
    return Reply(translate("tock"))
'''
TEXTS = {
    "en": ("tick", "hear what follows a tick", "Tock."),
    "it": ("tic", "senti cosa segue un tic", "Tac."),
}


def test_a_command_needs_a_use_case_a_row_and_texts(tmp_path: Path) -> None:
    code = CodeCopy(tmp_path / "code")
    code.append("bot/services/ticks.py", USE_CASE)
    row = '    Command("tick", lambda services: tick),\n'
    code.insert("bot/chats/commands.py", '    Command("privacy",', row)
    code.insert(
        "bot/chats/commands.py",
        "from bot.texts.commands import",
        "from bot.services.ticks import tick\n",
    )
    for language, (name, description, answer) in TEXTS.items():
        keys = {f"{kind}-tick": description for kind in ("help", "telegram", "discord")}
        texts = {"command-tick": name, **keys, "tock": answer}
        lines = [f"{key} = {text}\n" for key, text in texts.items()]
        code.append(f"bot/texts/{language}.ftl", "".join(["\n", *lines]))
    code.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/support/made_up/command.py")
    page = code.run(
        "-c", "import sys; sys.path.insert(0, '.ci'); import commands; print(commands.render_page())"
    )
    assert "- `/tick` (it: `/tic`): hear what follows a tick\n" in page
    assert "Every command is on Telegram, Discord and the console." in page
    places = [file for file in code.changed if not file.endswith(".ftl")]
    assert len(places) <= 3, places


def test_a_platform_needs_its_traits_and_a_line_in_the_composition_root(tmp_path: Path) -> None:
    code = CodeCopy(tmp_path / "code")
    code.add("bot/chats/pigeon.py", MADE_UP / "pigeon.py")
    accounts = "bot/core/accounts.py"
    code.insert(accounts, '    CONSOLE = "console"\n', '    PIGEON = "pigeon"\n')
    traits = "    Platform.PIGEON: PlatformTraits(has_message_ids_per_chat=True),\n"
    code.insert(accounts, "    Platform.CONSOLE: PlatformTraits(", traits)
    root = "bot/app/root.py"
    code.insert(root, "from bot.chats.telegram import", "from bot.chats.pigeon import PigeonAdapter\n")
    code.insert(
        root,
        "    if settings.telegram_bot_token is not None:\n",
        "    chats.append(PigeonAdapter(app.services))\n",
    )
    for language, how in (("en", "Tie five photos to a pigeon."), ("it", "Lega cinque foto a un piccione.")):
        texts = f"\nhow-to-send-pigeon = {how}\ninvitation-first-pigeon = {how}\n"
        code.append(f"bot/texts/{language}.ftl", texts)
    code.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/support/made_up/platform_story.py")
    outside = [file for file in code.changed if not file.endswith((".ftl", "pigeon.py"))]
    assert outside == [accounts, root]
