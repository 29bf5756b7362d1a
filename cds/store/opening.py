"""One place that opens the whole store."""

from dataclasses import dataclass

from cds.settings import Settings
from cds.store.blobs import BlobStore
from cds.store.cases import CaseStore
from cds.store.database import Database, open_database
from cds.store.feedback import FeedbackStore, HookFeedbackStore
from cds.store.jobs import JobQueue
from cds.store.privacy import Privacy


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Everything that is kept."""

    database: Database
    blobs: BlobStore
    cases: CaseStore
    jobs: JobQueue
    feedback: FeedbackStore
    hook_feedback: HookFeedbackStore
    privacy: Privacy

    def close(self) -> None:
        """Give the database's connections back."""
        self.database.close()


def open_store(settings: Settings, *, job_capacity: int | None = None) -> Store:
    """The store that the settings name, its tables up to date.

    Args:
        settings: database and data folder.
        job_capacity: jobs that may wait or run at a time; None for any number.

    Raises:
        SettingsError: the address of the database cannot be used.
        StoreError: the database does not answer, or is newer than the program.
    """
    database = open_database(settings)
    blobs = BlobStore(settings.data_dir)
    return Store(
        database=database,
        blobs=blobs,
        cases=CaseStore(database, blobs),
        jobs=JobQueue(database, blobs, capacity=job_capacity),
        feedback=FeedbackStore(database),
        hook_feedback=HookFeedbackStore(database),
        privacy=Privacy(database, blobs, settings.data_dir),
    )
