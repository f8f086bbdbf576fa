-- The ordered history and the fold of it that PostgreSQL keeps.

-- kind: 1 XpDelta, 2 ProfileChange. Columns that a kind does not use are null.
CREATE TABLE unnumbered_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    entry_id bigint,
    metric text COLLATE "C",
    amount bigint,
    source text COLLATE "C",
    course_id text COLLATE "C",
    occurred_time timestamptz,
    occurred_date date,
    windows smallint,
    display_name text,
    avatar_url text,
    hidden boolean
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.05,
        autovacuum_analyze_threshold = 1000000000);
CREATE INDEX unnumbered_changes_user ON unnumbered_changes (user_id);

CREATE TABLE changes (
    sequence bigint PRIMARY KEY CHECK (sequence >= 1),
    change_id bigint NOT NULL,
    kind smallint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    entry_id bigint,
    metric text COLLATE "C",
    amount bigint,
    source text COLLATE "C",
    course_id text COLLATE "C",
    occurred_time timestamptz,
    occurred_date date,
    windows smallint,
    display_name text,
    avatar_url text,
    hidden boolean,
    numbered_time timestamptz NOT NULL
);

-- Each sequencer that takes over writes one: it numbers from after_sequence + 1 on.
CREATE TABLE tenures (
    tenure integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch uuid NOT NULL UNIQUE,
    after_sequence bigint NOT NULL,
    begin_time timestamptz NOT NULL DEFAULT now()
);
-- One row: how far the numbering is, and who holds it until when (the database's clock).
CREATE TABLE history (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    head_sequence bigint NOT NULL DEFAULT 0,
    head_time timestamptz NOT NULL DEFAULT now(),
    epoch uuid REFERENCES tenures (epoch),
    holder uuid,
    -- The holder's database connection: when that is gone, so is the tenure.
    holder_pid integer,
    holder_start timestamptz,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);
INSERT INTO history DEFAULT VALUES;

CREATE TABLE boards (
    board_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric text COLLATE "C" NOT NULL,
    course_id text COLLATE "C" NOT NULL,
    board_window smallint NOT NULL,
    period text COLLATE "C" NOT NULL,
    UNIQUE (metric, course_id, board_window, period)
);
-- A user's rows lie together, so folding one change touches one page; the second index
-- lists a board best first. Hidden users keep their score and are not in it.
CREATE TABLE standings (
    user_id text COLLATE "C" NOT NULL,
    board_id integer NOT NULL,
    score bigint NOT NULL,
    added bigint NOT NULL,
    hidden boolean NOT NULL,
    PRIMARY KEY (user_id, board_id)
) WITH (fillfactor = 90);
CREATE INDEX standings_rank ON standings (board_id, score DESC, user_id)
    WHERE score > 0 AND NOT hidden;
-- How many listed users of a board have a score in each bucket, so that a rank in the middle
-- of a large board is a sum of a few counts.
CREATE TABLE board_buckets (
    board_id integer NOT NULL,
    bucket integer NOT NULL,
    users bigint NOT NULL,
    PRIMARY KEY (board_id, bucket)
) WITH (fillfactor = 50);
-- Profiles as of the head of the history (users has them as of now).
CREATE TABLE profiles (
    user_id text COLLATE "C" PRIMARY KEY,
    display_name text NOT NULL,
    avatar_url text NOT NULL,
    hidden boolean NOT NULL
);
CREATE INDEX profiles_hidden ON profiles (user_id) WHERE hidden;

-- Buckets grow with the score: one each below 64, then 32 to every doubling. The
-- logarithm may round at a power of two; the result never falls as the score rises, which
-- is all that counting needs.
CREATE FUNCTION score_bucket(score bigint) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN score < 64 THEN score::integer
   ELSE floor(ln(score::float8) * 1.4426950408889634)::integer * 64
        + (score >> (floor(ln(score::float8) * 1.4426950408889634)::integer - 5))::integer END $$;
-- The least score that is certainly beyond the bucket that holds `score`.
CREATE FUNCTION score_bucket_end(score bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN score < 64 THEN score + 1
   ELSE ((score >> (floor(ln(score::float8) * 1.4426950408889634)::integer - 5)) + 1)
        << (floor(ln(score::float8) * 1.4426950408889634)::integer - 5) END $$;

-- The windows and periods in which a day counts; mask 0: all windows. ISO weeks.
CREATE FUNCTION board_periods(day date, mask smallint)
    RETURNS TABLE (board_window smallint, period text) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT w.board_window, w.period
   FROM (VALUES (1::smallint, ''),
                (2::smallint, to_char(day, 'YYYY')),
                (3::smallint, to_char(day, 'YYYY-MM')),
                (4::smallint, to_char(day, 'IYYY"-W"IW')),
                (5::smallint, to_char(day, 'YYYY-MM-DD'))) AS w (board_window, period)
   WHERE mask = 0 OR mask & (1 << w.board_window) <> 0 $$;

-- Listed users of a board with a higher score. Cost: the board's buckets above, and the part
-- of one bucket that lies above.
CREATE FUNCTION board_above(of_board integer, of_score bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce((SELECT sum(b.users) FROM board_buckets b
                    WHERE b.board_id = of_board AND b.bucket > score_bucket(of_score)), 0)::bigint
        + (SELECT count(*) FROM standings s
           WHERE s.board_id = of_board AND s.score > 0 AND NOT s.hidden
             AND s.score > of_score AND s.score < score_bucket_end(of_score)
             AND score_bucket(s.score) = score_bucket(of_score)) $$;
