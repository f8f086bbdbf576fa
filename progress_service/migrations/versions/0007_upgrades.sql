-- Each erasure begins a tenure, so there may be many, and the one that gave a number is looked up.
CREATE INDEX tenures_after ON tenures (after_sequence, tenure);

-- A replica of an older release looks for the numbers of pruned changes in `changes` alone, so where
-- there may be some, nothing is pruned until they have gone.
ALTER TABLE history_pruning ADD COLUMN not_before timestamptz NOT NULL DEFAULT '-infinity';
UPDATE history_pruning SET not_before = now() + interval '1 day'
WHERE EXISTS (SELECT FROM changes);

-- A replica of an older release records an erasure without its change, which it has queued in the
-- same transaction. Before the acts of before, so that none comes in between.
-- Index: unnumbered_changes_user.
CREATE FUNCTION admin_actions_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change_id := (SELECT max(change_id) FROM unnumbered_changes
                      WHERE user_id = NEW.user_id AND kind = 3);
    RETURN NEW;
END
$$;
CREATE TRIGGER admin_actions_erasure BEFORE INSERT ON admin_actions FOR EACH ROW
    WHEN (NEW.change_id IS NULL
          AND NEW.method = 'laurel.progress.v1.ProgressAdminService/EraseUser')
    EXECUTE FUNCTION admin_actions_erasure();
-- The newest of each user. Index: admin_actions_user, changes_user, unnumbered_changes_user.
UPDATE admin_actions a SET change_id =
    (SELECT max(change_id)
     FROM (SELECT change_id FROM changes
           WHERE user_id = a.user_id AND kind = 3 AND kind <> 1
           UNION ALL
           SELECT change_id FROM unnumbered_changes
           WHERE user_id = a.user_id AND kind = 3) erasures)
WHERE a.change_id IS NULL AND a.method = 'laurel.progress.v1.ProgressAdminService/EraseUser'
  AND NOT EXISTS (SELECT FROM admin_actions o WHERE o.user_id = a.user_id
                  AND o.action_id > a.action_id AND o.method = a.method);
