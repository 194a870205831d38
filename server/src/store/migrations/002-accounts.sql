-- Users who came with a token of an issuer. The owner is the one who did not.
ALTER TABLE users ADD COLUMN issuer TEXT;
ALTER TABLE users ADD COLUMN subject TEXT CHECK ((subject IS NULL) = (issuer IS NULL));

CREATE UNIQUE INDEX users_by_subject ON users (issuer, subject);
