-- Corrections, streaks, jobs of courses, resets, and people who leave.

-- An erased user's rows go by a pseudonym that no caller can name: '~' occurs in no id.
ALTER TABLE users DROP CONSTRAINT users_user_id_check;
ALTER TABLE users ADD CONSTRAINT users_user_id_check
    CHECK (user_id ~ '^([A-Za-z0-9._:-]{1,64}|~[0-9a-f]{32})$');

-- earlier_zones: [[until, time_zone], …], oldest first: what the user had before time_zone.
-- carried_days: active days that an import brought, which no attempt or award here explains.
-- freeze_grants: [[civil day, days], …], oldest first.
-- active_days follows from these, the attempts and the awards: see domain/streak.py.
ALTER TABLE users
    ADD COLUMN earlier_zones jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN carried_days datemultirange NOT NULL DEFAULT '{}',
    ADD COLUMN freeze_grants jsonb NOT NULL DEFAULT '[]';
-- Until now the two were kept as one.
UPDATE users SET carried_days = active_days WHERE NOT isempty(active_days);

CREATE TABLE amnesty_days (
    day date PRIMARY KEY,
    reason text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- passed: by the version of the course that it was judged against, or a later one that
-- completed the level by it. A voided attempt counts for nothing; reason says why.
ALTER TABLE attempts
    ADD COLUMN passed boolean NOT NULL DEFAULT false,
    ADD COLUMN voided boolean NOT NULL DEFAULT false,
    ADD COLUMN reason text NOT NULL DEFAULT '';
-- Which version that was has not been kept: the newest one when the attempt was recorded.
UPDATE attempts a SET passed = true
FROM (SELECT v.course_id, one.level ->> 'level_id' AS level_id,
             (one.level ->> 'pass_ratio')::float8 AS pass_ratio, v.since, v.until
      FROM (SELECT course_id, definition, create_time AS since,
                   lead(create_time, 1, 'infinity')
                       OVER (PARTITION BY course_id ORDER BY version) AS until
            FROM course_versions) v
      CROSS JOIN LATERAL jsonb_path_query(v.definition, '$.sections[*].levels[*]')
           AS one (level)) l
WHERE l.course_id = a.course_id AND l.level_id = a.level_id
  AND a.create_time >= l.since AND a.create_time < l.until
  AND a.correct_answers::float8 / a.total_questions >= l.pass_ratio;
-- An edit at the same moment may have been in between: what completed a level has passed.
UPDATE attempts a SET passed = true
FROM level_progress p
WHERE p.user_id = a.user_id AND p.level_id = a.level_id AND p.complete_time = a.occurred_time
  AND NOT EXISTS (SELECT FROM attempts o WHERE o.user_id = p.user_id AND o.level_id = p.level_id
                    AND o.passed);
-- Nor was there one that passed where the level is not completed.
UPDATE attempts a SET passed = false
FROM level_progress p
WHERE a.passed AND p.user_id = a.user_id AND p.level_id = a.level_id AND p.complete_time IS NULL;

-- Until now a revocation did not lower what its level had earned.
UPDATE level_progress p SET xp_earned = e.xp_earned
FROM (SELECT user_id, level_id, sum(amount) AS xp_earned FROM xp_entries
      WHERE source = 'level' AND metric = 'xp' GROUP BY user_id, level_id) e
WHERE e.user_id = p.user_id AND e.level_id = p.level_id AND e.xp_earned <> p.xp_earned;

-- The attempt whose passing paid, at once or by a backfill, or that was carried over without XP,
-- so that no later one is paid; null: from before it was kept.
ALTER TABLE level_rewards ADD COLUMN attempt_id bigint;
UPDATE level_rewards r SET attempt_id = e.attempt_id
FROM (SELECT user_id, level_id, min(attempt_id) AS attempt_id FROM xp_entries
      WHERE level_id <> '' AND metric <> 'marks' GROUP BY user_id, level_id) e
WHERE e.user_id = r.user_id AND e.level_id = r.level_id;
INSERT INTO level_rewards (user_id, level_id, attempt_id)
SELECT user_id, level_id, min(attempt_id) FROM attempts WHERE without_xp AND passed
GROUP BY user_id, level_id
ON CONFLICT DO NOTHING;

-- The largest correct/total of the attempts that count: what another pass_ratio is held against.
ALTER TABLE level_progress ADD COLUMN best_ratio double precision NOT NULL DEFAULT 0;
UPDATE level_progress p SET best_ratio = a.best_ratio
FROM (SELECT user_id, level_id, max(correct_answers::float8 / total_questions) AS best_ratio
      FROM attempts GROUP BY user_id, level_id) a
WHERE a.user_id = p.user_id AND a.level_id = p.level_id;

-- Judging every learner of a course against its current version; one row a course. The cursor
-- moves on in the transaction that judges, so a job goes on where it was cut. held_user_ids:
-- learners before the cursor who were held by someone else, and have still to be judged.
CREATE TABLE course_jobs (
    course_id text COLLATE "C" PRIMARY KEY REFERENCES courses,
    course_version bigint NOT NULL,
    after_user_id text COLLATE "C" NOT NULL DEFAULT '',
    held_user_ids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    users_total bigint NOT NULL DEFAULT 0,
    users_done bigint NOT NULL DEFAULT 0,
    users_changed bigint NOT NULL DEFAULT 0,
    finished boolean NOT NULL DEFAULT false,
    failures integer NOT NULL DEFAULT 0,
    next_try_time timestamptz NOT NULL DEFAULT now(),
    begin_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX course_jobs_due ON course_jobs (next_try_time) WHERE NOT finished;

-- kind: 1 XpDelta, 2 ProfileChange, 3 UserErasure, 4 WindowReset, 5 Redaction,
-- 6 StandingCorrection (amount is the score). pseudonym: of an erasure, not kept once numbered.
ALTER TABLE unnumbered_changes
    ADD COLUMN board_window smallint,
    ADD COLUMN period text COLLATE "C",
    ADD COLUMN pseudonym text COLLATE "C",
    ADD COLUMN of_entry_id bigint;
-- excluded_boards: of what cancels or replaces an entry, fixed when it is numbered.
ALTER TABLE changes
    ADD COLUMN board_window smallint,
    ADD COLUMN period text COLLATE "C",
    ADD COLUMN excluded_boards integer[];
-- Every entry's sequence is kept for good: whether an entry counted before a reset, and what a
-- board must hold, follow from it.
CREATE UNIQUE INDEX changes_entry ON changes (entry_id) WHERE entry_id IS NOT NULL;
CREATE UNIQUE INDEX changes_change ON changes (change_id);
CREATE INDEX changes_user ON changes (user_id) WHERE kind <> 1;
-- Entries that were numbered up to here count no more on the board; 0: it was never reset.
ALTER TABLE boards ADD COLUMN reset_sequence bigint NOT NULL DEFAULT 0;

-- Request ids of calls that concern no single user.
CREATE TABLE admin_requests (
    request_id text COLLATE "C" PRIMARY KEY,
    kind smallint NOT NULL,
    fingerprint bytea NOT NULL,
    answer jsonb NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE admin_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    method text NOT NULL,
    actor text NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX admin_actions_user ON admin_actions (user_id, action_id);
CREATE INDEX admin_actions_actor ON admin_actions (actor) WHERE actor <> '';

-- Whom a person wrote entries for, other than for themselves: an erasure empties the name there.
CREATE INDEX xp_entries_actor ON xp_entries (actor) WHERE actor <> '' AND actor <> user_id;

-- The ledger is append-only; an erasure alone replaces a person's id by a pseudonym and empties
-- the texts. It says so in its own transaction.
CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('laurel.erasing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME;
END $$;
DROP TRIGGER append_only ON xp_entries;
-- of_entry_id: the entry that this one cancels or replaces (of a replacement, the first one that
-- it stands for): on a board that was reset since that one, this one does not count either.
ALTER TABLE xp_entries ADD COLUMN of_entry_id bigint REFERENCES xp_entries;
UPDATE xp_entries SET of_entry_id = revokes_entry_id WHERE revokes_entry_id IS NOT NULL;
UPDATE unnumbered_changes u SET of_entry_id = e.of_entry_id
FROM xp_entries e WHERE e.entry_id = u.entry_id AND e.of_entry_id IS NOT NULL;
ALTER TABLE xp_entries ADD CHECK (revokes_entry_id IS NULL OR of_entry_id IS NOT NULL);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON xp_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
