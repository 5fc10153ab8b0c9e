"""The command line: `loracode run`, `demo`, `doctor`, `backup`, `restore`, `status`.

Each command imports what it needs when it is called, so that `--help` and the health check are quick.
"""

from bot.cli._commands import main as main
