-- Each erasure begins a tenure, so there may be many, and the one that gave a number is looked up.
CREATE INDEX tenures_after ON tenures (after_sequence, tenure);
