"""`loracode doctor`: looks at all that LoraCode needs and says what to do."""

from bot.app.doctor._checks import Endpoints as Endpoints
from bot.app.doctor._checks import check_plan as check_plan
from bot.app.doctor._checks import run_checks as run_checks
from bot.app.doctor._table import Diagnosis as Diagnosis
from bot.app.doctor._table import format_table as format_table
from bot.app.doctor._table import has_problems as has_problems
