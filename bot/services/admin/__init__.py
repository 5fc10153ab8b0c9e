"""What administrators see and do."""

from bot.services.admin._commands import INVITATION_DAYS, AdminService
from bot.services.admin._status import StatusService

__all__ = ["INVITATION_DAYS", "AdminService", "StatusService"]
