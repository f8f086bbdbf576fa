-- The history is bounded: old changes are pruned, and what stays of each is its number.

-- One row: the changes up to here are pruned. Beside `history`, whose row the sequencer holds.
CREATE TABLE history_pruning (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    pruned_sequence bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO history_pruning DEFAULT VALUES;

-- For good, and of no one: a credit goes by its entry, every other change by change_id. Either
-- leads to the number, so a row is in one of the two indexes.
CREATE TABLE pruned_changes (
    sequence bigint NOT NULL CHECK (sequence >= 1),
    change_id bigint,
    entry_id bigint,
    CHECK (num_nonnulls(change_id, entry_id) = 1)
);
CREATE UNIQUE INDEX pruned_changes_entry ON pruned_changes (entry_id) WHERE entry_id IS NOT NULL;
CREATE UNIQUE INDEX pruned_changes_change ON pruned_changes (change_id)
    WHERE change_id IS NOT NULL;

-- Everything that ever got a number. A look-up by entry_id, or by change_id of what is no credit,
-- costs one in an index of each table.
CREATE VIEW numbered_changes AS
    SELECT sequence, change_id, entry_id FROM changes
    UNION ALL
    SELECT sequence, change_id, entry_id FROM pruned_changes;

-- The room of pruned rows is for the next ones, soon enough that it stays about a twentieth of the
-- table. Giving the end of the file back would need a lock that keeps everyone out.
ALTER TABLE changes SET (autovacuum_vacuum_scale_factor = 0.05,
                         autovacuum_vacuum_threshold = 10000, vacuum_truncate = false);

-- Of an erasure, its change: who asks again is told its place, when the change is pruned too.
ALTER TABLE admin_actions ADD COLUMN change_id bigint;
-- Index: changes_user, all of it.
UPDATE admin_actions a SET change_id = e.change_id
FROM (SELECT user_id, max(change_id) AS change_id
      FROM (SELECT user_id, change_id FROM changes WHERE kind = 3 AND kind <> 1
            UNION ALL
            SELECT user_id, change_id FROM unnumbered_changes WHERE kind = 3) erasures
      GROUP BY user_id) e
WHERE a.action_id = (SELECT max(o.action_id) FROM admin_actions o
                     WHERE o.user_id = e.user_id
                       AND o.method = 'laurel.progress.v1.ProgressAdminService/EraseUser');
