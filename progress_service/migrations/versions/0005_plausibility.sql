-- Attempts under review, how fast users earn, and who called what administrators do.

-- An attempt under review counts for nothing, and neither does a voided one. Until it is decided
-- on, reason names the bound that it broke. arrival: the number that an attempt got when it was
-- accepted, in the order of attempt_id; null: it counted from the first, by its attempt_id.
-- No pass over the table: constant defaults, and a check of new rows alone.
ALTER TABLE attempts
    ADD COLUMN under_review boolean NOT NULL DEFAULT false,
    ADD COLUMN arrival bigint,
    ADD CONSTRAINT attempts_one_fate CHECK (NOT (under_review AND voided)) NOT VALID;
-- The queue of those who decide, and of it what is a user's. Cost to make: one pass over the
-- attempts each.
CREATE INDEX attempts_under_review ON attempts (attempt_id) WHERE under_review;
CREATE INDEX attempts_under_review_user ON attempts (user_id, attempt_id) WHERE under_review;

-- What a user has been recorded of one source in a minute and in a civil day of the deployment, by
-- the services' clocks, imports apart. One row for each, so that it never grows; nothing but the
-- primary key is indexed, so that an update stays on its page.
CREATE TABLE velocity (
    user_id text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    minute timestamptz NOT NULL,
    minute_count integer NOT NULL,
    minute_xp bigint NOT NULL,
    day date NOT NULL,
    day_count integer NOT NULL,
    day_xp bigint NOT NULL,
    PRIMARY KEY (user_id, source)
) WITH (fillfactor = 80);

-- The subject of the token of whoever did it; actor is for whom, as the caller says. '': it was
-- recorded before this, without authentication, or the caller was erased.
ALTER TABLE admin_actions ADD COLUMN caller text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX admin_actions_caller ON admin_actions (caller) WHERE caller <> '';
