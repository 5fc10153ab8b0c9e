"""`loracode doctor`: looks at all that LoraCode needs and says what to do."""

from bot.doctor._checks import Doors as Doors
from bot.doctor._checks import examine as examine
from bot.doctor._table import Finding as Finding
from bot.doctor._table import is_ill as is_ill
from bot.doctor._table import table as table
