-- 1: the camera serves one session only, so a new owner waits until the old one has let it go.
ALTER TABLE links ADD COLUMN exclusive INTEGER NOT NULL DEFAULT 0;
