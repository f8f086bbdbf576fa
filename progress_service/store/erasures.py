"""Removing a person: the rows stay, by a pseudonym, so that every sum can still be checked."""

import secrets
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.user import PSEUDONYM_MARK
from progress_service.store import admin_actions
from progress_service.store.admin_actions import AdminAction
from progress_service.store.ledger_write import USER_ERASURE
from progress_service.store.not_found import user_not_found
from shared.identity import NOBODY, Actor

METHOD = "laurel.progress.v1.ProgressAdminService/EraseUser"

# As long as it takes for a person with many rows; the ledger lets an erasure alone pass.
_SETTINGS = text(
    """SELECT set_config('statement_timeout', '10min', true),
              set_config('laurel.erasing', 'on', true)"""
)
_LOCK = text("SELECT user_id FROM users WHERE user_id = :user_id FOR UPDATE")
# Not from the history, which is pruned. Index: admin_actions_user.
_ERASED = text(
    f"""SELECT max(change_id) FROM admin_actions
        WHERE user_id = :user_id AND method = '{METHOD}'"""
)
_QUEUE = text(
    f"""INSERT INTO unnumbered_changes (kind, user_id, pseudonym)
        VALUES ({USER_ERASURE}, :user_id, :pseudonym) RETURNING change_id"""
)
_RENAME = "SET user_id = :pseudonym WHERE user_id = :user_id"
# Cost: the user's rows, each by an index that begins with user_id; entries that the person
# wrote for others, by xp_entries_actor; and the acts, by admin_actions_actor
# and admin_actions_caller.
_STATEMENTS = tuple(
    text(statement)
    for statement in (
        """UPDATE users SET user_id = :pseudonym, display_name = '', avatar_url = '',
               time_zone = '', hidden = false, active_days = '{}', carried_days = '{}',
               earlier_zones = '[]', freeze_grants = '[]', update_time = create_time
           WHERE user_id = :user_id""",
        # What nobody has decided on never counted, and leaves the queue.
        """UPDATE attempts SET user_id = :pseudonym, request_id = '', reason = '',
               voided = voided OR under_review, under_review = false
           WHERE user_id = :user_id""",
        """UPDATE xp_entries SET user_id = :pseudonym, reference = '', reason = '',
               actor = CASE actor WHEN :user_id THEN '' ELSE actor END
           WHERE user_id = :user_id""",
        """UPDATE xp_entries SET actor = ''
           WHERE actor = :user_id AND actor <> '' AND actor <> user_id""",
        *(
            f"UPDATE {table} {_RENAME}"
            for table in ("user_totals", "level_progress", "course_progress", "level_rewards")
        ),
        "DELETE FROM request_keys WHERE user_id = :user_id",
        "DELETE FROM award_references WHERE user_id = :user_id",
        "DELETE FROM velocity WHERE user_id = :user_id",
        # Not the pseudonym: an act next to the erasure would say whose it is.
        f"""UPDATE admin_actions SET user_id = '', detail = ''
            WHERE user_id = :user_id AND method <> '{METHOD}'""",
        "UPDATE admin_actions SET actor = '' WHERE actor = :user_id AND actor <> ''",
        "UPDATE admin_actions SET caller = '' WHERE caller = :user_id AND caller <> ''",
    )
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to remove a person."""

    user_id: str
    actor: Actor = NOBODY


async def erase(connection: AsyncConnection, erasure: Erasure) -> int:
    """Takes the person out of every row and queues the UserErasure; its change_id.

    For a user who was erased before and has not been created anew, that erasure's.
    Raises NotFound (USER_NOT_FOUND).
    """
    user = {"user_id": erasure.user_id}
    await connection.execute(_SETTINGS)
    if (await connection.execute(_LOCK, user)).one_or_none() is None:
        earlier = (await connection.execute(_ERASED, user)).scalar_one()
        if earlier is None:
            raise user_not_found(erasure.user_id)
        return int(earlier)
    names = {**user, "pseudonym": PSEUDONYM_MARK + secrets.token_hex(16)}
    for statement in _STATEMENTS:
        await connection.execute(statement, names)
    change_id = int((await connection.execute(_QUEUE, names)).scalar_one())
    # That there was an erasure stays on record; nothing there leads to the pseudonym.
    actor = erasure.actor.without(erasure.user_id)
    act = AdminAction(METHOD, actor, erasure.user_id, "", change_id)
    await admin_actions.record(connection, [act])
    return change_id
