"""`loracode doctor`: looks at all that LoraCode needs and says what to do."""

from bot.app.doctor._checks import Doors as Doors
from bot.app.doctor._checks import examine as examine
from bot.app.doctor._table import Finding as Finding
from bot.app.doctor._table import is_ill as is_ill
from bot.app.doctor._table import table as table
