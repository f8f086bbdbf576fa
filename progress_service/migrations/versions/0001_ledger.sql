-- Names sort bytewise everywhere (COLLATE "C"), as in Redis.

CREATE TABLE users (
    user_id text COLLATE "C" PRIMARY KEY CHECK (user_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    display_name text NOT NULL,
    avatar_url text NOT NULL,
    time_zone text NOT NULL,
    hidden boolean NOT NULL,
    -- Civil days in the user's zone on which an attempt or an award occurred.
    active_days datemultirange NOT NULL DEFAULT '{}',
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX users_display_name ON users (lower(display_name) text_pattern_ops);

-- windows: a bit per window, 1 << contract number; 0: all.
CREATE TABLE metrics (
    metric text COLLATE "C" PRIMARY KEY CHECK (metric ~ '^[A-Za-z0-9._:-]{1,64}$'),
    title text NOT NULL,
    unit text NOT NULL,
    windows smallint NOT NULL CHECK (windows BETWEEN 0 AND 62 AND windows & 1 = 0),
    max_self_award bigint NOT NULL CHECK (max_self_award >= 0)
);
INSERT INTO metrics (metric, title, unit, windows, max_self_award) VALUES
    ('xp', 'Experience', 'XP', 0, 0),
    ('marks', 'Marks', 'marks', 1 << 1, 0),
    ('problems_solved', 'Problems solved', 'problems', 0, 0),
    ('pomodoros', 'Pomodoros', 'pomodoros', 0, 0);

CREATE TABLE courses (
    course_id text COLLATE "C" PRIMARY KEY CHECK (course_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    version bigint NOT NULL CHECK (version >= 1),
    update_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE course_versions (
    course_id text COLLATE "C" NOT NULL REFERENCES courses,
    version bigint NOT NULL,
    definition jsonb NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (course_id, version)
);
-- A level's id belongs to one course for good, even when a later version drops the level.
CREATE TABLE levels (
    level_id text COLLATE "C" PRIMARY KEY CHECK (level_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    course_id text COLLATE "C" NOT NULL REFERENCES courses
);

-- What must be unique for ever, in narrow tables of its own.
CREATE TABLE request_keys (
    user_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    fingerprint bytea NOT NULL,
    answer jsonb NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, request_id)
);
CREATE TABLE level_rewards (
    user_id text COLLATE "C" NOT NULL,
    level_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, level_id)
);
CREATE TABLE award_references (
    user_id text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    reference text COLLATE "C" NOT NULL,
    entry_id bigint NOT NULL,
    PRIMARY KEY (user_id, metric, source, reference)
);

CREATE SEQUENCE attempt_ids CACHE 1;
CREATE TABLE attempts (
    attempt_id bigint PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    course_id text COLLATE "C" NOT NULL,
    level_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    correct_answers integer NOT NULL CHECK (correct_answers BETWEEN 0 AND total_questions),
    total_questions integer NOT NULL CHECK (total_questions >= 1),
    marks bigint NOT NULL CHECK (marks >= 0),
    time_spent_ms bigint NOT NULL CHECK (time_spent_ms >= 0),
    without_xp boolean NOT NULL,
    occurred_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attempts_user ON attempts (user_id, attempt_id);
CREATE INDEX attempts_level ON attempts (level_id, attempt_id);
CREATE INDEX attempts_course ON attempts (course_id, attempt_id);

-- Append-only: nothing updates or deletes an entry (see the trigger below).
CREATE SEQUENCE entry_ids CACHE 1;
CREATE TABLE xp_entries (
    entry_id bigint PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    total_after bigint NOT NULL CHECK (total_after BETWEEN 0 AND 9007199254740991),
    source text COLLATE "C" NOT NULL,
    reference text NOT NULL,
    course_id text COLLATE "C" NOT NULL,
    level_id text COLLATE "C" NOT NULL,
    attempt_id bigint,
    occurred_time timestamptz NOT NULL,
    occurred_date date NOT NULL,
    windows smallint NOT NULL,
    revokes_entry_id bigint UNIQUE REFERENCES xp_entries,
    reason text NOT NULL,
    actor text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    CHECK ((amount < 0) = (revokes_entry_id IS NOT NULL))
);
CREATE INDEX xp_entries_user ON xp_entries (user_id, entry_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON xp_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE user_totals (
    user_id text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    total bigint NOT NULL CHECK (total BETWEEN 0 AND 9007199254740991),
    PRIMARY KEY (user_id, metric)
) WITH (fillfactor = 80);

CREATE TABLE level_progress (
    user_id text COLLATE "C" NOT NULL,
    course_id text COLLATE "C" NOT NULL,
    level_id text COLLATE "C" NOT NULL,
    best_marks bigint NOT NULL,
    attempts integer NOT NULL,
    time_spent_ms bigint NOT NULL,
    complete_time timestamptz,
    xp_earned bigint NOT NULL,
    PRIMARY KEY (user_id, course_id, level_id)
) WITH (fillfactor = 90);

-- Sums over the levels of one version; judged anew when course_version is not the current one.
CREATE TABLE course_progress (
    user_id text COLLATE "C" NOT NULL,
    course_id text COLLATE "C" NOT NULL,
    course_version bigint NOT NULL,
    levels_completed integer NOT NULL,
    marks bigint NOT NULL,
    last_attempt_time timestamptz NOT NULL,
    PRIMARY KEY (user_id, course_id)
) WITH (fillfactor = 80);
CREATE INDEX course_progress_course ON course_progress (course_id, user_id);

-- Rows of a user are written while the user's row is locked, and users are never deleted
-- (erasure empties and renames them), so a foreign key on every row would only cost: 30 % of
-- a submission, measured.
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
