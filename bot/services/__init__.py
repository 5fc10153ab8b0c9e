"""The use cases, by noun. Each takes a Request and returns the Reply to show, or raises UserError."""

from __future__ import annotations

from dataclasses import dataclass

from bot.services.access import AccessPolicy
from bot.services.accounts import AccountLinkService, AccountService, PreferencesService
from bot.services.admin import AdminService, StatusService
from bot.services.context import PhotoDecoder, ServiceContext
from bot.services.drafts import ComparisonService, DraftService
from bot.services.generation import GenerationService
from bot.services.jobs import ContinuationService, JobService
from bot.services.loras import LoraService
from bot.services.photo_sets import PhotoSetService
from bot.services.results import ResultService
from bot.services.sharing import ReportService, SharingService
from bot.services.updates import MessageService, UpdateInbox


@dataclass(frozen=True, slots=True)
class Services:
    """What people can do, and who may do it."""

    access: AccessPolicy
    accounts: AccountService
    account_links: AccountLinkService
    admin: AdminService
    comparisons: ComparisonService
    continuations: ContinuationService
    drafts: DraftService
    generation: GenerationService
    jobs: JobService
    loras: LoraService
    messages: MessageService
    photo_sets: PhotoSetService
    preferences: PreferencesService
    reports: ReportService
    results: ResultService
    sharing: SharingService
    status: StatusService
    updates: UpdateInbox


def make_services(context: ServiceContext, decoder: PhotoDecoder) -> Services:
    """Build the use cases over one context."""
    preferences = PreferencesService(context)
    generation = GenerationService(context)
    drafts = DraftService(context, generation, preferences)
    photo_sets = PhotoSetService(context, decoder)
    loras = LoraService(context)
    sharing = SharingService(context)
    return Services(
        access=AccessPolicy(context),
        accounts=AccountService(context),
        account_links=AccountLinkService(context),
        admin=AdminService(context),
        comparisons=ComparisonService(context, generation, preferences),
        continuations=ContinuationService(context, photo_sets),
        drafts=drafts,
        generation=generation,
        jobs=JobService(context),
        loras=loras,
        messages=MessageService(context, sharing, photo_sets, loras, drafts, generation),
        photo_sets=photo_sets,
        preferences=preferences,
        reports=ReportService(context),
        results=ResultService(context),
        sharing=sharing,
        status=StatusService(context, started_at=context.clock()),
        updates=UpdateInbox(context.database, context.queue),
    )
